from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from chaii.answer.decode import ContextLogits, best_spans, decode_answers, merge_windows

Logits = NDArray[np.float32]


def brute_force(start: Logits, end: Logits, max_tokens: int) -> tuple[int, int, float]:
    """Try every legal span of one row, in order; an earlier one wins a tie."""
    best = (-1, -1, -np.inf)
    for first in range(len(start)):
        for last in range(first, min(first + max_tokens, len(start))):
            score = float(start[first]) + float(end[last])
            if best[0] == -1 or score > best[2]:
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
    start, end, row_start = random_rows(np.random.default_rng(max_tokens), 100, kind)
    spans = best_spans(start, end, row_start, max_tokens=max_tokens)
    expected = [brute_force(start[a:b], end[a:b], max_tokens) for a, b in pairwise(row_start)]
    assert list(zip(*(column.tolist() for column in spans), strict=True)) == expected


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


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["start", "end"])
def test_broken_logits_are_refused(broken: float, side: str) -> None:
    logits = {name: np.zeros(4, dtype=np.float32) for name in ("start", "end")}
    logits[side][2] = broken
    with pytest.raises(ValueError, match=f"{side} logits: 1 are NaN or .inf, first at 2"):
        best_spans(logits["start"], logits["end"], np.array([0, 4]), max_tokens=2)


@pytest.mark.parametrize(
    ("tokens", "row_start", "max_tokens", "message"),
    [
        (3, [0, 4], 2, "points at 4 tokens"),
        (3, [1, 3], 2, "begin with 0"),
        (3, [0, 4, 3], 2, "never fall"),
        (3, [0, 3], 0, "at least 1 token"),
    ],
)
def test_pointers_that_do_not_fit_are_refused(
    tokens: int, row_start: list[int], max_tokens: int, message: str
) -> None:
    logits = np.zeros(tokens, dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        best_spans(logits, logits, np.array(row_start), max_tokens=max_tokens)


def table_of(*windows: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(windows), columns=["example", "context_from", "context_to"])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("max", [9, 2, 7, 4, -np.inf]), ("mean", [9, 2, 5, 4, -np.inf])],
)
def test_overlapping_windows_merge_onto_context_tokens(how: str, expected: list[float]) -> None:
    windows = table_of((2, 1, 3), (0, 0, 1), (2, 0, 2))  # in no order; example 1 is empty
    logits = np.array([7, 4, 9, 2, 3], dtype=np.float16)
    merged = merge_windows(windows, logits, -logits, lengths=np.array([1, 0, 4]), how=how)
    assert merged.row_start.tolist() == [0, 1, 1, 5]
    assert merged.start.tolist() == expected
    assert merged.start.dtype == merged.end.dtype == np.float32


