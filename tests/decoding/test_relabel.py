"""Logits choose among the occurrences of an answer."""

import numpy as np
import pytest

from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.relabel import choose_by_logits
from chaii.recipe.token_store import open_store

CONTEXT = "गंगा नदी। यमुना नदी। गंगा के गंगाजल से गंगा।"
PLACES = [0, 21, 39]  # not in गंगाजल


@pytest.fixture
def examples(make_examples):
    rows = [("कौन?", CONTEXT, "गंगा", 0), ("कौन?", "नदी", None, 0), ("कहाँ?", CONTEXT, "गंगा", 21)]
    return make_examples(rows)


@pytest.fixture
def store(examples, tokenizers, tmp_path):
    return open_store(examples, tokenizers["wordpiece"], tmp_path)


def make_logits(store, row, start_char, *, start=0.0, end=0.0):
    """Logits of 0 but for one occurrence in the context of one example."""
    lengths = store.context_lengths()
    row_start = np.concatenate([[0], np.cumsum(lengths)])
    values = np.zeros((2, row_start[-1]), np.float16)
    text = store.context[row]
    offsets = store.offsets[store.text_start[text] : store.text_start[text + 1]]
    values[0, row_start[row] + np.flatnonzero(offsets[:, 0] == start_char)[0]] = start
    values[1, row_start[row] + np.flatnonzero(offsets[:, 1] == start_char + 4)[0]] = end
    return ContextLogits(*values, row_start)


def test_the_occurrence_of_the_largest_start_and_end_wins(examples, store):
    for row in (0, 2):
        for place in PLACES:
            for share in ({"start": 3.0}, {"end": 2.0}, {"start": -1.0, "end": 2.0}):
                logits = make_logits(store, row, place, **share)
                assert choose_by_logits(examples, store, logits)[row] == place


def test_equal_logits_choose_the_earliest_and_no_answer_has_no_place(examples, store):
    assert choose_by_logits(examples, store, make_logits(store, 0, 0)) == [0, None, 0]


def test_a_part_of_a_word_is_no_choice(examples, store):
    logits = make_logits(store, 0, CONTEXT.index("गंगाजल"), start=9.0)
    assert choose_by_logits(examples, store, logits)[0] == 0
