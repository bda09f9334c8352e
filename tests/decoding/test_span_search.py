from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chaii.config.ensemble import SpanScore
from chaii.decoding.span_search import best_n_spans, best_spans, log_total, score_tokens

Logits = NDArray[np.float32]


def brute_force(start: Logits, end: Logits, max_tokens: int) -> tuple[int, int, float]:
    """Try every legal span of one row, in order; an earlier one wins a tie."""
    best = (-1, -1, -np.inf)
    for first in range(len(start)):
        for last in range(first, min(first + max_tokens, len(start))):
            score = float(start[first]) + float(end[last])
            if score > best[2]:
                best = (first, last, score)
    return best


def random_rows(rng: np.random.Generator, rows: int, kind: str) -> tuple[Logits, Logits, Logits]:
    lengths = rng.choice([0, 1, 2, 3, 7, 20, 45], size=rows)
    row_start = np.concatenate([[0], np.cumsum(lengths)])
    start, end = rng.normal(scale=4, size=(2, row_start[-1]))
    if kind == "ties":
        start, end = start.round() // 4, end.round() // 4
    if kind == "masked":
        start[rng.random(start.size) < 0.6] = -np.inf
        end[rng.random(end.size) < 0.6] = -np.inf
    dtype = np.float16 if kind == "half" else np.float32
    return start.astype(dtype), end.astype(dtype), row_start


@pytest.mark.parametrize("kind", ["plain", "ties", "masked", "half"])
@pytest.mark.parametrize("max_tokens", [1, 2, 5, 16, 30, 1000])
def test_best_spans_equal_brute_force(kind: str, max_tokens: int) -> None:
    start, end, row_start = random_rows(np.random.default_rng(max_tokens), 105, kind)
    spans = best_spans(start, end, row_start, max_tokens=max_tokens)
    expected = [brute_force(start[a:b], end[a:b], max_tokens) for a, b in pairwise(row_start)]
    assert list(zip(*(column.tolist() for column in spans), strict=True)) == expected


def test_a_row_without_a_possible_span_has_none() -> None:
    start = np.array([0, -np.inf, -np.inf, 0], dtype=np.float32)
    end = np.array([-np.inf, -np.inf, 0, -np.inf], dtype=np.float32)
    spans = best_spans(start, end, np.array([0, 2, 4]), max_tokens=2)
    assert spans.start_token.tolist() == spans.end_token.tolist() == [-1, -1]
    assert spans.score.tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [1], [0, 1, 0]])
def test_best_spans_take_empty_rows(lengths: list[int]) -> None:
    row_start = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    logits = np.ones(row_start[-1], dtype=np.float16)
    spans = best_spans(logits, logits, row_start, max_tokens=3)
    assert spans.start_token.tolist() == spans.end_token.tolist() == [n - 1 for n in lengths]
    assert spans.score.tolist() == [2.0 if n else -np.inf for n in lengths]


def test_best_spans_take_a_long_context() -> None:
    logits = np.zeros(100_000, dtype=np.float16)
    logits[[60_000, 99_999]] = 5
    spans = best_spans(logits, logits, np.array([0, 100_000]), max_tokens=100_000)
    assert (spans.start_token[0], spans.end_token[0], spans.score[0]) == (60_000, 60_000, 10.0)


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"max_tokens": np.array([2, 0, 2])}, {"n": 0}]
)
def test_limits_below_one_are_refused(wrong: dict[str, Any]) -> None:
    logits = np.zeros(3, dtype=np.float32)
    with pytest.raises(ValueError, match="must be at least 1"):
        best_n_spans(logits, logits, np.array([0, 3]), **{"max_tokens": 2, "n": 1} | wrong)


def all_spans(
    start: Logits, end: Logits, widths: NDArray[np.int64]
) -> list[tuple[float, int, int]]:
    """Every legal span of one row that is possible at all, best first."""
    spans = [
        (-(float(start[first]) + float(end[last])), first, last)
        for first in range(len(start))
        for last in range(first, min(first + widths[first], len(start)))
    ]
    return sorted(span for span in spans if span[0] < np.inf)


@pytest.mark.parametrize("kind", ["plain", "ties", "masked", "half"])
@pytest.mark.parametrize("n", [1, 3, 20])
def test_the_n_best_spans_equal_brute_force(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    start, end, row_start = random_rows(rng, 60, kind)
    widths = rng.integers(1, 9, size=len(start))  # a limit of its own for each start
    spans = best_n_spans(start, end, row_start, max_tokens=widths, n=n)
    for row, (a, b) in enumerate(pairwise(row_start)):
        expected = all_spans(start[a:b], end[a:b], widths[a:b])[:n]
        found = [
            (-spans.score[row, rank], spans.start_token[row, rank], spans.end_token[row, rank])
            for rank in range(n)
            if spans.start_token[row, rank] >= 0
        ]
        assert found == expected


def test_softmax_scores_are_probabilities_over_the_whole_row() -> None:
    start, end, row_start = random_rows(np.random.default_rng(3), 50, "masked")
    scored = score_tokens(start, end, row_start, how=SpanScore.softmax)
    for logits, scores in zip((start, end), scored, strict=True):
        for a, b in pairwise(row_start):
            possible = np.isfinite(logits[a:b])
            expected = np.exp(logits[a:b][possible].astype(float))
            np.testing.assert_allclose(scores[a:b][possible], expected / expected.sum(), rtol=1e-6)
            assert (scores[a:b][~possible] == -np.inf).all()


def test_sigmoid_scores_rank_as_the_product_of_sigmoids() -> None:
    start, end = np.array([[3, -200], [-1, -np.inf]], np.float32)
    start_score, end_score = score_tokens(start, end, np.array([0, 2]), how=SpanScore.sigmoid)
    expected = 1 / (1 + np.exp(-1.2 * 3)) / (1 + np.exp(1))
    assert np.exp(start_score[0] + end_score[0]) == pytest.approx(expected)
    assert start_score[1] == pytest.approx(-240)
    assert end_score[1] == -np.inf


def test_rows_without_tokens_have_no_span():
    nothing = np.zeros(0)
    totals = log_total(nothing, nothing, np.array([0, 0, 0]), max_tokens=3)
    assert totals.tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("max_tokens", [1, 3, 60])
def test_the_total_is_that_of_all_spans(max_tokens):
    rng = np.random.default_rng(max_tokens)
    start, end, row_start = random_rows(rng, 20, "plain")
    totals = log_total(start, end, row_start, max_tokens=max_tokens)
    for total, (low, high) in zip(totals, pairwise(row_start), strict=True):
        scores = [
            float(start[first]) + float(end[last])
            for first in range(low, high)
            for last in range(first, min(first + max_tokens, high))
        ]
        assert total == pytest.approx(np.log(np.exp(scores).sum()) if scores else -np.inf)
