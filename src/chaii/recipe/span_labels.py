"""Answers as token spans, and which of them a window holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class AnswerTable:
    """The answers of every example that count as positives; example i owns a slice of them."""

    tokens: IntArray  # (answers, 2) first and last context token
    row_start: IntArray  # (examples + 1,) row pointers into the answers

    def of(self, example: int) -> IntArray:
        """Return the tokens of one example's answers, ``(answers, 2)``, as a view."""
        return self.tokens[self.row_start[example] : self.row_start[example + 1]]

    def select(self, rows: IntArray) -> Self:
        """Return the table of some of the examples."""
        count = np.diff(self.row_start)[rows]
        place = expand_ranges(self.row_start[:-1][rows], count)
        return type(self)(self.tokens[place], np.concatenate([[0], np.cumsum(count)]))

    def find_held(self, example: IntArray, low: IntArray, high: IntArray) -> IntArray:
        """Find the first listed answer of each `example` inside its context tokens ``[low, high)``.

        All three arguments are ``(windows,)``. Returns ``(windows, 2)``; -1 where none is inside.
        """
        count = np.diff(self.row_start)[example]
        window = np.repeat(np.arange(len(example)), count)
        tokens = self.tokens[expand_ranges(self.row_start[:-1][example], count)]
        held = np.flatnonzero((low[window] <= tokens[:, 0]) & (tokens[:, 1] < high[window]))
        held = held[np.diff(window[held], prepend=-1) > 0]
        found = np.full((len(example), 2), -1, np.int64)
        found[window[held]] = tokens[held]
        return found


def locate_answers(
    starts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[str]],
    *,
    offsets: IntArray,
    first: IntArray,
    last: IntArray,
) -> AnswerTable:
    """Find the first and last context token of every answer.

    The first token is the last one that begins at or before the answer; the last token is the first
    one that ends at or after it.

    Args:
        starts: first character of each answer, per example.
        texts: the answers, per example.
        offsets: half-open characters of tokens, ``(tokens, 2)``.
        first, last: the context of each example has the tokens ``[first, last)``, ``(examples,)``.
    """
    count = [len(row) for row in starts]
    owner = np.repeat(np.arange(len(count)), count)
    start_char = np.fromiter(chain.from_iterable(starts), np.int64)
    length = np.fromiter(map(len, chain.from_iterable(texts)), np.int64)
    first, last = first[owner], last[owner]
    start = search_slices(offsets[:, 0], first, last, start_char + 1) - 1
    end = search_slices(offsets[:, 1], first, last, start_char + length)
    # a piece that only begins a word may have the same characters as the piece after it
    tokens = np.stack([start - first, np.maximum(start, end) - first], axis=1)
    return AnswerTable(tokens, np.concatenate([[0], np.cumsum(count, dtype=np.int64)]))


def expand_ranges(first: IntArray, count: IntArray) -> NDArray[np.int64]:
    """Return ``first[0], first[0] + 1, …`` (`count[0]` integers), then those of the next range.

    >>> expand_ranges(np.array([5, 0]), np.array([2, 3]))
    array([5, 6, 0, 1, 2])
    """
    before = np.cumsum(count, dtype=np.int64) - count
    return np.repeat(first - before, count) + np.arange(count.sum())


def search_slices(values: IntArray, low: IntArray, high: IntArray, target: IntArray) -> IntArray:
    """`np.searchsorted` (left) of each target in its own sorted slice ``values[low:high]``."""
    low, high = low.copy(), high.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        below = open_ & (values[np.where(open_, middle, 0)] < target)
        low = np.where(below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    return low
