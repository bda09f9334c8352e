"""Labels of an answer: its occurrences, the chosen one, files of labels, the report."""

import csv
import time
from dataclasses import replace

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, Labels
from chaii.corpus.label_repair import (
    choose_occurrence,
    find_occurrences,
    read_labels,
    relabel_rows,
    report_labels,
    score_occurrences,
)
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import LABELS, CorpusError

CONTEXT = "Pune is old. Ravi was born in Pune. Asha left Pune."
ROWS = [
    ("a", "Where was Ravi born?", CONTEXT, "Pune", 0),
    ("b", "Who was born?", CONTEXT, "Ravi", 13),
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "train.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "question", "context", "answer_text", "answer_start", "language"])
        writer.writerows((*row, "hindi") for row in ROWS)
    return CorpusConfig(CorpusFormat.chaii_csv, str(path))


def read_starts(corpus, **options):
    examples, _ = read_corpus("toy", corpus, **options)
    return dict(zip(examples["id"], examples["answer_start"], strict=True))


@pytest.mark.parametrize(
    ("labels", "starts"),
    [("first", [0]), ("evidence", [30]), ("all", [0, 30, 46])],
)
def test_labels_set_which_occurrences_are_trained_on(corpus, labels, starts):
    examples, _ = read_corpus("toy", replace(corpus, labels=Labels[labels]))
    assert examples["answer_start"][:] == [starts, [13]]
    assert examples["answer_text"][:] == [["Pune"] * len(starts), ["Ravi"]]


def test_the_given_occurrence_is_listed_first():
    row = {"id": "a", "context": CONTEXT, "question": "?"}
    row |= {"answer_text": ["Pune", "Ravi"], "answer_start": [46, 13]}
    (found,) = relabel_rows([row], CorpusConfig(labels=Labels.all))
    assert found["answer_start"] == [46, 0, 30, 13]
    assert found["answer_text"] == ["Pune", "Pune", "Pune", "Ravi"]
    assert row["answer_start"] == [46, 13]


def test_a_row_without_answers_stays():
    row = {"id": "a", "context": "x", "question": "?", "answer_text": [], "answer_start": []}
    for labels in Labels:
        assert list(relabel_rows([row], CorpusConfig(labels=labels))) == [row]


def test_a_labels_file_wins(corpus, tmp_path):
    file = tmp_path / "labels.csv"
    LABELS.write(file, [("a", 46)])
    for labels in Labels:
        changed = replace(corpus, labels=labels, labels_file=str(file))
        assert read_starts(changed) == {"a": [46], "b": [13]}


def test_a_stored_corpus_never_outlives_its_labels(corpus, tmp_path):
    file = tmp_path / "labels.csv"
    changes = [{"labels": Labels.all}, {"labels": Labels.evidence}, {"labels_file": str(file)}]
    expected = [[0], [0, 30, 46], [30], [46]]
    LABELS.write(file, [("a", 46)])
    for change, starts in zip([{}, *changes], expected, strict=True):
        assert read_starts(replace(corpus, **change), cache=tmp_path / "cache")["a"] == starts
    LABELS.write(file, [("a", 0)])
    assert read_starts(replace(corpus, **changes[-1]), cache=tmp_path / "cache")["a"] == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: the columns must be .* the file is empty"),
        ("id,start\na,1\n", "row 1: the columns must be"),
        ("id,answer_start\na,0,0\n", "row 2: 3 cells, not 2"),
        ("id,answer_start\na,0\nb,-1\n", "row 3: answer_start '-1' must be a number from 0"),
        ("id,answer_start\na,0\na,0\n", "row 3: id 'a' occurs twice"),
        ("id,answer_start\na,5\n", "row 2: answer_start 5 of id 'a': the answer 'Pune' does not"),
        ("id,answer_start\na,9999\n", "row 2: answer_start 9999 of id 'a'"),
        ("id,answer_start\nz,5\n", "none of its ids is in the corpus"),
    ],
)
def test_a_faulty_labels_file_is_refused_by_row_and_rule(corpus, tmp_path, text, message):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(CorpusError, match=rf"labels\.csv.*{message}"):
        read_corpus("toy", replace(corpus, labels_file=str(file)))


def test_a_missing_labels_file_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        read_labels(tmp_path / "labels.csv")


def test_the_report_shows_both_places(corpus):
    examples, _ = read_corpus("toy", corpus)
    report = report_labels(examples).set_index("id")
    assert report["occurrences"].tolist() == [3, 1]
    assert report["chosen_start"].tolist() == [30, 13]
    assert report.loc["a", "chosen_score"] > 1.2 * report.loc["a", "given_score"]
    assert report.loc["a", "given_snippet"] == "[Pune] is old. Ravi was born in Pune. Asha lef"
    assert "born in [Pune]. Asha" in report.loc["a", "chosen_snippet"]


def test_a_report_of_nothing_still_has_its_columns():
    assert "chosen_start" in report_labels([]).columns


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


SENTENCES = (
    "पटना एक पुराना नगर है। यहाँ कई बाग़ हैं। सम्राट अशोक का जन्म कलिंग से दूर हुआ था। "
    "बिहार राज्य की राजधानी पटना है। नालंदा में विश्वविद्यालय था। लोग पटना से आते हैं।"
)


def test_the_words_of_the_question_choose():
    places = find_occurrences(SENTENCES, "पटना", 0)
    assert len(places) == 3
    assert choose_occurrence("बिहार की राजधानियाँ कौन सी हैं?", SENTENCES, "पटना", 0) == places[1]
    assert choose_occurrence("पुराने नगर का नाम?", SENTENCES, "पटना", places[2]) == places[0]


def test_without_similar_words_the_given_one_stays():
    for given in find_occurrences(SENTENCES, "पटना", 0):
        assert choose_occurrence("xyz?", SENTENCES, "पटना", given) == given


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
