"""Training: one pass over a plan, one optimiser, one schedule, by the transformers Trainer."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from pickle import UnpicklingError  # nosec B403 # nothing is unpickled here
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PreTrainedModel,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations import TensorBoardCallback

from chaii.config.errors import ConfigError, Terminated
from chaii.config.schema import BackboneConfig, DistillConfig, Precision, TrainerConfig
from chaii.model import checkpoints
from chaii.model.collapse_guard import CollapseError, CollapseGuard, RateScale, is_finite
from chaii.model.collate import TARGETS, Batch, PlanDataset, WholeSteps, collate, takes_type_ids
from chaii.model.curves import Curves
from chaii.model.loss import span_loss
from chaii.model.predict import choose_precision, padding_step
from chaii.model.processes import join_processes, once
from chaii.model.profile import phase
from chaii.model.stage_reset import StageReset, restart_schedule

Score = Callable[[PreTrainedModel], dict[str, float]]
Callbacks = Sequence[TrainerCallback]


def train_model(
    model: PreTrainedModel,
    dataset: PlanDataset,
    *,
    backbone: BackboneConfig,
    trainer: TrainerConfig,
    folder: Path,
    seed: int,
    score: Score | None = None,
    rate_factor: float = 1.0,
    borders: Sequence[int] = (),
    distill: DistillConfig | None = None,
    callbacks: Callbacks = (),
    curves: Path | None = None,
) -> list[dict[str, Any]]:
    """Train `model` on `dataset` in its order for one epoch; resume from a checkpoint in `folder`.

    With `score`, the model is scored at even distances, and the weights of the best ``jaccard`` are
    loaded at the end if `trainer.load_best_model_at_end`; else the last weights stay. `rate_factor`
    scales the learning rate. At each of the optimiser steps `borders` the optimiser and the
    schedule start anew. TensorBoard's curves are written into the folder `curves`.

    Returns:
        The log: one entry per logged step, with its loss and learning rate or its scores.

    Raises:
        CollapseError: the training collapsed; later checkpoints are removed.
        Terminated: SIGTERM came; a checkpoint of the last step is written.
    """
    if trainer.gradient_checkpointing:
        name = "activation_checkpointing_enable"  # its name in the newest versions
        getattr(model, name, model.gradient_checkpointing_enable)()
    arguments = training_arguments(
        len(dataset), backbone=backbone, trainer=trainer, folder=folder, seed=seed, score=score
    )
    pad = partial(collate, template=dataset.template, type_ids=takes_type_ids(model))
    loop = PlanTrainer(
        model=model,
        args=arguments,
        train_dataset=WholeSteps(dataset, effective_batch_size=backbone.effective_batch_size),
        eval_dataset=[],  # `score` has its own rows
        data_collator=partial(pad, pad_to_multiple_of=padding_step()),
        score=score,
        borders=borders,
        distill=distill,
    )
    guard, stop, progress = CollapseGuard(), checkpoints.SafeStop(), QuietProgress()
    ours = (progress, stop, guard, RateScale(rate_factor), StageReset(borders), *callbacks)
    _add_callbacks(loop, ours, dataset=dataset, curves=curves)
    torch.manual_seed(seed + arguments.process_index)  # else all processes drop the same units
    with stop, closing(progress):
        loop.go_on(once(partial(checkpoints.find_checkpoint, folder)))
    if guard.collapse:
        once(partial(checkpoints.drop_checkpoints_after, folder, guard.collapse.onset))
        raise guard.collapse
    if stop.requested and loop.state.global_step < loop.state.max_steps:
        raise Terminated
    if not is_finite(loop.gather()):
        raise CollapseError(step=loop.state.global_step, onset=0)
    return summarise_log(loop.state.log_history)


def _add_callbacks(
    loop: "PlanTrainer", callbacks: Callbacks, *, dataset: PlanDataset, curves: Path | None
) -> None:
    """Add our callbacks to the library's; a tracker draws more curves."""
    loop.remove_callback(ProgressCallback)
    for callback in loop.callback_handler.callbacks:
        if curves and isinstance(callback, TensorBoardCallback):
            callback.logging_dir = callback.logging_dir or str(curves)
    if loop.args.report_to:
        loop.callback_handler.callbacks.insert(0, Curves(dataset))
    for callback in callbacks:
        loop.add_callback(callback)


