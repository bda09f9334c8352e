"""Several answers of an example, each a positive: on tokens, in windows, where windows move."""

import numpy as np
import pytest

from chaii.recipe.token_store import open_store
from chaii.recipe.windows import crop, slide


@pytest.fixture(scope="module")
def examples(make_examples):
    """Long contexts with the answer at random places, one context without an answer."""
    generator = np.random.default_rng(0)
    rows, starts = [], []
    for _ in range(12):
        words = generator.choice(["शहर", "नदी", "थी।", "पटना"], 600, p=[0.4, 0.3, 0.295, 0.005])
        context = " ".join(words)
        places = [i for i in range(len(context)) if context.startswith("पटना", i)]
        starts.append(generator.permutation(places).tolist())
        rows.append(("कौन?", context, "पटना" if places else None, (starts[-1] or [0])[0]))
    texts = [["पटना"] * len(found) for found in starts]
    examples = make_examples(rows).remove_columns(["answer_text", "answer_start"])
    return examples.add_column("answer_text", texts).add_column("answer_start", starts)


@pytest.fixture(scope="module", params=["wordpiece", "unigram"])
def store(request, examples, tokenizers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    return open_store(examples, tokenizers[request.param], folder, every_answer=True)


def held_answers(store, window):
    """Answers wholly inside a window, by a plain scan, in the order they are listed."""
    answers = store.answers.of(window.example).tolist()
    low, high = window.context_from, window.context_to
    return [(first, last) for first, last in answers if low <= first and last < high]


def test_every_answer_is_located(store, examples):
    for i, (context, starts) in enumerate(
        zip(examples["context"], examples["answer_start"], strict=True)
    ):
        offsets = store.offsets[store.text_start[store.context[i]] :]
        spans = [
            context[offsets[first][0] : offsets[last][1]].strip()
            for first, last in store.answers.of(i)
        ]
        assert spans == ["पटना"] * len(starts)
    assert len(store.answers.tokens) > 24


def test_only_the_first_answer_counts_unless_all_are_asked_for(examples, tokenizers, tmp_path):
    for tokenizer in tokenizers.values():
        first = open_store(examples, tokenizer, tmp_path)
        every = open_store(examples, tokenizer, tmp_path, every_answer=True)
        for i in range(len(examples)):
            np.testing.assert_array_equal(first.answers.of(i), every.answers.of(i)[:1])


def test_a_window_is_positive_where_it_holds_any_answer(store):
    windows = slide(store, max_length=100, doc_stride=30)
    shift = len(store.template.before) + len(store.template.between)
    several = 0
    for window in windows.itertuples():
        held = held_answers(store, window)
        several += len(held) > 1
        moved = shift + store.question_lengths()[window.example] - window.context_from
        expected = tuple(np.add(held[0], moved)) if held else (-1, -1)
        assert (window.start_token, window.end_token) == expected
    assert several > 5
    assert 0 < (windows["start_token"] < 0).mean() < 1


def test_cropping_never_turns_a_window(store):
    windows = slide(store, max_length=100, doc_stride=30)
    for seed in range(5):
        moved = crop(windows, store, generator=np.random.default_rng(seed))
        assert ((windows["start_token"] < 0) == (moved["start_token"] < 0)).all()
        assert (windows["context_from"] != moved["context_from"]).mean() > 0.5
        for window in moved[moved["start_token"] < 0].itertuples():
            assert not held_answers(store, window)


def test_selected_examples_keep_their_answers(store):
    rows = np.array([7, 2, 7])
    part = store.select(rows)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(part.answers.of(i), store.answers.of(row))


@pytest.mark.parametrize("family", ["wordpiece", "unigram", "unigram_bert"])
def test_no_answer_ends_before_it_begins(family, tokenizers, make_examples, tmp_path):
    """A bare word-start piece has the characters of the piece after it."""
    contexts = ["ಕ್ಷ", "क है", "एक क", "x y", "ab c"]
    rows = [(f"{i}?", context, context[0], 0) for i, context in enumerate(contexts)]
    rows += [
        (f"{i}??", context, context[-1], len(context) - 1)
        for i, (_, context, *_) in enumerate(rows)
    ]
    store = open_store(make_examples(rows), tokenizers[family], tmp_path)
    first, last = store.answers.tokens.T
    assert (first >= 0).all()
    assert (first <= last).all()
    assert (last < store.context_lengths()).all()
    windows = slide(store, max_length=32, doc_stride=8)
    assert (windows["start_token"] >= 0).all()
    assert (windows["start_token"] <= windows["end_token"]).all()
