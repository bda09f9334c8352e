"""Label repair: rows, files of labels, the cache of corpora, the report."""

import csv
from dataclasses import replace

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, Labels
from chaii.corpus.label_repair import read_labels, relabel_rows, report_labels
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
