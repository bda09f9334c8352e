"""Logits choose among the occurrences of an answer."""

import numpy as np
import pytest

from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.relabel import choose_by_logits
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction

CONTEXT = "गंगा नदी। यमुना नदी। गंगा के गंगाजल से गंगा।"
PLACES = [0, 21, 39]  # not in गंगाजल


@pytest.fixture
def examples(make_examples):
    rows = [("कौन?", CONTEXT, "गंगा", 0), ("कौन?", "नदी", None, 0), ("कहाँ?", CONTEXT, "गंगा", 21)]
    return make_examples(rows)


@pytest.fixture
def store(examples, tokenizers, tmp_path):
    return open_store(examples, tokenizers["wordpiece"], tmp_path)


@pytest.fixture
def make_logits(examples, store):
    """Make logits of 0 but for one occurrence in the context of one example."""

    def make(row, start_char, *, start=0.0, end=0.0):
        windows = slide(store, max_length=200, doc_stride=50)
        values = np.zeros((2, store.context_lengths().sum()), np.float16)
        prediction = Prediction(examples, windows, *values, np.zeros((len(windows), 2), np.float16))
        logits = read_context_logits(prediction, store, max_answer_tokens=5)
        tokens = slice(logits.row_start[row], logits.row_start[row + 1])
        first, last = logits.offsets[tokens].T
        logits.start[tokens][first == start_char] = start
        logits.end[tokens][last == start_char + 4] = end
        return logits

    return make


def test_the_occurrence_of_the_largest_start_and_end_wins(examples, store, make_logits):
    for row in (0, 2):
        for place in PLACES:
            for share in ({"start": 3.0}, {"end": 2.0}, {"start": -1.0, "end": 2.0}):
                logits = make_logits(row, place, **share)
                assert choose_by_logits(examples, store, logits)[row] == place


def test_equal_logits_choose_the_earliest_and_no_answer_has_no_place(examples, store, make_logits):
    assert choose_by_logits(examples, store, make_logits(0, 0)) == [0, None, 0]


def test_a_part_of_a_word_is_no_choice(examples, store, make_logits):
    logits = make_logits(0, CONTEXT.index("गंगाजल"), start=9.0)
    assert choose_by_logits(examples, store, logits)[0] == 0
