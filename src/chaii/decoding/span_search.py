"""Find the best spans of start and end scores, exactly, by array operations over all rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chaii.config.ensemble import SpanScore
from chaii.decoding.context_logits import FloatArray
from chaii.recipe.span_labels import IntArray, expand_ranges

_CHUNK_TOKENS = 1 << 18  # tokens worked on together: bounds the memory, and fits the cache
_Positions = NDArray[np.int64]


class Spans(NamedTuple):
    """The best span of each row, or -1, -1 and -inf; tokens count from the row's first."""

    start_token: NDArray[np.int64]  # (rows,), or (rows, n)
    end_token: NDArray[np.int64]
    score: NDArray[np.float64]  # start score + end score


def score_tokens(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, how: SpanScore
) -> tuple[FloatArray, FloatArray]:
    """Scores of starting and of ending at each token, ``(tokens,)``, that a span adds up.

    - ``sum``: the logits as they are. It ranks spans as the product of probabilities does.
    - ``softmax``: probabilities over the whole context, all its windows together.
    - ``sigmoid``: the logarithms of sigmoid(1.2 start) and sigmoid(end). Source: 36th place of
      chaii (Kaggle, 2021).

    A token that no window covered keeps -inf.
    """
    if how is SpanScore.sum:
        return start, end
    if how is SpanScore.sigmoid:
        return -np.logaddexp(0, -1.2 * start), -np.logaddexp(0, -end)
    return softmax_rows(start, row_start), softmax_rows(end, row_start)


def softmax_rows(values: FloatArray, row_start: IntArray) -> NDArray[np.float64]:
    """Softmax inside each row; -inf stays -inf, so that no span may use it.

    >>> softmax_rows(np.array([1.0, 1.0, -np.inf, 5.0]), np.array([0, 3, 4]))
    array([ 0.5,  0.5, -inf,  1. ])
    """
    result = values.astype(np.float64)
    length = np.diff(row_start)
    filled = np.flatnonzero(length)
    if not filled.size:
        return result
    first, length = row_start[:-1][filled], length[filled]
    peak = np.maximum.reduceat(result, first)
    result -= np.repeat(np.where(np.isfinite(peak), peak, 0), length)
    np.exp(result, out=result)
    total = np.add.reduceat(result, first)
    result /= np.repeat(np.where(total > 0, total, 1), length)
    result[values == -np.inf] = -np.inf
    return result


def best_spans(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int | IntArray
) -> Spans:
    """Find the span with the largest start + end score of every row, exactly.

    A row may be an example or a window. Legal spans lie inside the row and hold 1 to `max_tokens`
    tokens: one number, or ``(tokens,)`` one for the spans that start at each token. Among equals
    the earliest start wins, then the earliest end. Sums are taken in float64: exact for float16
    logits. Time O(tokens log max_tokens), memory flat in the number of rows.

    Raises:
        ValueError: a score is NaN or +inf, `max_tokens` is below 1, or lengths and pointers differ.

    >>> logits = np.array([0.0, 2.0, 1.0, 3.0])
    >>> best_spans(logits, logits, np.array([0, 4]), max_tokens=2).start_token
    array([3])
    """
    parts = [_best_spans(rows) for rows in _split(start, end, row_start, max_tokens=max_tokens)]
    return _stack(parts)


def best_n_spans(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int | IntArray, n: int
) -> Spans:
    """Find the `n` best spans of every row, exactly, best first; see `best_spans`.

    Returns columns of shape (rows, n), padded with -1, -1 and -inf.

    Raises:
        ValueError: as `best_spans`, or `n` is below 1.

    >>> logits = np.array([0.0, 2.0, 1.0])
    >>> best_n_spans(logits, logits, np.array([0, 3]), max_tokens=2, n=3).score
    array([[4., 3., 2.]])
    """
    if n < 1:
        raise ValueError(f"n={n}: ask for at least 1 span")
    parts = [
        _best_n_spans(rows, n) for rows in _split(start, end, row_start, max_tokens=max_tokens)
    ]
    return _stack(parts)


class _Rows(NamedTuple):
    """A run of whole rows."""

    start: FloatArray  # (tokens,)
    end: FloatArray  # (tokens,)
    row_from: _Positions  # (rows,) first token
    length: _Positions  # (rows,)
    width: _Positions  # (tokens,) most tokens of a span that starts there and stays in its row


