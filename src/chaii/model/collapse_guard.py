"""The collapse guard: stops a training whose loss leaves its usual range."""

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

    def __init__(self, *, step: int, onset: int, reason: str = "a weight is not finite") -> None:
        self.step = step  # optimiser step at which training was stopped
        self.onset = onset  # last optimiser step before the collapse
        self.reason = reason
        super().__init__(
            f"collapse at step {step}: {reason}; the weights of step {onset} or before are kept; "
            "set trainer.restarts=1 to go on from there with a lower rate, or lower "
            "backbone.learning_rate"
        )


class CollapseGuard(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Stops the trainer where `find_collapse` finds a collapse or a weight is not finite."""

    def __init__(self) -> None:
        self.collapse: CollapseError | None = None

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Examine the whole log: checkpoints keep it, so a resumed run keeps its range."""
        overflows = _PATIENCE - 1 if args.fp16 else 0
        self._stop(find_collapse(state.log_history, overflows=overflows), control)

    def on_step_end(
        self, _args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Make sure that the weights are finite before they are scored or saved."""
        if (control.should_save or control.should_evaluate) and not is_finite(model):
            step = int(state.global_step)
            self._stop(CollapseError(step=step, onset=step - 1), control)

    def _stop(self, collapse: CollapseError | None, control: Any) -> None:
        self.collapse = self.collapse or collapse
        if self.collapse:
            control.should_training_stop = True
            control.should_save = control.should_evaluate = False


def is_finite(model: Any) -> bool:
    """Whether all weights of a model are finite numbers."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def find_collapse(
    history: Sequence[Mapping[str, float]], *, overflows: int = 0
) -> CollapseError | None:
    """Tell whether a training log ends in a collapse.

    It does where more than `overflows` losses or gradient norms in a row are not finite (in fp16 a
    step that overflows is skipped, so that one alone does no harm). It does also where the last
    `_PATIENCE` losses are all more than `_WIDTH` standard deviations above the mean of those
    before, and nearly as high as at the beginning: a harder stage raises the loss too, but less.

    >>> calm = [{"step": step, "loss": 5.0 / step} for step in range(1, 30)]
    >>> find_collapse(calm) is None
    True
    >>> find_collapse([*calm, {"step": 30, "loss": float("nan")}]).onset
    29
    """
    lines = [line for line in history if "loss" in line]
    sound = [math.isfinite(line["loss"] + line.get("grad_norm", 0.0)) for line in lines]
    last_sound = max((i for i, is_sound in enumerate(sound) if is_sound), default=-1)
    if len(lines) - 1 - last_sound > overflows:
        return _describe(lines, last_sound + 1, "loss or gradient is not finite")
    losses = np.array([line["loss"] for line in lines if math.isfinite(line["loss"])])
    calm, last = losses[:-_PATIENCE], losses[-_PATIENCE:]
    if len(calm) < _MINIMUM:
        return None
    recent = calm[-_MEMORY:]
    untrained = np.median(losses[:_FIRST])
    limit = recent.mean() + max(_WIDTH * recent.std(), _WAY_BACK * (untrained - recent.mean()))
    if last.min() <= limit:
        return None
    reason = f"{_PATIENCE} losses in a row above {limit:.3g}"
    return _describe(lines, len(lines) - _PATIENCE, reason)


def _describe(lines: Sequence[Mapping[str, float]], bad: int, reason: str) -> CollapseError:
    onset = int(lines[bad - 1]["step"]) if bad else 0
    return CollapseError(step=int(lines[-1]["step"]), onset=onset, reason=reason)


class RateScale(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Scales the whole schedule by a factor, also that of a checkpoint to resume from."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def on_train_begin(self, args: Any, *_: Any, lr_scheduler: Any, **__: Any) -> None:
        """Set the peak rate from the configured one, whatever was resumed."""
        peak = args.learning_rate * self._factor
        groups = lr_scheduler.optimizer.param_groups
        if not hasattr(lr_scheduler, "lr_lambdas"):  # reduce_lr_on_plateau keeps no peak
            for group in groups:
                group["lr"] = min(group["lr"], peak)
            return
        lr_scheduler.base_lrs = [peak for _ in lr_scheduler.base_lrs]
        for group, scale in zip(groups, lr_scheduler.lr_lambdas, strict=True):
            group["initial_lr"] = peak
            group["lr"] = peak * scale(lr_scheduler.last_epoch)
