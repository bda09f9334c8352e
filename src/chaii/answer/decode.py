"""Turn start and end logits into answers, by array operations over all examples at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
# Blanks, and what cannot be seen: byte order mark, zero-width space, direction marks.
_OUTER = re.compile(r"^[\s\ufeff\u200b\u200e\u200f]+|[\s\ufeff\u200b\u200e\u200f]+$")
_Logits = NDArray[np.float32]
_Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ContextLogits:
    """Start and end logits of every context token of every example, flat and unpadded.

    Example i owns the tokens `row_start[i]` up to, not including, `row_start[i + 1]`. A token that
    no window covered holds -inf.

    Raises:
        ValueError: the arrays and the pointers do not fit each other.
    """

    start: NDArray[np.float32]  # (tokens,)
    end: NDArray[np.float32]  # (tokens,)
    row_start: NDArray[np.int64]  # (rows + 1,)

    def __post_init__(self) -> None:
        _check_rows(self.start, self.end, self.row_start)


class Spans(NamedTuple):
    """The best span of each row, or -1, -1 and -inf; tokens count from the row's first."""

    start_token: NDArray[np.int64]  # (rows,)
    end_token: NDArray[np.int64]  # (rows,)
    score: NDArray[np.float64]  # (rows,) start logit + end logit


def merge_windows(
    windows: pd.DataFrame,
    start_logits: FloatArray,
    end_logits: FloatArray,
    *,
    lengths: IntArray,
    how: Literal["max", "mean"] = "max",
) -> ContextLogits:
    """Lay the logits of overlapping windows onto the context tokens of their examples.

    `windows` has one row a window, in any order: `example` (row of the result), `context_from` and
    `context_to` (half-open range of the context tokens it covers). The logits are flat over exactly
    these tokens, window after window. `lengths` (rows,) is the number of context tokens of each
    example, zero allowed. A token of several windows gets their largest or their mean logit.

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
        merge(_check_logits(name, logits), place, int(row_start[-1]))
        for name, logits in (("start", start_logits), ("end", end_logits))
    )
    return ContextLogits(start, end, row_start)


def best_spans(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int
) -> Spans:
    """Find the span with the largest start + end logit of every row, exactly.

    A row may be an example or a window. Legal spans lie inside the row and hold 1 to `max_tokens`
    tokens. Among equals the earliest start wins, then the earliest end. Sums are taken in float64:
    exact for float16 logits. Time O(tokens log max_tokens), memory O(tokens).

    Raises:
        ValueError: a logit is NaN or +inf, `max_tokens` is below 1, or lengths and pointers differ.

    >>> logits = np.array([0.0, 2.0, 1.0, 3.0])
    >>> best_spans(logits, logits, np.array([0, 4]), max_tokens=2).start_token
    array([3])
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens={max_tokens}: a span holds at least 1 token")
    _check_rows(start, end, row_start)
    starts = _check_logits("start", start).astype(np.float64)
    ends = _check_logits("end", end)
    row = np.flatnonzero(np.diff(row_start))
    row_from, row_to = (np.asarray(row_start, dtype=np.int64)[row + side] for side in (0, 1))

    remaining = np.repeat(row_to, row_to - row_from) - np.arange(len(ends))
    totals = starts + _slide_maximum(ends, remaining, max_tokens)
    best = np.maximum.reduceat(totals, row_from) if row.size else np.empty(0)
    start_at = _first_equal(totals, best, row_to - row_from)

    width = np.minimum(max_tokens, row_to - start_at)
    reached = _expand_ranges(start_at, width)
    totals = np.repeat(starts[start_at], width) + ends[reached]
    end_at = reached[_first_equal(totals, best, width)]

    spans = np.full((2, len(row_start) - 1), -1)
    score = np.full(len(row_start) - 1, -np.inf)
    spans[:, row], score[row] = (start_at - row_from, end_at - row_from), best
    return Spans(spans[0], spans[1], score)


