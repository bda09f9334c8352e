from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from chaii.config.ensemble import DecodeConfig, Merge, SpanScore
from chaii.decoding.context_logits import ContextLogits, read_context_logits
from chaii.decoding.decode import decode_answers, decode_n_best
from chaii.decoding.span_search import best_spans
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction

CONTEXT = "राजधानी नई दिल्ली  है।"
OFFSETS = np.array([[0, 7], [7, 10], [10, 17], [17, 19], [19, 21], [21, 22]], dtype=np.int32)


def logits_of(contexts, offsets, logits, *, null=None, max_tokens=5):
    """Logits of starts and ends alike: one list of offsets and one of logits per context."""
    row_start = np.concatenate([[0], np.cumsum([len(row) for row in logits])]).astype(np.int64)
    flat = np.array([value for row in logits for value in row], dtype=np.float32)
    null = None if null is None else np.array(null, dtype=np.float32)
    return ContextLogits(
        ids=[f"q{row}" for row in range(len(contexts))],
        contexts=contexts,
        row_start=row_start,
        offsets=np.array([pair for row in offsets for pair in row]).reshape(-1, 2),
        start=flat,
        end=flat,
        max_answer_tokens=max_tokens,
        null=np.zeros(len(contexts)) if null is None else np.array(null),
    )


def logits_for_span(first, last):
    start, end = np.zeros((2, len(OFFSETS)), dtype=np.float32)
    start[first] = end[last] = 1
    return replace(logits_of([CONTEXT], [OFFSETS], [start]), end=end)


def word_offsets(text):
    ends = np.cumsum([len(word) + 1 for word in text.split()]) - 1
    return [[end - len(word), end] for word, end in zip(text.split(), ends, strict=True)]


@pytest.mark.parametrize(
    ("first", "last", "answer"),
    [
        (0, 0, ("राजधानी", 0, 7)),
        (1, 2, ("नई दिल्ली", 8, 17)),  # the piece holds the leading space
        (1, 3, ("नई दिल्ली", 8, 17)),  # ... and the last one is all spaces
        (3, 3, ("", 17, 17)),
        (4, 5, ("है।", 19, 22)),
    ],
)
def test_answers_are_trimmed_slices_of_the_context(first, last, answer):
    row = decode_answers(logits_for_span(first, last)).iloc[0]
    assert (row.prediction, row.start_char, row.end_char) == answer
    assert row.prediction == CONTEXT[row.start_char : row.end_char]
    assert row.score == 2.0


def test_no_answer_splits_a_grapheme():
    pieces = [[0, 1], [1, 2], [2, 4], [4, 6], [7, 8]]  # of दिल्ली: vowel sign and virama apart
    for place in range(4):
        logits = [[float(place == token) for token in range(5)]]
        answer = decode_answers(logits_of(["दिल्ली है"], [pieces], logits, max_tokens=1))
        assert answer.prediction[0] in {"दि", "ल्ली"}


def test_examples_without_a_possible_span_answer_nothing():
    answers = decode_answers(
        logits_of(["", "ab"], [[], [[0, 1], [1, 2]]], [[], [-np.inf, -np.inf]])
    )
    assert answers.to_dict("list") == {
        "id": ["q0", "q1"],
        "prediction": ["", ""],
        "score": [-np.inf, -np.inf],
        "start_char": [0, 0],
        "end_char": [0, 0],
    }


def test_decoding_nothing_gives_an_empty_table():
    assert decode_answers(logits_of([], [], [])).shape == (0, 5)


@pytest.mark.parametrize("outer", ["\ufeff", "\u200b", "\u200e ", " \u200f"])
def test_invisible_marks_around_an_answer_are_cut_off(outer):
    context = f"x {outer}दिल्ली{outer} y"
    answers = decode_answers(logits_of([context], [[[2, len(context) - 2]]], [[1]]))
    assert answers["prediction"][0] == "दिल्ली"
    assert context[answers["start_char"][0] : answers["end_char"][0]] == "दिल्ली"


def test_an_answer_holds_no_more_words_than_allowed():
    text = "एक दो तीन चार"
    logits = logits_of([text, text], [word_offsets(text)] * 2, [[2, 1, 1, 2], [1, 0, 2, 2]])
    start, end = (
        np.array(side, np.float32) for side in ([9, 0, 0, 0, 0, 9, 0, 0], [0, 0, 0, 9, 0, 0, 0, 9])
    )
    logits = replace(logits, start=start, end=end)
    for most in (1, 2, 3, 4):
        answers = decode_answers(logits, decoding=DecodeConfig(max_words=most))
        assert [len(answer.split()) <= most for answer in answers.prediction] == [True, True]
    assert answers.prediction.tolist() == [text, "दो तीन चार"]


