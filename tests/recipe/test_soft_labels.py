"""Soft labels: the probabilities of one tokenizer's tokens on the tokens of another."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from chaii.recipe.soft_labels import carry_over, cover_windows
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide

WORDS = ["गंगा", "नदी", "Xyzzy", "2525", "है।", "சென்னை", "the  river", "\u00a0ఫ", "it's"]
KINDS = ("wordpiece", "unigram", "unigram_bert")
PAIRS = sorted({*permutations(KINDS, 2), *((kind, kind) for kind in KINDS)})


@pytest.fixture(scope="module")
def examples(make_examples):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(12):
        words = [*generator.choice(WORDS, 10 * number), "पटना", *generator.choice(WORDS, 30)]
        context = " ".join(words)
        rows.append((f"कौन {number}?", context, "पटना", context.index("पटना")))
    return make_examples([*rows, ("कहाँ?", "", None, 0)])


@pytest.fixture(scope="module")
def stores(examples, tokenizers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    return {kind: open_store(examples, tokenizers[kind], folder) for kind in KINDS}


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request, stores, examples):
    """Windows of one tokenizer, its store, the other's tokens for them, and what carries over."""
    ours, theirs = (stores[kind] for kind in request.param)
    windows = slide(ours, max_length=48, doc_stride=8)
    other = cover_windows(windows, ours, theirs)

    def carry(chances):
        return carry_over(chances, windows, ours, other, examples["context"])

    return windows, ours, theirs, other, carry


def cls_places(counts):
    """Where the [CLS] token of each window is among tokens of one window after another."""
    return np.cumsum(counts + 1) - counts - 1


def test_no_probability_is_lost(pair):
    windows, _, _, other, carry = pair
    width = (windows["context_to"] - windows["context_from"]).to_numpy()
    counts = other.context_lengths()
    chances = np.random.default_rng(0).random((2, counts.sum() + len(counts)))
    before = np.add.reduceat(chances, cls_places(counts), axis=1)
    after = np.add.reduceat(carry(chances), cls_places(width), axis=1)
    np.testing.assert_allclose(after, before)


def test_a_certain_teacher_gives_the_labels(pair):
    windows, ours, theirs, other, carry = pair
    counts = other.context_lengths()
    chances = np.zeros((2, counts.sum() + len(counts)))
    base = theirs.text_start[theirs.context[windows["example"]]]
    first = other.text_start[other.context] - base  # of each window, in its context
    for i, (row, cls) in enumerate(zip(windows["example"], cls_places(counts), strict=True)):
        for side, token in enumerate(theirs.answers.of(row)[0] if row < 12 else (-1, -1)):
            inside = first[i] <= token < first[i] + counts[i]
            chances[side, cls + (token - first[i] + 1 if inside else 0)] = 1
    carried = carry(chances)
    width = (windows["context_to"] - windows["context_from"]).to_numpy()
    places = cls_places(width)
    for i, window in enumerate(windows.itertuples()):
        answer = ours.answers.of(window.example)[0] if window.example < 12 else (-1, -1)
        for side, token in enumerate(answer):
            inside = window.context_from <= token < window.context_to
            place = token - window.context_from + 1 if inside else 0
            assert carried[side, places[i] + place] == 1
    assert 0 < (windows["start_token"] >= 0).sum() < len(windows)


def test_the_other_tokens_hold_every_visible_character_of_a_window(pair, examples):
    windows, ours, _, other, _ = pair
    for i, window in enumerate(windows.itertuples()):
        at = ours.text_start[ours.context[window.example]]
        low, high = (
            set().union(*(range(*pair) for pair in part))
            for part in (
                ours.offsets[at + window.context_from : at + window.context_to],
                other.offsets[other.text_start[4 * i + 2] : other.text_start[4 * i + 3]],
            )
        )
        text = examples["context"][window.example]
        assert {place for place in low - high if not text[place].isspace()} == set()
        beyond = [place for place in high if low and not min(low) <= place <= max(low)]
        assert len(beyond) < 15  # of tokens that reach over the sides


@pytest.mark.parametrize("side", [0, 1])
def test_a_token_that_reaches_over_the_side_of_a_window_counts_for_cls(side, stores, examples):
    ours = stores["wordpiece"]
    first, last = ours.text_start[ours.context[9] :][:2]
    pairs = ours.offsets[first : last - (last - first) % 2].reshape(-1, 2, 2)
    theirs = replace(  # whose tokens are two of ours each
        ours,
        offsets=np.stack([pairs[:, 0, 0], pairs[:, 1, 1]], axis=1),
        text_start=np.array([0, 0, len(pairs)]),
        question=np.zeros(13, int),
        context=np.ones(13, int),
    )
    tokens = np.arange(2 * len(pairs))  # a window of each of our tokens
    windows = pd.DataFrame({"example": 9, "context_from": tokens, "context_to": tokens + 1})
    other = cover_windows(windows, ours, theirs)
    assert other.context_lengths().tolist() == [1] * len(tokens)
    chances = np.tile([0.25, 0.75], (2, len(tokens)))  # at [CLS], at the token
    carried = carry_over(chances, windows, ours, other, examples["context"])[side]
    inside = tokens % 2 == side
    np.testing.assert_array_equal(carried[::2], np.where(inside, 0.25, 1))
    np.testing.assert_array_equal(carried[1::2], np.where(inside, 0.75, 0))


def test_whitespace_at_the_sides_of_a_token_does_not_count(stores, examples):
    ours, theirs, text = stores["wordpiece"], stores["unigram"], examples["context"][3]
    windows = slide(ours, max_length=400, doc_stride=8).query("example == 3")
    other = cover_windows(windows, ours, theirs)
    own = ours.offsets[ours.text_start[ours.context[3]] :]
    offsets = other.offsets[other.text_start[2] : other.text_start[3]]
    visible = np.array([place for place, letter in enumerate(text) if not letter.isspace()])
    spaced = [
        i for i, (low, high) in enumerate(offsets) if text[low:high] != text[low:high].strip()
    ]
    assert any(text[low:high].isspace() for low, high in offsets[spaced])
    assert any(not text[low:high].isspace() for low, high in offsets[spaced])
    for token in spaced:
        chances = np.zeros((2, len(offsets) + 1))
        chances[:, token + 1] = 1
        first, last = carry_over(chances, windows, ours, other, examples["context"]).argmax(axis=1)
        low, high = offsets[token]
        assert own[first - 1][0] <= visible[visible >= low][0] < own[first - 1][1]
        assert own[last - 1][0] <= visible[visible < high][-1] < own[last - 1][1]


def test_a_narrowed_store_holds_the_tokens_of_ranges(stores):
    store = stores["unigram"]
    example, low, high = np.array([3, 3, 1]), np.array([0, 4, 2]), np.array([5, 9, 2])
    narrow = store.narrow(example, low, high, question=np.array([1, 2, 0]))
    for i, row in enumerate(example):
        context = store.tokens_of(store.context[row])[low[i] : high[i]]
        assert narrow.tokens_of(narrow.context[i]).tolist() == context.tolist()
    assert narrow.question_lengths().tolist() == [1, 2, 0]
    assert narrow.context_lengths().tolist() == [5, 5, 0]
    assert slide(narrow, max_length=48, doc_stride=4)["start_token"].max() == -1
