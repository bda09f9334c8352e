"""The collapse guard: stops a training whose loss leaves its usual range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import TrainerCallback

_MEMORY = 40  # logged losses that make the usual range
_PATIENCE = 5  # logged losses in a row above the range that make a collapse
_WIDTH = 4.0  # standard deviations above the mean at which a loss leaves the range
_MINIMUM = 10  # logged losses before there is a range
_WAY_BACK = 0.9  # share of the way back to an untrained model's loss
_FIRST = 3  # first logged losses, whose median is an untrained model's


class CollapseError(ArithmeticError):
    """A training collapsed; names the step, the reason, and how to go on."""

    def __init__(self, *, step: int, onset: int, reason: str) -> None:
        self.step = step  # optimiser step at which training was stopped
        self.onset = onset  # last optimiser step before the collapse
        self.reason = reason
        super().__init__(
            f"collapse at step {step}: {reason}; the weights of step {onset} or before are kept; "
            "set trainer.restarts=1 to go on from there with a lower rate, or lower "
            "backbone.learning_rate"
        )


class CollapseGuard(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Stops the trainer where `find_collapse` finds a collapse in its log."""

    def __init__(self) -> None:
        self.collapse: CollapseError | None = None

    def on_log(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Examine the whole log: checkpoints keep it, so a resumed run keeps its range."""
        self.collapse = self.collapse or find_collapse(state.log_history)
        if self.collapse:
            control.should_training_stop = True
            control.should_save = control.should_evaluate = False


def find_collapse(history: Sequence[Mapping[str, float]]) -> CollapseError | None:
    """Tell whether a training log ends in a collapse.

    It does where a loss or a gradient norm is not finite, or where the last `_PATIENCE` losses are
    all more than `_WIDTH` standard deviations above the mean of those before, and nearly as high as
    at the beginning: a harder stage of a recipe raises the loss too, but less.

    >>> calm = [{"step": step, "loss": 5.0 / step} for step in range(1, 30)]
    >>> find_collapse(calm) is None
    True
    >>> find_collapse([*calm, {"step": 30, "loss": float("nan")}]).onset
    29
    """
    lines = [line for line in history if "loss" in line]
    values = [line["loss"] + line.get("grad_norm", 0.0) for line in lines]
    broken = [i for i, value in enumerate(values) if not math.isfinite(value)]
    if broken:
        return _describe(lines, broken[0], "loss or gradient is not finite")
    losses = np.array([line["loss"] for line in lines])
    calm, last = losses[:-_PATIENCE], losses[-_PATIENCE:]
    if len(calm) < _MINIMUM:
        return None
    recent = calm[-_MEMORY:]
    untrained = np.median(losses[:_FIRST])
    limit = recent.mean() + max(_WIDTH * recent.std(), _WAY_BACK * (untrained - recent.mean()))
    if last.min() <= limit:
        return None
    return _describe(lines, len(calm), f"{_PATIENCE} losses in a row above {limit:.3g}")


def _describe(lines: Sequence[Mapping[str, float]], bad: int, reason: str) -> CollapseError:
    onset = int(lines[bad - 1]["step"]) if bad else 0
    return CollapseError(step=int(lines[-1]["step"]), onset=onset, reason=reason)


class RateScale(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Scales the whole schedule by a factor, also that of a checkpoint to resume from."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def on_train_begin(
        self, args: Any, _state: Any, _control: Any, lr_scheduler: Any = None, **_: Any
    ) -> None:
        """Set the peak rate from the configured one, whatever was resumed."""
        peak = args.learning_rate * self._factor
        lr_scheduler.base_lrs = [peak for _ in lr_scheduler.base_lrs]
        for group, scale in zip(
            lr_scheduler.optimizer.param_groups, lr_scheduler.lr_lambdas, strict=True
        ):
            group["initial_lr"] = peak
            group["lr"] = peak * scale(lr_scheduler.last_epoch)
