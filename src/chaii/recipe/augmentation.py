"""Augmentation: pure functions of a window and a generator of its own."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.recipe.span_labels import IntArray


def window_generator(seed: int, position: int) -> np.random.Generator:
    """Return the generator of the window at `position` in the plan.

    It depends on its two arguments alone, so that worker processes and resuming change nothing.
    """
    return np.random.Generator(np.random.Philox(key=[seed, position]))


def cutout(
    input_ids: IntArray,
    *,
    rate: float,
    span: int = 1,
    protected: NDArray[np.bool_],
    mask_token_id: int,
    generator: np.random.Generator,
) -> IntArray:
    """Replace each unprotected token by the mask token with probability `rate`.

    Args:
        input_ids: ``(tokens,)``; left unchanged.
        span: tokens are masked in runs of this many, which may touch; 1 masks each on its own.
        protected: ``(tokens,)`` booleans, true where a token must stay.

    >>> ids, generator = np.arange(10, 20), np.random.default_rng(0)
    >>> protected = ids < 13
    >>> kwargs = dict(protected=protected, mask_token_id=4, generator=generator)
    >>> cutout(ids, rate=1.0, **kwargs)
    array([10, 11, 12,  4,  4,  4,  4,  4,  4,  4])
    """
    if rate == 0:
        return input_ids
    # a token stays where none of the `span` runs that could cover it begins
    begins = generator.random(len(input_ids) + span - 1) < 1 - (1 - rate) ** (1 / span)
    reached = np.convolve(begins, np.ones(span, int), mode="valid") > 0
    return np.where(reached & ~protected, mask_token_id, input_ids)


def balance_positions(
    windows: pd.DataFrame, *, generator: np.random.Generator, bins: int = 10
) -> pd.DataFrame:
    """Thin out the windows whose answer is where most answers are.

    Windows with an answer are sorted into `bins` by the relative place of its first token. A bin of
    more windows than the median keeps a random draw of that many. Windows without an answer stay.

    >>> windows = pd.DataFrame({"start_token": [5] * 30 + [50, 90, -1], "length": 100})
    >>> kept = balance_positions(windows, bins=3, generator=np.random.default_rng(0))
    >>> kept["start_token"].value_counts().sort_index().to_dict()
    {-1: 1, 5: 1, 50: 1, 90: 1}
    """
    start = windows["start_token"].to_numpy()
    bin_of = np.where(start < 0, -1, start * bins // windows["length"].to_numpy())
    counts = np.bincount(bin_of[bin_of >= 0], minlength=bins)
    if not counts.any():
        return windows
    cap = int(np.median(counts[counts > 0]))
    keep = np.ones(len(windows), dtype=bool)
    for crowded in np.flatnonzero(counts > cap):
        rows = np.flatnonzero(bin_of == crowded)
        keep[generator.choice(rows, size=len(rows) - cap, replace=False)] = False
    return windows[keep]
