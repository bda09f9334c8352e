from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from chaii.config.ensemble import Merge
from chaii.decoding.context_logits import (
    ContextLogits,
    join_logits,
    merge_windows,
    read_context_logits,
)
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction


def table_of(*windows: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(windows), columns=["example", "context_from", "context_to"])


@pytest.mark.parametrize(
    ("merge", "expected"),
    [(Merge.max, [9, 2, 7, 4, -np.inf]), (Merge.mean, [9, 2, 5, 4, -np.inf])],
)
def test_overlapping_windows_merge_onto_context_tokens(merge: Merge, expected: list[float]) -> None:
    windows = table_of((2, 1, 3), (0, 0, 1), (2, 0, 2))  # in no order; example 1 is empty
    logits = np.array([7, 4, 9, 2, 3], dtype=np.float16)
    merged = merge_windows(windows, logits, lengths=np.array([1, 0, 4]), merge=merge)
    assert merged.tolist() == expected
    assert merged.dtype == np.float32


@pytest.mark.parametrize("merge", [Merge.max, Merge.mean])
def test_merging_equals_a_plain_loop(merge: Merge) -> None:
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
    merged = merge_windows(windows, logits, lengths=lengths, merge=merge)
    reduce = max if merge is Merge.max else lambda values: sum(values) / len(values)
    expected = [reduce(seen[key]) for key in sorted(seen)]
    assert merged.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("window", "tokens", "message"),
    [
        ((0, 0, 4), 4, "window 0 covers tokens 0 to 4 of example 0: outside its 3 tokens"),
        ((1, 0, 1), 1, "of the 1 examples"),
        ((-1, 0, 1), 1, "of the 1 examples"),
        ((0, 2, 1), 0, "window 0"),
        ((0, 0, 3), 2, "2 logits for windows that cover 3"),
    ],
)
def test_windows_that_do_not_fit_are_refused(
    window: tuple[int, int, int], tokens: int, message: str
) -> None:
    logits = np.zeros(tokens, dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        merge_windows(table_of(window), logits, lengths=np.array([3]), merge=Merge.max)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_logits_are_refused(broken: float) -> None:
    logits = np.array([0, broken, 0], dtype=np.float16)
    with pytest.raises(ValueError, match=r"1 of 3 logits are NaN or \+inf, the first at 1"):
        merge_windows(table_of((0, 0, 3)), logits, lengths=np.array([3]), merge=Merge.max)


@pytest.fixture
def stored(make_examples, tokenizers, tmp_path):
    """A prediction of examples with several windows each, and the store of its tokens."""
    contexts = ["a b c", " ".join(f"w{n}" for n in range(90)), "c d " * 30]
    examples = make_examples([("q", context, None, 0) for context in contexts])
    store = open_store(examples, tokenizers["wordpiece"], tmp_path)
    windows = slide(store, max_length=30, doc_stride=8)
    rng = np.random.default_rng(0)
    width = int((windows["context_to"] - windows["context_from"]).sum())
    start, end = rng.normal(size=(2, width)).astype(np.float16)
    null = rng.normal(size=(len(windows), 2)).astype(np.float16)
    return Prediction(examples, windows, start, end, null), store


def test_rows_are_read_as_among_all(stored) -> None:
    prediction, store = stored
    assert prediction.windows["example"].value_counts().max() > 3
    for merge in Merge:
        every = read_context_logits(prediction, store, max_answer_tokens=5, merge=merge)
        for rows in ([0], [1, 2], [2, 0], []):
            chosen = np.array(rows, dtype=np.int64)
            some = read_context_logits(
                prediction, store, max_answer_tokens=5, merge=merge, rows=chosen
            )
            assert_same(some, every.select(chosen))


def test_tokens_come_with_their_texts(stored) -> None:
    prediction, store = stored
    logits = read_context_logits(prediction, store, max_answer_tokens=5)
    assert list(logits.ids) == list(prediction.examples["id"])
    for row, context in enumerate(logits.contexts):
        tokens = logits.offsets[logits.row_start[row] : logits.row_start[row + 1]]
        assert len(tokens) == store.context_lengths()[row]
        assert tokens[-1, 1] == len(context.rstrip())


def test_of_several_windows_the_lowest_null_logit_counts(stored) -> None:
    prediction, store = stored
    logits = read_context_logits(prediction, store, max_answer_tokens=5, merge=Merge.max)
    sums = prediction.null_logits.astype(np.float32).sum(axis=1)
    lowest = [sums[prediction.windows["example"] == row].min() for row in range(len(logits))]
    assert logits.null.tolist() == lowest
    assert logits.null.dtype == np.float32


def test_the_odds_are_the_mean_above_no_answer_in_each_window(stored) -> None:
    prediction, store = stored
    seen: dict[tuple[int, int], list[float]] = {}
    flat = iter(prediction.start_logits.astype(float))
    for window, null in zip(prediction.windows.itertuples(), prediction.null_logits, strict=True):
        for token in range(window.context_from, window.context_to):
            seen.setdefault((window.example, token), []).append(next(flat) - float(null[0]))
    expected = [sum(seen[key]) / len(seen[key]) for key in sorted(seen)]
    logits = read_context_logits(prediction, store, max_answer_tokens=5, merge=Merge.odds)
    assert logits.start.tolist() == pytest.approx(expected, abs=1e-5)
    assert logits.null.tolist() == [0] * len(logits)


@pytest.mark.parametrize("merge", list(Merge))
def test_a_surer_no_answer_moves_a_window_down_in_the_odds_alone(stored, merge: Merge) -> None:
    prediction, store = stored
    surer = replace(prediction, null_logits=prediction.null_logits + np.float16(2))
    before, after = (
        read_context_logits(one, store, max_answer_tokens=5, merge=merge)
        for one in (prediction, surer)
    )
    moved = 2 if merge is Merge.odds else 0
    assert (before.end - after.end).tolist() == pytest.approx([moved] * len(before.end), abs=0.01)


@pytest.mark.parametrize("merge", list(Merge))
def test_selected_and_joined_rows_are_those_rows(stored, merge: Merge) -> None:
    logits = read_context_logits(*stored, max_answer_tokens=5, merge=merge)
    parts = [logits.select(np.array(rows)) for rows in ([0, 1], [2])]
    assert_same(join_logits(parts), logits)


@pytest.mark.parametrize(
    "name", ["ids", "contexts", "offsets", "start", "end", "tokens_left", "null"]
)
def test_fields_that_do_not_fit_are_refused(stored, name: str) -> None:
    logits = read_context_logits(*stored, max_answer_tokens=5, merge=Merge.none)
    with pytest.raises(ValueError, match=f"{name}: .* for 3 rows of"):
        replace(logits, **{name: getattr(logits, name)[1:]})


def assert_same(some: ContextLogits, others: ContextLogits) -> None:
    for field in fields(ContextLogits):
        found, expected = getattr(some, field.name), getattr(others, field.name)
        assert np.array_equal(found, expected), field.name