def _split(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int | IntArray
) -> Iterator[_Rows]:
    """The rows in runs of about `_CHUNK_TOKENS`; at least one run, be it empty."""
    if np.min(max_tokens, initial=1) < 1:
        raise ValueError(f"max_tokens={np.min(max_tokens)}: a span holds at least 1 token")
    _check_rows(start, end, row_start)
    limit = np.broadcast_to(max_tokens, len(start))
    pointers = np.asarray(row_start, dtype=np.int64)
    first, rows = 0, len(pointers) - 1
    while True:
        reach = np.searchsorted(pointers, pointers[first] + _CHUNK_TOKENS, side="right") - 1
        last = min(rows, max(first + 1, int(reach)))
        tokens = slice(pointers[first], pointers[last])
        length = np.diff(pointers[first : last + 1])
        row_from = pointers[first:last] - pointers[first]
        remaining = np.repeat(row_from + length, length) - np.arange(length.sum())
        yield _Rows(
            _check_logits("start", start[tokens], first=tokens.start),
            _check_logits("end", end[tokens], first=tokens.start),
            row_from,
            length,
            np.minimum(limit[tokens], remaining),
        )
        first = last
        if first >= rows:
            return


def _best_spans(rows: _Rows) -> Spans:
    filled = np.flatnonzero(rows.length)
    row_from, length = rows.row_from[filled], rows.length[filled]
    totals = _add(rows.start, _range_maximum(rows.end, rows.width))
    best = np.maximum.reduceat(totals, row_from) if filled.size else np.empty(0)
    start_at = _first_equal(totals, best, length)
    width = rows.width[start_at]
    reached = expand_ranges(start_at, width)
    totals = _add(np.repeat(rows.start[start_at], width), rows.end[reached])
    end_at = reached[_first_equal(totals, best, width)]

    spans = np.full((2, len(rows.length)), -1)
    score = np.full(len(rows.length), -np.inf)
    spans[:, filled], score[filled] = (start_at - row_from, end_at - row_from), best
    return Spans(spans[0], spans[1], score)


def _best_n_spans(rows: _Rows, n: int) -> Spans:
    """The n best spans start at the n best starts: each start before them has a better span."""
    owner = np.repeat(np.arange(len(rows.length)), rows.length)
    totals = _add(rows.start, _range_maximum(rows.end, rows.width))
    start_at, _ = _first_n(owner, totals, n)
    width = rows.width[start_at]
    first, last = np.repeat(start_at, width), expand_ranges(start_at, width)
    totals = _add(rows.start[first], rows.end[last])
    order = np.lexsort((last, first))
    first, last, totals = first[order], last[order], totals[order]
    kept, rank = _first_n(owner[first], totals, n)

    spans = np.full((2, len(rows.length), n), -1)
    score = np.full((len(rows.length), n), -np.inf)
    place = owner[first[kept]], rank
    spans[:, *place] = np.stack([first[kept], last[kept]]) - rows.row_from[place[0]]
    score[place] = totals[kept]
    impossible = score == -np.inf
    spans[:, impossible] = -1
    return Spans(spans[0], spans[1], score)


def _first_n(
    owner: _Positions, values: NDArray[np.float64], n: int
) -> tuple[_Positions, _Positions]:
    """Positions of the n largest values of each owner, the earliest among equals, and their ranks.

    Equal owners lie together.
    """
    order = np.lexsort((-values, owner))
    counts = np.bincount(owner) if owner.size else np.empty(0, np.int64)
    rank = expand_ranges(np.zeros_like(counts), counts)
    return order[rank < n], rank[rank < n]


def _add(start: FloatArray, end: FloatArray) -> NDArray[np.float64]:
    return np.add(start, end, dtype=np.float64)


def _range_maximum(values: FloatArray, width: _Positions) -> FloatArray:
    """Largest of ``values[i : i + width[i]]`` for every i: two overlapping powers of two each.

    Nearly all widths are the widest: these are read as slices, the others one by one.
    """
    widest = int(width.max(initial=1))
    narrow = np.flatnonzero(width < widest)
    power = np.frexp(width[narrow])[1] - 1  # the largest power of two that fits
    found = np.empty(len(narrow), dtype=values.dtype)
    reach, size = values.copy(), 1
    for level in range(widest.bit_length()):
        mine = np.flatnonzero(power == level)
        here = narrow[mine]
        found[mine] = np.maximum(reach[here], reach[here + width[here] - size])
        if 2 * size <= widest:
            np.maximum(reach[:-size], reach[size:], out=reach[:-size])
            size *= 2
    step = widest - size
    result = reach.copy()
    np.maximum(reach[: len(reach) - step], reach[step:], out=result[: len(reach) - step])
    result[narrow] = found
    return result


def _first_equal(
    values: NDArray[np.float64], wanted: NDArray[np.float64], length: _Positions
) -> _Positions:
    """Flat position of the first value of each row that equals the row's wanted one."""
    hits = np.flatnonzero(values == np.repeat(wanted, length))
    return hits[np.searchsorted(hits, np.cumsum(length) - length)]


def _stack(parts: list[Spans]) -> Spans:
    return Spans(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _check_logits(name: str, logits: FloatArray, *, first: int = 0) -> FloatArray:
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


def _check_rows(start: FloatArray, end: FloatArray, row_start: IntArray) -> None:
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
