"""Occurrences of an answer: where they are, and which one the question speaks of."""

import time

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.label_repair import choose_occurrence, find_occurrences, score_occurrences
from chaii.corpus.readers import read_corpus


@pytest.mark.parametrize(
    ("context", "text", "given", "expected"),
    [
        ("10 of 2010, 10,000, 10.5 and 1.10; 10", "10", 0, [0, 35]),
        ("in 2010 there were 10.", "10", 5, [19]),  # a given one inside a number is none
        ("2010 or 1910", "10", 2, [2, 10]),  # but it stays where there is no other
        ("काल में काला काल", "काल", 0, [0, 13]),  # काला goes on with a vowel sign
        ("மதுரையில் மதுரை", "மதுரை", 0, [0, 10]),  # given with a case ending: others may have one
        ("மதுரையில் மதுரை", "மதுரை", 10, [10]),
        ("काशी। काशी, (काशी)", "काशी", 0, [0, 6, 13]),  # a danda ends a word
        ("श्री\u200dराम श्री", "श्री", 9, [9]),  # a joiner does not
        ("aaa", "aa", 1, [1]),
        ("no no no", "no no", 3, [0, 3]),  # overlapping ones count
        ("7:30–8", "8", 5, [5]),
    ],
)
def test_an_occurrence_ends_where_words_and_numbers_do(context, text, given, expected):
    assert context.startswith(text, given)
    assert find_occurrences(context, text, given) == expected


CONTEXT = (
    "पटना एक पुराना नगर है। यहाँ कई बाग़ हैं। सम्राट अशोक का जन्म कलिंग से दूर हुआ था। "
    "बिहार राज्य की राजधानी पटना है। नालंदा में विश्वविद्यालय था। लोग पटना से आते हैं।"
)


def test_the_words_of_the_question_choose():
    places = find_occurrences(CONTEXT, "पटना", 0)
    assert len(places) == 3
    assert choose_occurrence("बिहार की राजधानियाँ कौन सी हैं?", CONTEXT, "पटना", 0) == places[1]
    assert choose_occurrence("पुराने नगर का नाम?", CONTEXT, "पटना", places[2]) == places[0]


def test_without_similar_words_the_given_one_stays():
    for given in find_occurrences(CONTEXT, "पटना", 0):
        assert choose_occurrence("xyz?", CONTEXT, "पटना", given) == given


def test_a_little_similarity_does_not_move_a_label():
    context = "Rama of Ayodhya met Rama in Ayodhya."
    scores = score_occurrences("Who was from Ayodhya?", context, "Rama", [0, 20])
    assert 1 < scores[1] / scores[0] < 1.2
    assert choose_occurrence("Who was from Ayodhya?", context, "Rama", 0) == 0


def test_a_given_one_inside_a_number_always_moves():
    assert choose_occurrence("xyz?", "In 2010, 10 came.", "10", 5) == 9


def test_case_and_letters_that_fold_to_two_change_no_place():
    question, context = "Where did the strasse begin?", "{}. The STRASSE began in Rome. Rome fell."
    plain, special = (
        score_occurrences(question, context.format(word), "Rome", [27, 33]) for word in ("x", "ẞ")
    )
    assert special.tolist() == plain.tolist()
    assert plain[0] > 1.2 * plain[1]


def test_long_contexts_with_many_occurrences_take_no_time():
    context = "சென்னை ஒரு நகரம் ஆகும். அங்கு பலர் வாழ்கின்றனர். " * 2500
    assert len(context) > 100_000
    began = time.perf_counter()
    choose_occurrence("சென்னை எந்த நகரம்? " * 4, context, "ஒரு", 7)
    assert time.perf_counter() - began < 1  # of 2,500 occurrences; measured: 0.05 s


@pytest.mark.parametrize(
    ("code", "language", "rows"),
    [("en", "english", 121), ("hi", "hindi", 133), ("ru", "russian", 81), ("th", "thai", 39)],
)
def test_similarity_beats_the_first_match_on_true_offsets(chaii_data, code, language, rows):
    corpus = CorpusConfig(
        CorpusFormat.squad_json, str(chaii_data / f"xquad/xquad.{code}.json"), language
    )
    examples, _ = read_corpus("xquad", corpus)
    several = first = similar = 0
    for row in examples:
        context, text, true = row["context"], row["answer_text"][0], row["answer_start"][0]
        places = find_occurrences(context, text, true)
        if len(places) > 1:
            several += 1
            first += places[0] == true
            similar += choose_occurrence(row["question"], context, text, places[0]) == true
    assert several == rows
    assert similar / several > first / several + 0.1