def decode_answers(
    logits: ContextLogits,
    *,
    ids: Sequence[str],
    contexts: Sequence[str],
    offsets: IntArray,
    max_tokens: int,
    offset_start: IntArray | None = None,
) -> pd.DataFrame:
    """Read the best answer of every example off its context.

    `offsets` (tokens, 2) are the half-open character ranges of context tokens. Those of example i
    begin at `offset_start[i]`; left out, they lie as the logits do. Blanks and invisible marks are
    cut off both ends, so that `prediction == context[start_char:end_char]` always. An example
    without a span of a score above -inf answers "" at 0, 0.

    Returns columns id, prediction, score, start_char, end_char (half-open), one row an example.

    Raises:
        ValueError: ids, contexts and logits differ in their number of rows, or see `best_spans`.
    """
    rows = len(logits.row_start) - 1
    if not len(ids) == len(contexts) == rows:
        raise ValueError(f"{len(ids)} ids, {len(contexts)} contexts, logits of {rows} examples")
    spans = best_spans(logits.start, logits.end, logits.row_start, max_tokens=max_tokens)
    first = logits.row_start[:-1] if offset_start is None else offset_start
    found = np.flatnonzero(spans.score > -np.inf)
    chars = np.zeros((rows, 2), dtype=np.int64)
    chars[found, 0] = offsets[first[found] + spans.start_token[found], 0]
    chars[found, 1] = offsets[first[found] + spans.end_token[found], 1]
    answers = [
        _trim(context, start_char, end_char)
        for context, (start_char, end_char) in zip(contexts, chars.tolist(), strict=True)
    ]
    table = pd.DataFrame(answers, columns=["prediction", "start_char", "end_char"])
    table.insert(0, "id", list(ids))
    table.insert(2, "score", spans.score)
    return table.astype({"prediction": "str", "start_char": "int64", "end_char": "int64"})


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
    return _expand_ranges(row_start[example] + first, last - first)


def _merge_max(logits: FloatArray, place: _Positions, tokens: int) -> _Logits:
    merged = np.full(tokens, -np.inf, dtype=np.float32)
    np.maximum.at(merged, place, logits.astype(np.float32))
    return merged


def _merge_mean(logits: FloatArray, place: _Positions, tokens: int) -> _Logits:
    count = np.bincount(place, minlength=tokens)
    total = np.bincount(place, weights=logits, minlength=tokens)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf).astype(np.float32)


def _slide_maximum(values: FloatArray, remaining: _Positions, width: int) -> FloatArray:
    """Largest of the next `width` values, `values[i]` included, or of `remaining[i]` if fewer."""
    reach, covered = values.copy(), 1
    width = min(width, int(remaining.max(initial=1)))
    while covered < width:
        step = min(covered, width - covered)
        head = reach[:-step]  # each step doubles the width that one value stands for
        np.maximum(head, reach[step:], out=head, where=remaining[:-step] > step)
        covered += step
    return reach


def _first_equal(
    values: NDArray[np.float64], wanted: NDArray[np.float64], length: _Positions
) -> _Positions:
    """Flat position of the first value of each row that equals the row's wanted one."""
    hits = np.flatnonzero(values == np.repeat(wanted, length))
    return hits[np.searchsorted(hits, np.cumsum(length) - length)]


def _expand_ranges(first: _Positions, count: _Positions) -> _Positions:
    """first[0], first[0] + 1, ... `count[0]` numbers, then those of the next range, flat."""
    before = np.cumsum(count) - count
    return np.repeat(first - before, count) + np.arange(count.sum())


def _trim(context: str, start_char: int, end_char: int) -> tuple[str, int, int]:
    text = context[start_char:end_char]
    trimmed = _OUTER.sub("", text)
    first = start_char + text.find(trimmed)
    return trimmed, first, first + len(trimmed)


def _check_logits(name: str, logits: FloatArray) -> FloatArray:
    """Give logits in float32 at least: half precision is slow to compare."""
    values = np.asarray(logits, dtype=np.promote_types(logits.dtype, np.float32))
    wrong = np.flatnonzero(~(values < np.inf))
    if wrong.size:
        raise ValueError(f"{name} logits: {wrong.size} are NaN or +inf, first at {wrong[0]}")
    return values


def _check_rows(start: FloatArray, end: FloatArray, row_start: IntArray) -> None:
    if not len(row_start) or row_start[0] != 0 or (np.diff(row_start) < 0).any():
        raise ValueError(f"row_start must begin with 0 and never fall: {row_start[:8]}…")
    if not len(start) == len(end) == row_start[-1]:
        raise ValueError(
            f"row_start points at {row_start[-1]} tokens, but there are {len(start)} start and "
            f"{len(end)} end logits"
        )