@pytest.mark.parametrize("how", ["max", "mean"])
def test_merging_equals_a_plain_loop(how: str) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(0, 60, size=40)
    windows = table_of(
        *(
            (example, first, min(first + 20, lengths[example]))
            for example in rng.permutation(40)
            for first in range(0, lengths[example], 7)
        )
    )
    logits = rng.normal(size=(windows.context_to - windows.context_from).sum()).astype(np.float16)
    seen: dict[tuple[int, int], list[float]] = {}
    flat = iter(logits.tolist())
    for window in windows.itertuples():
        for token in range(window.context_from, window.context_to):
            seen.setdefault((window.example, token), []).append(next(flat))
    merged = merge_windows(windows, logits, logits, lengths=lengths, how=how)
    reduce = max if how == "max" else lambda values: sum(values) / len(values)
    expected = [reduce(seen[key]) for key in sorted(seen)]
    assert merged.start.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("window", "tokens", "how", "message"),
    [
        ((0, 0, 4), 4, "max", "window 0 covers tokens 0 to 4 of example 0: outside its 3 tokens"),
        ((1, 0, 1), 1, "max", "of the 1 examples"),
        ((-1, 0, 1), 1, "max", "of the 1 examples"),
        ((0, 2, 1), 0, "max", "window 0"),
        ((0, 0, 3), 2, "max", "2 start and 2 end logits for windows that cover 3"),
        ((0, 0, 3), 3, "sum", "how='sum'"),
    ],
)
def test_windows_that_do_not_fit_are_refused(
    window: tuple[int, int, int], tokens: int, how: str, message: str
) -> None:
    logits = np.zeros(tokens, dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        merge_windows(table_of(window), logits, logits, lengths=np.array([3]), how=how)


def one_hot(first: int, last: int, tokens: int) -> ContextLogits:
    start, end = np.zeros((2, tokens), dtype=np.float32)
    start[first] = end[last] = 1
    return ContextLogits(start, end, np.array([0, tokens]))


CONTEXT = "राजधानी नई दिल्ली  है।"
OFFSETS = np.array([[0, 7], [7, 10], [10, 17], [17, 19], [19, 21], [21, 22]], dtype=np.int32)


@pytest.mark.parametrize(
    ("first", "last", "answer"),
    [
        (0, 0, ("राजधानी", 0, 7)),
        (1, 2, ("नई दिल्ली", 8, 17)),  # the piece holds the leading blank
        (1, 3, ("नई दिल्ली", 8, 17)),  # ... and the last one is all blanks
        (3, 3, ("", 17, 17)),
        (4, 5, ("है।", 19, 22)),
    ],
)
def test_answers_are_trimmed_slices_of_the_context(
    first: int, last: int, answer: tuple[str, int, int]
) -> None:
    row = decode_answers(
        one_hot(first, last, 6), ids=["q"], contexts=[CONTEXT], offsets=OFFSETS, max_tokens=5
    ).iloc[0]
    assert (row.prediction, row.start_char, row.end_char) == answer
    assert row.prediction == CONTEXT[row.start_char : row.end_char]
    assert row.score == 2.0


def test_examples_without_a_possible_span_answer_nothing() -> None:
    nothing = np.full(2, -np.inf, dtype=np.float32)
    answers = decode_answers(
        ContextLogits(nothing, nothing, np.array([0, 0, 2])),
        ids=["empty", "uncovered"],
        contexts=["", "ab"],
        offsets=np.array([[0, 1], [1, 2]]),
        max_tokens=2,
    )
    assert answers.to_dict("list") == {
        "id": ["empty", "uncovered"],
        "prediction": ["", ""],
        "score": [-np.inf, -np.inf],
        "start_char": [0, 0],
        "end_char": [0, 0],
    }


def test_examples_may_share_the_offsets_of_one_context() -> None:
    logits = np.array([0, 1, 0, 1, 0, 0], dtype=np.float32)
    answers = decode_answers(
        ContextLogits(logits, logits, np.array([0, 3, 6])),
        ids=["p", "q"],
        contexts=["one two six"] * 2,
        offsets=np.array([[-9, -9], [0, 3], [4, 7], [8, 11]]),
        offset_start=np.array([1, 1]),
        max_tokens=1,
    )
    assert answers.prediction.tolist() == ["two", "one"]


def test_decoding_nothing_gives_an_empty_table() -> None:
    none = np.empty(0, dtype=np.float32)
    answers = decode_answers(
        ContextLogits(none, none, np.array([0])),
        ids=[],
        contexts=[],
        offsets=np.empty((0, 2), dtype=np.int32),
        max_tokens=3,
    )
    assert answers.shape == (0, 5)


def test_decoding_refuses_rows_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="2 ids, 1 contexts, logits of 1 examples"):
        decode_answers(
            one_hot(0, 0, 6), ids=["p", "q"], contexts=[CONTEXT], offsets=OFFSETS, max_tokens=5
        )


@pytest.mark.parametrize("outer", ["\ufeff", "\u200b", "\u200e ", " \u200f"])
def test_invisible_marks_around_an_answer_are_cut_off(outer):
    context = f"x {outer}दिल्ली{outer} y"
    span = np.array([[2, len(context) - 2]])
    logits = ContextLogits(np.ones(1, np.float32), np.ones(1, np.float32), np.array([0, 1]))
    answers = decode_answers(logits, ids=["a"], contexts=[context], offsets=span, max_tokens=5)
    assert answers["prediction"][0] == "दिल्ली"
    assert context[answers["start_char"][0] : answers["end_char"][0]] == "दिल्ली"
