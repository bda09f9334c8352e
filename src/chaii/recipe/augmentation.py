"""Augmentation: pure functions of a window and a generator of its own."""

import numpy as np
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
