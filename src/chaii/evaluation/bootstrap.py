"""Bootstrap intervals of a mean, over rows or over clusters of rows."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

_DRAWS = 1 << 22  # numbers drawn at a time: bounds the memory


class Interval(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    rounds: int = 2000,
    seed: int = 2021,
) -> Interval:
    """Mean of `values` ``(rows,)`` with its percentile bootstrap interval.

    Rows of the same cluster are drawn together: a model answers all questions on one context well
    or badly, so that rows drawn one by one would make the interval too narrow. Without `clusters`
    each row is one. A paired comparison takes the differences of two models, row by row.

    Raises:
        ValueError: there is no row, or `clusters` and `values` differ in length.

    >>> bootstrap_interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    rows = np.asarray(values, dtype=np.float64)
    if not rows.size:
        raise ValueError("a mean needs at least one row")
    if clusters is not None and len(clusters) != len(rows):
        raise ValueError(f"{len(clusters)} clusters for {len(rows)} rows")
    owner = np.arange(len(rows)) if clusters is None else pd.factorize(pd.Series(list(clusters)))[0]
    size, total = np.bincount(owner), np.bincount(owner, weights=rows)
    mean = float(rows.mean())
    if len(size) == 1:  # scipy needs two
        return Interval(mean, mean, mean)
    found = stats.bootstrap(
        (total, size),
        lambda total, size, axis: total.sum(axis=axis) / size.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=level,
        n_resamples=rounds,
        batch=max(1, _DRAWS // len(size)),
        rng=np.random.default_rng(seed),
    )
    low, high = found.confidence_interval
    return Interval(mean, float(low), float(high))
