"""How sure a mean is: bootstrap intervals over rows, or over groups of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

_DRAWS = 1 << 22  # numbers drawn at a time: bounds the memory


class Interval(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def bootstrap_interval(
    values: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    rounds: int = 2000,
    seed: int = 2021,
) -> Interval:
    """Mean of `values` ``(rows,)`` with its percentile bootstrap interval.

    Whole groups are drawn with replacement: questions on one context succeed and fail together, so
    that drawing them apart would make the interval too narrow. Without `groups` each row is its
    own. For a paired comparison give the differences, row by row. The same arguments give the same
    interval.

    Source: percentile bootstrap, Efron and Tibshirani, An Introduction to the Bootstrap (1993).

    Raises:
        ValueError: there is no row, or there are more or fewer groups than rows.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    rows = np.asarray(values, dtype=np.float64)
    if not rows.size:
        raise ValueError("a mean needs at least one row")
    if groups is not None and len(groups) != len(rows):
        raise ValueError(f"{len(groups)} groups for {len(rows)} rows")
    number = np.arange(len(rows)) if groups is None else pd.factorize(pd.Series(list(groups)))[0]
    size = np.bincount(number)
    total = np.bincount(number, weights=rows)
    generator = np.random.default_rng(seed)
    means = np.empty(rounds)
    step = max(1, _DRAWS // len(size))
    for first in range(0, rounds, step):
        drawn = generator.integers(len(size), size=(min(step, rounds - first), len(size)))
        means[first : first + step] = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(rows.mean()), float(low), float(high))