def summarise_log(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The log, ending in the mean loss of all steps; without speeds, which a resumed run lacks.

    Numbers that are not finite become None, for JSON has none of them.

    >>> summarise_log([{"step": 2, "loss": 3.0}, {"step": 3, "loss": 1.5}])[-1]
    {'step': 3, 'train_loss': 2.5}
    """
    lines = [dict(sorted(line.items())) for line in history if "train_runtime" not in line]
    lines = [{key: v if math.isfinite(v) else None for key, v in line.items()} for line in lines]
    logged = [(line["step"], line["loss"]) for line in lines if line.get("loss") is not None]
    if not logged:
        return lines
    steps, losses = map(np.array, zip(*logged, strict=True))
    mean = float(np.average(losses, weights=np.diff(steps, prepend=0)))
    return [*lines, {"step": int(steps[-1]), "train_loss": mean}]


class QuietProgress(ProgressCallback):  # type: ignore[misc]  # transformers is untyped
    """The library's progress bar with the loss beside it; only scores get a line of their own."""

    training_bar: Any

    def close(self) -> None:
        """End the bar's line, also where an error stops the training."""
        if self.training_bar is not None:
            self.training_bar.close()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Show what was logged; the log itself is kept in full."""
        scores = {name[5:]: value for name, value in (logs or {}).items() if name[:5] == "eval_"}
        if scores and self.training_bar is not None:
            line = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
            self.training_bar.write(f"step {state.global_step}: {line}")
        elif logs and "loss" in logs and self.training_bar is not None:
            self.training_bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)


class PlanTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped
    """The library's Trainer with our loss; it evaluates by answers instead of by loss."""

    control: Any

    def __init__(
        self,
        *,
        score: Score | None = None,
        borders: Sequence[int] = (),
        distill: DistillConfig | None = None,
        **kwargs: Any,
    ) -> None:
        self._whole, divides = kwargs["model"], kwargs["args"].fsdp
        if divides:  # a copy, layer by layer; the library's own choice fails on BERT's embeddings
            kwargs["model"] = copy.deepcopy(self._whole)
            parts = self._whole.modules()
            lists = (part for part in parts if isinstance(part, torch.nn.ModuleList))
            layer = type(max(lists, key=len)[0]).__name__
            kwargs["args"].fsdp_plugin_args["transformer_cls_names_to_wrap"] = layer
        super().__init__(**kwargs)
        if divides and not self.is_fsdp_enabled:
            raise ConfigError("trainer.fsdp=true: needs a GPU for each process of torchrun")
        self._score = score
        self._borders = borders
        self._distill = distill
        self._earlier = once(partial(checkpoints.read_seconds, Path(self.args.output_dir)))
        self._began = time.perf_counter()

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the library's schedule; with borders, a linear one for each part between them."""
        if not self._borders:
            return super().create_scheduler(num_training_steps, optimizer)
        warmup = self.args.warmup_steps  # a share
        schedule = restart_schedule(self._borders, steps=num_training_steps, warmup_ratio=warmup)
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, schedule)
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def compute_loss(
        self, model: torch.nn.Module, inputs: Batch, return_outputs: bool = False, **_: Any
    ) -> Any:
        """Compute `span_loss` of a batch."""
        with phase("forward"):
            output = model(**{name: part for name, part in inputs.items() if name not in TARGETS})
            loss = span_loss(output, inputs, self._distill)
        return (loss, output) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Compute loss and gradient of a batch."""
        with phase("forward and backward"):
            return super().training_step(*args, **kwargs)

    def go_on(self, checkpoint: Path | None) -> None:
        """Train from a checkpoint, or from the beginning; the last step's checkpoint is loaded.

        Raises:
            ValueError: the checkpoint holds other objects than tensors.
        """
        try:
            if checkpoint and checkpoints.read_step(checkpoint) >= self.args.max_steps:
                self.state = TrainerState.load_from_json(checkpoint / "trainer_state.json")
                best = self.args.load_best_model_at_end and self.state.best_model_checkpoint
                self._load_from_checkpoint(best or str(checkpoint))
            else:
                self.train(resume_from_checkpoint=checkpoint)
        except UnpicklingError as error:
            rule = "holds more than tensors, which is never loaded; remove it to go on"
            raise ValueError(f"{checkpoint}: {rule}") from error

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        try:
            super()._save_checkpoint(*args, **kwargs)
        except (RuntimeError, SafetensorError) as error:  # of a full disk too
            raise OSError(f"{folder}: the checkpoint cannot be written: {error}") from error
        join_processes().wait_for_everyone()  # each writes its random state
        seconds = self._earlier + time.perf_counter() - self._began
        once(partial(checkpoints.seal_checkpoint, folder, seconds=seconds))

    def gather(self) -> PreTrainedModel:
        """Return the model; one whose weights are divided is whole in the leading process alone."""
        if self.is_fsdp_enabled:
            weights = self.accelerator.get_state_dict(self.model)
            if self.args.process_index == 0:
                self._whole.to(self.args.device).load_state_dict(weights)
        return self._whole

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score the model and tell the callbacks, as the library's own method does."""
        assert self._score is not None
        scores = once(partial(self._score, self.gather()))
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        self.log(metrics)
        handler = self.callback_handler
        self.control = handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def training_arguments(
    windows: int,
    *,
    backbone: BackboneConfig,
    trainer: TrainerConfig,
    folder: Path,
    seed: int,
    score: Score | None,
) -> TrainingArguments:
    """Translate the configuration into the library's arguments."""
    steps = -(-windows // backbone.effective_batch_size)
    steps = min(steps, trainer.max_steps or steps)
    every = max(1, -(-steps // max(1, trainer.num_evaluations)))
    at_once = trainer.per_device_train_batch_size * join_processes().num_processes
    precision = choose_precision(trainer.precision)
    scheduling = None
    if score and trainer.lr_scheduler_type == "reduce_lr_on_plateau":
        scheduling = {"mode": "max", "patience": 1}  # its own 10 evaluations outlast a training
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=trainer.per_device_train_batch_size,
        gradient_accumulation_steps=backbone.effective_batch_size // at_once,
        learning_rate=backbone.learning_rate,
        lr_scheduler_type=trainer.lr_scheduler_type,
        lr_scheduler_kwargs=scheduling,
        warmup_steps=backbone.warmup_ratio,
        weight_decay=trainer.weight_decay,
        max_grad_norm=trainer.max_grad_norm,
        use_cpu=not torch.cuda.is_available(),  # else bf16 is refused without a GPU
        ddp_find_unused_parameters=False,
        bf16=precision is Precision.bf16,
        fp16=precision is Precision.fp16,
        seed=seed,
        logging_steps=trainer.logging_steps,
        logging_nan_inf_filter=False,  # the collapse guard must see them
        dataloader_num_workers=trainer.num_workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to=trainer.tracker.value,
        run_name="/".join(folder.parts[-3:-1]),  # run and fold
        disable_tqdm=False,
        fsdp=trainer.fsdp or None,
        save_strategy="steps",  # and after the last step
        save_steps=every,
        save_total_limit=2,  # the collapse guard may have to go back behind the last one
        eval_strategy="steps" if score else "no",
        eval_steps=every,
        load_best_model_at_end=score is not None and trainer.load_best_model_at_end,
        metric_for_best_model="jaccard",
        greater_is_better=True,
    )
    if arguments.n_gpu > 1:  # the library would split each batch among them, which is slow
        print(f"{arguments.n_gpu} GPUs are visible, 1 is used; start by torchrun to use all")
        arguments._n_gpu = 1
    return arguments
