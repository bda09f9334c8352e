"""Find the best spans of start and end scores, exactly."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chaii.config.ensemble import SpanScore
from chaii.decoding.context_logits import FloatArray
from chaii.recipe.span_labels import IntArray, expand_ranges


class Spans(NamedTuple):
    """The best span of each row, or -1, -1 and -inf; tokens are counted from the row's first."""

    start_token: NDArray[np.int64]  # (rows,), or (rows, n)
    end_token: NDArray[np.int64]
    score: NDArray[np.float64]  # start score + end score


def score_tokens(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, how: SpanScore
) -> tuple[FloatArray, FloatArray]:
    """Scores of a start and of an end at each token, ``(tokens,)``; a span's score is their sum.

    - ``sum``: the logits themselves, which rank spans as the product of probabilities does.
    - ``softmax``: probabilities over the whole context, all its windows together.
    - ``sigmoid``: the logarithms of sigmoid(1.2 start) and sigmoid(end). Source: 36th place of
      chaii (Kaggle, 2021).

    A token with -inf keeps it.
    """
    if how is SpanScore.sum:
        return start, end
    if how is SpanScore.sigmoid:
        return -np.logaddexp(0, -1.2 * start), -np.logaddexp(0, -end)
    return softmax_rows(start, row_start), softmax_rows(end, row_start)


def softmax_rows(values: FloatArray, row_start: IntArray) -> NDArray[np.float64]:
    """Softmax inside each row; -inf stays -inf, so that no span uses it.

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
    result /= np.repeat(np.maximum(total, 1), length)  # 0 where a row is all -inf
    result[values == -np.inf] = -np.inf
    return result


def best_spans(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int | IntArray
) -> Spans:
    """Find the span with the largest start + end score of every row, exactly.

    A row may be an example or a window. A span is inside its row and holds 1 to `max_tokens`
    tokens: one number, or ``(tokens,)`` with a limit for the spans that start at each token. Among
    equals the earliest start wins, then the earliest end. Scores are finite or -inf; they are added
    in float64, which is exact for float16 logits. A row of n tokens takes O(n log max_tokens).

    Raises:
        ValueError: `max_tokens` is below 1.

    >>> logits = np.array([0.0, 2.0, 1.0, 3.0])
    >>> best_spans(logits, logits, np.array([0, 4]), max_tokens=2).start_token
    array([3])
    """
    first, last, score = best_n_spans(start, end, row_start, max_tokens=max_tokens, n=1)
    return Spans(first[:, 0], last[:, 0], score[:, 0])


def best_n_spans(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int | IntArray, n: int
) -> Spans:
    """Find the `n` best spans of every row, exactly, best first; see `best_spans`.

    Returns columns of shape ``(rows, n)``, padded with -1, -1 and -inf.

    Raises:
        ValueError: `max_tokens` or `n` is below 1.

    >>> logits = np.array([0.0, 2.0, 1.0])
    >>> best_n_spans(logits, logits, np.array([0, 3]), max_tokens=2, n=3).score
    array([[4., 3., 2.]])
    """
    if n < 1 or np.min(max_tokens, initial=1) < 1:
        raise ValueError(f"n={n}, max_tokens={np.min(max_tokens)}: both must be at least 1")
    rows = len(row_start) - 1
    spans = Spans(np.full((rows, n), -1), np.full((rows, n), -1), np.full((rows, n), -np.inf))
    limit = np.broadcast_to(max_tokens, len(start))
    for row, (low, high) in enumerate(pairwise(row_start.tolist())):
        begin, finish = start[low:high], end[low:high]
        width = np.minimum(limit[low:high], np.arange(high - low, 0, -1))
        # The n best spans begin at the n starts whose own best span scores highest.
        highest = np.add(begin, _range_maximum(finish, width), dtype=np.float64)
        least = np.partition(highest, -n)[-n] if high - low > n else -np.inf
        first = np.flatnonzero((highest >= least) & (highest > -np.inf))
        last = expand_ranges(first, width[first])
        first = np.repeat(first, width[first])
        score = np.add(begin[first], finish[last], dtype=np.float64)
        best = np.lexsort((last, first, -score))[:n]
        best = best[score[best] > -np.inf]
        for column, found in zip(spans, (first, last, score), strict=True):
            column[row, : len(best)] = found[best]
    return spans


def log_total(
    start: FloatArray, end: FloatArray, row_start: IntArray, *, max_tokens: int | IntArray
) -> NDArray[np.float64]:
    """Logarithm of the sum of exp(start + end) over all spans of each row, ``(rows,)``.

    The spans are those of `best_spans`: exp(score - total) is the probability of one among them.
    -inf where a row has none.

    >>> logits = np.log(np.array([1.0, 2.0]))
    >>> np.exp(log_total(logits, logits, np.array([0, 2]), max_tokens=2)).round(6)  # 1 + 2 + 4
    array([7.])
    """
    totals = np.full(len(row_start) - 1, -np.inf)
    limit = np.broadcast_to(max_tokens, len(start))
    widest = int(limit.max(initial=1))
    for row, (low, high) in enumerate(pairwise(row_start.tolist())):
        padded = np.concatenate([end[low:high].astype(float), np.full(widest - 1, -np.inf)])
        if low < high:
            ends = np.lib.stride_tricks.sliding_window_view(padded, widest)
            reached = np.arange(widest) < limit[low:high, None]
            scores = np.where(reached, start[low:high, None] + ends, -np.inf)
            totals[row] = np.logaddexp.reduce(scores, axis=None)
    return totals


def _range_maximum(values: FloatArray, width: IntArray) -> FloatArray:
    """Largest of ``values[i : i + width[i]]`` for every i.

    Two overlapping runs cover each range; their length is the largest power of two that fits. It
    takes 0.08 s for the characters of 300 contexts that `fuse_characters` searches, where adding up
    all spans by `sliding_window_view` takes 2.1 s.
    """
    runs, size = [values], 1  # runs[k][i]: largest of values[i : i + 2 ** k]
    while 2 * size <= width.max(initial=1):
        longer = runs[-1].copy()
        np.maximum(longer[:-size], runs[-1][size:], out=longer[:-size])
        runs.append(longer)
        size *= 2
    power = np.frexp(width)[1] - 1
    first = np.arange(len(values))
    table = np.stack(runs)
    largest: FloatArray = np.maximum(table[power, first], table[power, first + width - 2**power])
    return largest
