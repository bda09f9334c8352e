"""What a tracker draws beside losses and scores: stages, padding and speed."""

import time
from typing import Any

from transformers import TrainerCallback

from chaii.model.collate import PlanDataset
from chaii.recipe.plan_summary import padding_share


class Curves(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Adds stage, share of padding and tokens per second to what is logged; it must come first.

    The log that the trainer keeps stays as it is, since speeds differ from run to run.
    """

    def __init__(self, dataset: PlanDataset) -> None:
        self._dataset = dataset
        self._step, self._began = 0, 0.0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Begin to count, at the step that is resumed from."""
        self._step, self._began = state.global_step, time.perf_counter()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Leave the time of an evaluation out; what came before it is logged already."""
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Describe the windows since the last logged loss."""
        if not logs or "loss" not in logs:
            return
        step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        windows = slice(self._step * step, state.global_step * step)
        lengths, now = self._dataset.lengths[windows], time.perf_counter()
        logs["stage"] = int(self._dataset.stages[windows][-1])
        logs["padding"] = padding_share(lengths, batch_size=args.train_batch_size)
        logs["tokens_per_second"] = float(lengths.sum()) / (now - self._began)
        self._step, self._began = state.global_step, now
