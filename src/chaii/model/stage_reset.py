"""Start anew at each stage border, as consecutive trainings do: the usual way, to compare with."""

import math
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from transformers import TrainerCallback


class StageReset(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Forgets the optimiser's moments before each of the optimiser steps in `borders`."""

    def __init__(self, borders: Collection[int]) -> None:
        self._borders = borders

    def on_step_begin(self, _args: Any, state: Any, *_: Any, optimizer: Any, **__: Any) -> None:
        """Clear the state that the optimiser keeps per parameter."""
        if state.global_step in self._borders:
            optimizer.state.clear()


def find_borders(plan: pd.DataFrame, *, effective_batch_size: int) -> list[int]:
    """Optimiser steps at which a new stage of `plan` begins, the first stage left out.

    A step with windows of two stages belongs to the earlier one.

    >>> plan = pd.DataFrame({"stage": [0] * 20 + [1] * 12})
    >>> find_borders(plan, effective_batch_size=8)
    [3]
    """
    first_rows = np.flatnonzero(plan["stage"].diff().fillna(0))
    return (-(-first_rows // effective_batch_size)).tolist()


def restart_schedule(
    borders: Sequence[int], *, steps: int, warmup_ratio: float
) -> Callable[[int], float]:
    """Share of the peak learning rate at each step: a linear schedule of its own for each stage.

    >>> schedule = restart_schedule([4], steps=8, warmup_ratio=0.25)
    >>> [round(schedule(step), 2) for step in range(8)]
    [0.0, 1.0, 0.67, 0.33, 0.0, 1.0, 0.67, 0.33]
    """
    stages = list(pairwise([0, *borders, steps]))

    def share(step: int) -> float:
        first, end = next((stage for stage in stages if step < stage[1]), stages[-1])
        warmup = math.ceil((end - first) * warmup_ratio)
        done = step - first
        if done < warmup:
            return done / warmup
        return max(0.0, (end - step) / max(1, end - first - warmup))

    return share
