"""Lay the logits of overlapping windows onto the tokens of their contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.recipe.span_labels import IntArray, expand_ranges

FloatArray = NDArray[np.floating[Any]]
_Logits = NDArray[np.float32]
_Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ContextLogits:
    """Start and end logits of every context token of every example, flat and unpadded.

    Example i owns the tokens `row_start[i]` up to, not including, `row_start[i + 1]`. A token that
    no window covered holds -inf. `null` is the start + end logit of having no answer, None where
    it was not stored.

    Raises:
        ValueError: the arrays and the pointers do not fit each other.
    """

    start: FloatArray  # (tokens,)
    end: FloatArray  # (tokens,)
    row_start: NDArray[np.int64]  # (rows + 1,)
    null: FloatArray | None = None  # (rows,)

    def __post_init__(self) -> None:
        check_rows(self.start, self.end, self.row_start)
        if self.null is not None and len(self.null) != len(self.row_start) - 1:
            raise ValueError(f"{len(self.null)} null logits for {len(self.row_start) - 1} rows")

    def select(self, rows: IntArray) -> ContextLogits:
        """Keep the logits of some examples, in the order of `rows`."""
        first, count = self.row_start[:-1][rows], np.diff(self.row_start)[rows]
        place = expand_ranges(first, count)
        null = None if self.null is None else self.null[rows]
        row_start = np.concatenate([[0], np.cumsum(count)])
        return ContextLogits(self.start[place], self.end[place], row_start, null)


def merge_windows(
    windows: pd.DataFrame,
    start_logits: FloatArray,
    end_logits: FloatArray,
    *,
    lengths: IntArray,
    how: Literal["max", "mean"] = "max",
    null_logits: FloatArray | None = None,
) -> ContextLogits:
    """Lay the logits of overlapping windows onto the context tokens of their examples.

    `windows` has one row a window, in any order: `example` (row of the result), `context_from` and
    `context_to` (half-open range of the context tokens it covers). The logits are flat over exactly
    these tokens, window after window. `lengths` (rows,) is the number of context tokens of each
    example, zero allowed. A token of several windows gets their largest or their mean logit.
    `null_logits` (windows, 2), the start and end logit of the token that stands for no answer, are
    added up; of several windows the lowest sum counts, because one that saw the answer knows best.

    Raises:
        ValueError: a window leaves its context, the number of logits is not the number of tokens
            the windows cover, a logit is NaN or +inf, or `how` is unknown.

    >>> windows = pd.DataFrame({"example": [0, 0], "context_from": [0, 1], "context_to": [2, 3]})
    >>> logits = np.array([1, 5, 3, 7], dtype=np.float16)
    >>> merge_windows(windows, logits, logits, lengths=np.array([3]), how="mean").start
    array([1., 4., 7.], dtype=float32)
    """
    if how not in ("max", "mean"):
        raise ValueError(f"how={how!r}: windows are merged by 'max' or 'mean'")
    row_start = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    place = _place_windows(windows, row_start)
    if not len(place) == len(start_logits) == len(end_logits):
        raise ValueError(
            f"{len(start_logits)} start and {len(end_logits)} end logits for windows that cover "
            f"{len(place)} context tokens: the three must agree"
        )
    merge = _merge_max if how == "max" else _merge_mean
    start, end = (
        merge(check_logits(name, logits), place, int(row_start[-1]))
        for name, logits in (("start", start_logits), ("end", end_logits))
    )
    null = None
    if null_logits is not None:
        null = np.full(len(lengths), np.inf, dtype=np.float32)
        pair_sums = null_logits.astype(np.float32).sum(axis=1)
        np.minimum.at(null, windows["example"].to_numpy(np.int64), pair_sums)
    return ContextLogits(start, end, row_start, null)


def check_logits(name: str, logits: FloatArray, *, first: int = 0) -> FloatArray:
    """Give logits in float32 at least: half precision is slow to compare.

    `first` is the position of the first one, for the message.

    Raises:
        ValueError: one is NaN or +inf.
    """
    values = np.asarray(logits, dtype=np.promote_types(logits.dtype, np.float32))
    wrong = np.flatnonzero(~(values < np.inf))
    if wrong.size:
        raise ValueError(
            f"{name} logits: {wrong.size} are NaN or +inf, first at {first + wrong[0]}"
        )
    return values


def check_rows(start: FloatArray, end: FloatArray, row_start: IntArray) -> None:
    """Make sure that row pointers fit their logits.

    Raises:
        ValueError: they do not.
    """
    if not len(row_start) or row_start[0] != 0 or (np.diff(row_start) < 0).any():
        raise ValueError(f"row_start must begin with 0 and never fall: {row_start[:8]}…")
    if not len(start) == len(end) == row_start[-1]:
        raise ValueError(
            f"row_start points at {row_start[-1]} tokens, but there are {len(start)} start and "
            f"{len(end)} end logits"
        )


def _place_windows(windows: pd.DataFrame, row_start: _Positions) -> _Positions:
    """Position in the flat context of every token of every window, in the table's order."""
    example, first, last = (
        windows[name].to_numpy(dtype=np.int64) for name in ("example", "context_from", "context_to")
    )
    known = (example >= 0) & (example < len(row_start) - 1)
    length = np.append(np.diff(row_start), 0)[np.where(known, example, -1)]
    wrong = np.flatnonzero(~known | (first < 0) | (first > last) | (last > length))
    if wrong.size:
        at = wrong[0]
        raise ValueError(
            f"window {at} covers tokens {first[at]} to {last[at]} of example {example[at]}: "
            f"outside its {length[at]} tokens, or of the {len(row_start) - 1} examples"
        )
    return expand_ranges(row_start[example] + first, last - first)


def _merge_max(logits: FloatArray, place: _Positions, tokens: int) -> _Logits:
    merged = np.full(tokens, -np.inf, dtype=np.float32)
    np.maximum.at(merged, place, logits.astype(np.float32))
    return merged


def _merge_mean(logits: FloatArray, place: _Positions, tokens: int) -> _Logits:
    count = np.bincount(place, minlength=tokens)
    total = np.bincount(place, weights=logits, minlength=tokens)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf).astype(np.float32)