@pytest.mark.parametrize(("max_tokens", "answer"), [(1, "दो"), (3, "दो तीन चार"), (None, "दो तीन")])
def test_an_answer_holds_no_more_tokens_than_set_or_trained(max_tokens, answer):
    text = "एक दो तीन चार"
    logits = logits_of([text], [word_offsets(text)], [[0, 9, 0, 0]], max_tokens=2)
    logits = replace(logits, end=np.array([0, 0, 1, 2], np.float32))
    answers = decode_answers(logits, decoding=DecodeConfig(max_tokens=max_tokens))
    assert answers.prediction.tolist() == [answer]


def test_pieces_of_one_word_count_as_one():
    pieces = [[0, 2], [2, 4], [5, 6]]
    logits = logits_of(["abcd e"], [pieces], [[1, 1, 0]], max_tokens=9)
    best = decode_n_best(logits, n=9, decoding=DecodeConfig(max_words=1))
    assert set(best.prediction) == {"ab", "abcd", "cd", "e"}


def test_no_answer_wins_where_it_outweighs_the_best_span_by_more_than_the_threshold():
    logits = logits_of(["ab", "ab"], [[[0, 2]]] * 2, [[1], [1]], null=[4.5, 3.5])
    for score in SpanScore:
        decoding = DecodeConfig(null_threshold=2, score=score)
        assert decode_answers(logits, decoding=decoding).prediction.tolist() == ["", "ab"]
    assert decode_answers(logits).prediction.tolist() == ["ab", "ab"]


def test_no_answer_is_compared_with_the_span_of_its_own_row():
    places = [[[0, 1], [2, 3]]] * 3
    logits = logits_of(["a b"] * 3, places, [[9, 1], [1, 2], [1, 6]], null=[9, 9, 9])
    answers = decode_answers(logits, decoding=DecodeConfig(null_threshold=0))
    assert answers.prediction.tolist() == ["a", "", "b"]


def test_the_n_best_answers_come_best_first_example_after_example():
    logits = logits_of(["a b", "c"], [[[0, 1], [2, 3]], [[0, 1]]], [[1, 3], [0]])
    best = decode_n_best(logits, n=2)
    assert best[["id", "rank", "prediction", "score"]].to_numpy().tolist() == [
        ["q0", 0, "b", 6.0],
        ["q0", 1, "a b", 4.0],
        ["q1", 0, "c", 0.0],
    ]


def test_selected_rows_answer_as_among_all():
    rng = np.random.default_rng(0)
    text = "राजधानी नई दिल्ली है"
    logits = logits_of([text] * 9, [word_offsets(text)] * 9, rng.normal(size=(9, 4)))
    rows = np.array([7, 2, 2])
    every = decode_answers(logits).iloc[rows].reset_index(drop=True)
    assert decode_answers(logits.select(rows)).equals(every)


@pytest.fixture
def overlapping(make_examples, tokenizers, tmp_path):
    """A prediction whose windows overlap by more than an answer's length, and its token store."""
    contexts = [" ".join(f"w{n}" for n in range(size)) for size in (60, 3, 45)]
    examples = make_examples([("q", context, None, 0) for context in contexts])
    store = open_store(examples, tokenizers["wordpiece"], tmp_path)
    windows = slide(store, max_length=30, doc_stride=15)
    rng = np.random.default_rng(0)
    width = int((windows["context_to"] - windows["context_from"]).sum())
    logits = rng.normal(scale=4, size=(2, width)).astype(np.float16)
    return Prediction(examples, windows, *logits, np.zeros((len(windows), 2), np.float16)), store


def read(overlapping, merge, *, max_tokens=5):
    return read_context_logits(*overlapping, max_answer_tokens=max_tokens, merge=merge)


def test_an_unmerged_span_takes_both_logits_from_one_window(overlapping):
    prediction, _ = overlapping
    windows = prediction.windows
    width = windows["context_to"] - windows["context_from"]
    spans = best_spans(
        prediction.start_logits,
        prediction.end_logits,
        np.concatenate([[0], np.cumsum(width)]),
        max_tokens=5,
    )
    best = pd.Series(spans.score).groupby(windows["example"].to_numpy()).max()
    unmerged = decode_answers(read(overlapping, Merge.none))
    assert unmerged["score"].tolist() == best.tolist()
    assert (decode_answers(read(overlapping, Merge.max))["score"] >= unmerged["score"]).all()
    assert decode_answers(read(overlapping, Merge.max))["score"][0] > unmerged["score"][0]


@pytest.mark.parametrize("max_words", [1, 2])
def test_an_unmerged_span_holds_no_more_words_than_allowed(overlapping, max_words):
    logits = read(overlapping, Merge.none, max_tokens=30)
    best = decode_n_best(logits, n=20, decoding=DecodeConfig(max_words=max_words))
    assert best["prediction"].str.split().str.len().max() == max_words


def test_the_n_best_unmerged_answers_hold_each_span_once(overlapping):
    best = decode_n_best(read(overlapping, Merge.none), n=20)
    assert not best.duplicated(["id", "start_char", "end_char"]).any()
    assert best["rank"].tolist()[:20] == list(range(20))
    first = best[best["rank"] == 0].drop(columns="rank").reset_index(drop=True)
    assert first.equals(decode_answers(read(overlapping, Merge.none)))
