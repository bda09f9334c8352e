"""Readers: every format keeps every code point, and every fault gives one error with its place."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, Join, Labels
from chaii.corpus import readers, table
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import CorpusError
from chaii.corpus.table import EXAMPLE_FEATURES

CSV, SQUAD = CorpusFormat.chaii_csv, CorpusFormat.squad_json
HEADER = ["id", "context", "question", "answer_text", "answer_start", "language"]
LONG = "तमिल நாடு \ufeff" * 10_000  # 110,000 characters
ODD_CONTEXT = ' \ufeffक्\u200dष "a,b"\r\n\u00a0நா\u200cடு\n\u2028 '


def write_csv(path: Path, rows: list[list[object]], header: list[str] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def ask(identity: str = "a", question: str = "q?", answers: object = (("b", 1),), **more: object):
    listed = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": identity, "question": question, "answers": listed, **more}


def write_squad(path: Path, *questions: object, context: str = "abc", title: str = "T") -> Path:
    paragraphs = [{"context": context, "qas": list(questions)}]
    content = {"data": [{"title": title, "paragraphs": paragraphs}]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def read(path: Path | str, format: CorpusFormat, **settings: object):
    return read_corpus("toy", CorpusConfig(format, str(path), **settings))


def test_every_format_of_the_configuration_has_a_reader():
    assert set(readers._READERS) == set(CorpusFormat)


@pytest.mark.parametrize("format", [CSV, SQUAD])
def test_rows_carry_the_example_schema(tmp_path, format):
    if format is CSV:
        path = write_csv(tmp_path / "f", [["a", "abc", "q?", "b", 1, "hindi"]])
    else:
        path = write_squad(tmp_path / "f", ask())
    examples, _ = read(path, format, language="hindi")
    assert examples.features == EXAMPLE_FEATURES
    row = examples[0]
    assert row.pop("article")
    assert row == {
        "id": "a",
        "corpus": "toy",
        "language": "hindi",
        "question": "q?",
        "context": "abc",
        "answer_text": ["b"],
        "answer_start": [1],
    }


@pytest.mark.parametrize("context", [LONG, ODD_CONTEXT, "NA", "nan", "null"])
@pytest.mark.parametrize("format", [CSV, SQUAD])
def test_context_keeps_every_code_point(tmp_path, format, context):
    answer = context[-2:].strip() or context.strip()[-1]
    start = context.rindex(answer)
    if format is CSV:
        path = write_csv(tmp_path / "f", [["a", context, "NA", answer, start, "hindi"]])
    else:
        path = write_squad(tmp_path / "f", ask("a", "NA", [(answer, start)]), context=context)
    examples, _ = read(path, format, language="hindi")
    assert examples["context"][:] == [context]
    assert examples["question"][:] == ["NA"]
    assert (examples[0]["answer_text"], examples[0]["answer_start"]) == ([answer], [start])


def test_csv_without_answer_columns_has_no_answers_and_keeps_every_id(tmp_path):
    header = ["id", "context", "question", "language"]
    rows = [["a", "abc", "q?", "hindi"], ["b", "", "", "tamil"]]
    examples, report = read(write_csv(tmp_path / "f", rows, header), CSV)
    assert examples["id"][:] == ["a", "b"]
    assert examples["answer_text"][:] == examples["answer_start"][:] == [[], []]
    assert report.languages["tamil"].noted == {"empty question": 1, "empty context": 1}


def test_csv_empty_lines_are_no_rows(tmp_path):
    path = tmp_path / "f"
    path.write_text("id,context,question,language\n\na,abc,q?,hindi\n\n")
    assert len(read(path, CSV)[0]) == 1


def test_csv_row_with_an_empty_label_is_dropped_and_counted(tmp_path):
    rows = [["a", "abc", "q?", "", "", "hindi"], ["b", "abc", "q?", "b", 1, "hindi"]]
    examples, report = read(write_csv(tmp_path / "f", rows), CSV)
    assert examples["id"][:] == ["b"]
    assert report.languages["hindi"].dropped == {"empty answer": 1}


def test_csv_rows_of_one_context_share_their_article(tmp_path):
    contexts = {"a": "xb", "b": "xb", "c": "yb"}
    rows = [[name, context, "q?", "b", 1, "hindi"] for name, context in contexts.items()]
    articles = read(write_csv(tmp_path / "f", rows), CSV)[0]["article"][:]
    assert articles[0] == articles[1] != articles[2]


def test_squad_keeps_several_answers_once_each_in_order(tmp_path):
    answers = [("c", 2), ("a", 0), ("c", 2), ("ab", 0)]
    examples, _ = read(write_squad(tmp_path / "f", ask(answers=answers)), SQUAD, language="en")
    assert examples[0]["answer_text"] == ["c", "a", "ab"]
    assert examples[0]["answer_start"] == [2, 0, 0]


def test_squad_impossible_question_has_no_answer(tmp_path):
    questions = ask("a", is_impossible=True), ask("b", answers=()), ask("c", is_impossible=False)
    examples, _ = read(write_squad(tmp_path / "f", *questions), SQUAD, language="en")
    assert examples["answer_text"][:] == [[], [], ["b"]]


def test_squad_article_is_the_title(tmp_path):
    examples, _ = read(write_squad(tmp_path / "f", ask(), title="சென்னை"), SQUAD, language="ta")
    assert examples["article"][:] == ["சென்னை"]


@pytest.mark.parametrize("identity", ["telugu--123-0", "telugu-123-0"])
def test_squad_language_comes_from_a_tydi_id(tmp_path, identity):
    examples, _ = read(write_squad(tmp_path / "f", ask(identity)), SQUAD)
    assert examples["language"][:] == ["telugu"]


@pytest.mark.parametrize("identity", ["5733be284776f41900661182", "abcdabcd-1234-1234-1234-12"])
def test_squad_other_id_needs_the_language_from_the_corpus(tmp_path, identity):
    with pytest.raises(CorpusError, match=r"qas\[0\]: id .* set the corpus's language"):
        read(write_squad(tmp_path / "f", ask(identity)), SQUAD)


def test_pattern_reads_files_in_sorted_order(tmp_path):
    for name in ("b", "a", "c"):
        write_squad(tmp_path / f"{name}.json", ask(name))
    (tmp_path / "d.json").mkdir()
    examples, _ = read(tmp_path / "*.json", SQUAD, language="en")
    assert examples["id"][:] == ["a", "b", "c"]


def test_file_named_like_a_pattern_is_read(tmp_path):
    path = write_squad(tmp_path / "a[1].json", ask())
    assert len(read(path, SQUAD, language="en")[0]) == 1


def test_limit_takes_the_first_rows_and_opens_no_further_file(tmp_path):
    write_squad(tmp_path / "a.json", ask("a"), ask("b"), ask("c"))
    (tmp_path / "b.json").write_text("broken")
    examples, report = read(tmp_path / "*.json", SQUAD, language="en", max_examples=2)
    assert examples["id"][:] == ["a", "b"]
    assert report.rows == 2


def test_limit_below_one_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="max_examples 0 must be at least 1"):
        read(write_squad(tmp_path / "f", ask()), SQUAD, language="en", max_examples=0)


def test_changed_file_is_read_anew(tmp_path):
    fingerprints = set()
    for question in ("one?", "two?"):
        path = write_squad(tmp_path / "f", ask("a", question))
        examples, _ = read(path, SQUAD, language="en")
        assert examples["question"][:] == [question]
        fingerprints.add(examples._fingerprint)
    assert len(fingerprints) == 2


def test_same_file_gives_the_same_fingerprint(tmp_path):
    path = write_squad(tmp_path / "f", ask())
    first, second = (read(path, SQUAD, language="en")[0]._fingerprint for _ in range(2))
    assert first == second


def test_more_rows_than_a_batch_keep_their_order(tmp_path):
    names = [str(number) for number in range(table._BATCH_ROWS * 2 + 1)]
    path = write_squad(tmp_path / "f", *map(ask, names))
    assert read(path, SQUAD, language="en")[0]["id"][:] == names


def test_all_rows_dropped_leaves_an_empty_dataset_of_the_schema(tmp_path):
    path = write_squad(tmp_path / "f", ask(answers=[("zzz", 0)]))
    examples, report = read(path, SQUAD, language="en")
    assert (len(examples), examples.features) == (0, EXAMPLE_FEATURES)
    assert report.languages["en"].dropped == {"answer not in context": 1}


def test_duplicate_id_names_both_rows(tmp_path):
    write_squad(tmp_path / "a.json", ask("a"), ask("b"))
    write_squad(tmp_path / "b.json", ask("b", "another?"))
    place = r"b\.json, \$\.data\[0\]\.paragraphs\[0\]\.qas\[0\]: id 'b' is already in "
    with pytest.raises(CorpusError, match=place + r".*a\.json, .*qas\[1\], with another content"):
        read(tmp_path / "*.json", SQUAD, language="en")


def test_a_row_equal_to_an_earlier_one_is_dropped_and_counted(tmp_path):
    write_squad(tmp_path / "a.json", ask("a"), ask("b"))
    write_squad(tmp_path / "b.json", ask("b"), ask("c"))
    examples, report = read(tmp_path / "*.json", SQUAD, language="en")
    assert examples["id"][:] == ["a", "b", "c"]
    assert report.languages["en"].dropped == {"equal to an earlier row": 1}


@pytest.mark.parametrize("format", [CSV, SQUAD])
def test_a_byte_order_mark_is_left_out(tmp_path, format):
    write = write_squad if format is SQUAD else lambda path, _: path.write_bytes(HEAD + GOOD)
    write(tmp_path / "f", ask())
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "f").read_bytes())
    assert read(tmp_path / "f", format, language="hindi")[0]["id"][:] == ["a"]


@pytest.mark.parametrize("start", [1, 1.0, "1", "1.0"])
@pytest.mark.parametrize("format", [CSV, SQUAD])
def test_a_start_may_be_written_as_a_float_or_as_a_text(tmp_path, format, start):
    if format is CSV:
        path = write_csv(tmp_path / "f", [["a", "abc", "q?", "b", start, "hindi"]])
    else:
        path = write_squad(tmp_path / "f", ask(answers=[("b", start)]))
    examples, report = read(path, format, language="hindi")
    assert examples["answer_start"][:] == [[1]]
    assert not report.languages["hindi"].repaired


def test_squad_ids_may_be_integers(tmp_path):
    examples, _ = read(write_squad(tmp_path / "f", ask(7), ask("8")), SQUAD, language="en")
    assert examples["id"][:] == ["7", "8"]


def test_squad_questions_without_answers_are_to_be_answered(tmp_path):
    path = write_squad(tmp_path / "f", {"id": "a", "question": "q?"})
    examples, report = read(path, SQUAD, language="en")
    assert (examples["id"][:], examples["answer_text"][:]) == (["a"], [[]])
    assert report.rows == 1


def test_no_matching_file_names_corpus_and_path(tmp_path):
    with pytest.raises(CorpusError, match=r"corpus toy: no file matches path '.*none\.csv'"):
        read(tmp_path / "none.csv", CSV)


HEAD = b"id,context,question,answer_text,answer_start,language\n"
GOOD = b"a,abc,q?,b,1,hindi\n"
CSV_FAULTS = {
    "empty file": (b"", "row 1: the file is empty"),
    "whitespace alone": (b"\n", "row 1: no column"),
    "only a header": (HEAD, "row 1: the file holds no question"),
    "missing column": (b"id,context,language\n", r"row 1: no column \['question'\]; the header"),
    "half the answer": (
        b"id,context,question,language,answer_text\n",
        "row 1: no column .*answer_start",
    ),
    "not UTF-8": (HEAD + GOOD + b"b,\xff\xfe,q?,b,1,hindi\n", "line 3: not UTF-8"),
    "UTF-16": ("id,context".encode("utf-16"), "line 1: not UTF-8"),
    "cut row": (HEAD + GOOD + b"b,abc\n", "row 3: 2 cells under 6 columns"),
    "too many cells": (HEAD + b"b,a,b,c,d,1,hindi\n", "row 2: 7 cells under 6"),
    "open quote": (HEAD + GOOD + b'b,"abc', "after row 2: not readable as CSV"),
    "start no number": (HEAD + b"a,abc,q?,b,one,hindi\n", "row 2: answer_start must be .*'one'"),
    "start a fraction": (HEAD + b"a,abc,q?,b,1.5,hindi\n", "row 2: answer_start must be .*'1.5'"),
    "start endless": (HEAD + b"a,abc,q?,b,inf,hindi\n", "row 2: answer_start must be .*'inf'"),
    "column twice": (
        b"id,context,question,question,language\n",
        r"row 1: column \['question'\] occurs twice",
    ),
    "start empty": (HEAD + b"a,abc,q?,b,,hindi\n", "row 2: answer_start must be an integer"),
    "no language": (HEAD + b"a,abc,q?,b,1,\n", "row 2: language is empty"),
    "no id": (HEAD + b",abc,q?,b,1,hindi\n", "row 2: id is empty"),
    "id twice": (HEAD + GOOD + b"a,abc,r?,b,1,hindi\n", "row 3: id 'a' is already in .* row 2"),
}


@pytest.mark.parametrize(("content", "message"), CSV_FAULTS.values(), ids=CSV_FAULTS)
def test_csv_fault_gives_one_error_with_file_and_row(tmp_path, content, message):
    path = tmp_path / "faulty.csv"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=rf"faulty\.csv, {message}"):
        read(path, CSV)


def nest(question: object, **paragraph: object) -> dict[str, object]:
    return {
        "data": [{"title": "T", "paragraphs": [{"context": "abc", "qas": [question]} | paragraph]}]
    }


QAS = r", \$\.data\[0\]\.paragraphs\[0\]\.qas\[0\]"
JSON_FAULTS = {
    "empty file": (b"", ", row 1: the file is empty"),
    "no JSON": (b"<html>", ": not readable as JSON: .*line 1 column 1"),
    "cut short": (json.dumps(nest(ask())).encode()[:-3], ": not readable as JSON: .*column"),
    "huge number": (b'{"data": ' + b"9" * 5000 + b"}", ": not readable as JSON"),
    "not UTF-8": (b'{"data":\n "\xff"}', ", line 2: not UTF-8"),
    "a list": ([], r", \$: list where an object is needed"),
    "no data": ({"rows": []}, r", \$: no key 'data'; it has \['rows'\]"),
    "no question at all": ({"data": []}, ", row 1: the file holds no question"),
    "no paragraphs": ({"data": [{"title": "T"}]}, r", \$\.data\[0\]: no key 'paragraphs'"),
    "title a number": (
        {"data": [{"title": 1, "paragraphs": [{"context": "a"}]}]},
        ", .* title must",
    ),
    "context null": (nest(ask(), context=None), r", .*paragraphs\[0\]: context must be str"),
    "qas an object": (nest(ask(), qas={}), ", .* qas must be list, not dict"),
    "id a fraction": (nest({"id": 1.5}), QAS + ": id must be int, not float"),
    "id of whitespace": (nest(ask(" ")), QAS + ": id is empty"),
    "answer a string": (nest({"id": "a", "answers": ["b"]}), QAS + r"\.answers\[0\]: str where"),
    "start text": (
        nest(ask(answers=[("b", "x")])),
        QAS + r"\.answers\[0\]: answer_start must be an integer, not 'x'",
    ),
    "start true": (nest(ask(answers=[("b", True)])), QAS + r"\.answers\[0\]: .* int, not bool"),
    "half a surrogate": (nest(ask(question="\ud800")), QAS + ": question holds half a surrogate"),
}


@pytest.mark.parametrize(("content", "message"), JSON_FAULTS.values(), ids=JSON_FAULTS)
def test_json_fault_gives_one_error_with_file_and_place(tmp_path, content, message):
    path = tmp_path / "faulty.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(CorpusError, match=r"faulty\.json" + message):
        read(path, SQUAD, language="en")


DATA = os.environ.get("CHAII_DATA")
REAL = {  # file: (format, language, rows, repaired answers)
    "chaii/test.csv": (CSV, None, 5, 0),
    "chaii/train_rows.csv": (CSV, None, 24, 0),
    "squad/train-slice-v1.1.json": (SQUAD, "english", 11_877, 0),
    "tydiqa_goldp/bengali_tydiqa_dev.json": (SQUAD, None, 113, 0),
    "tydiqa_goldp/english_tydiqa_dev.json": (SQUAD, None, 440, 0),
    "tydiqa_goldp/english_tydiqa_train.json": (SQUAD, None, 3_696, 12),
    "tydiqa_goldp/swahili_tydiqa_train.json": (SQUAD, None, 2_755, 1),
    "tydiqa_goldp/telugu_tydiqa_dev.json": (SQUAD, None, 669, 0),
    "xquad/xquad.en.json": (SQUAD, "english", 1_190, 0),
    "xquad/xquad.hi.json": (SQUAD, "hindi", 1_190, 0),
    "xquad/xquad.ru.json": (SQUAD, "russian", 1_190, 0),
    "xquad/xquad.th.json": (SQUAD, "thai", 1_190, 0),
}
needs_data = pytest.mark.skipif(DATA is None, reason="CHAII_DATA names no folder of real corpora")


@needs_data
@pytest.mark.parametrize("name", REAL)
def test_real_file_keeps_its_rows_with_every_answer_in_place(name):
    format, language, rows, repaired = REAL[name]
    examples, report = read(Path(DATA) / name, format, language=language)
    assert len(examples) == report.rows == rows
    assert sum(sum(part.repaired.values()) for part in report.languages.values()) == repaired
    for row in examples:
        for text, start in zip(row["answer_text"], row["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text == text.strip() != ""


@needs_data
@pytest.mark.parametrize(("name", "contexts"), [("hi", 8), ("ru", 7), ("th", 7)])
def test_real_xquad_keeps_its_zero_width_spaces(name, contexts):
    examples, _ = read(Path(DATA) / f"xquad/xquad.{name}.json", SQUAD, language=name)
    assert sum("\ufeff" in context for context in set(examples["context"][:])) == contexts


@needs_data
def test_real_pattern_reads_all_languages_of_tydi():
    _, report = read(Path(DATA) / "tydiqa_goldp/*_dev.json", SQUAD)
    counts = {language: part.rows for language, part in report.languages.items()}
    assert counts == {"bengali": 113, "english": 440, "telugu": 669}


PARAGRAPHS = {
    "Pune": ["Pune is old.\nIt is large, ab 1200.", "गंगा बहती है। Asha left Pune in 1200."],
    "Goa": ["Goa has beaches."],
}
ANSWERS = [("Pune", 0, "large"), ("Pune", 1, "1200"), ("Goa", 0, "beaches")]


@pytest.fixture
def corpus(tmp_path):
    data = [{"title": title, "paragraphs": []} for title in PARAGRAPHS]
    for article in data:
        for number, context in enumerate(PARAGRAPHS[article["title"]]):
            questions = [
                {
                    "id": f"{title}-{i}-{text}",
                    "question": "What?",
                    "answers": [{"text": text, "answer_start": context.index(text)}],
                }
                for title, i, text in ANSWERS
                if (title, i) == (article["title"], number)
            ]
            article["paragraphs"].append({"context": context, "qas": questions})
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": data}), encoding="utf-8")
    return CorpusConfig(CorpusFormat.squad_json, str(path), "english", join=Join.article)


def test_questions_of_an_article_share_one_context_of_all_its_paragraphs(corpus):
    examples, _ = read_corpus("toy", corpus)
    contexts = examples["context"][:]
    assert contexts == ["\n\n".join(PARAGRAPHS["Pune"])] * 2 + PARAGRAPHS["Goa"]


def test_answers_move_with_their_paragraph(corpus):
    examples, report = read_corpus("toy", corpus)
    for example in examples:
        [text], [start] = example["answer_text"], example["answer_start"]
        assert example["context"][start : start + len(text)] == text
    assert examples[1]["answer_start"][0] > len(PARAGRAPHS["Pune"][0])
    assert not report.languages["english"].repaired


def test_a_limit_of_rows_leaves_the_paragraph_of_the_other_questions_in_the_context(corpus):
    examples, _ = read_corpus("toy", replace(corpus, max_examples=1))
    assert examples["context"][:] == ["\n\n".join(PARAGRAPHS["Pune"])]


def test_first_match_moves_an_answer_to_where_its_text_occurs_first(corpus):
    examples, _ = read_corpus("toy", replace(corpus, first_match=True))
    assert examples[1]["answer_start"] == [PARAGRAPHS["Pune"][0].index("1200")]


def test_labels_are_chosen_from_the_first_match(corpus):
    every = replace(corpus, first_match=True, labels=Labels.all)
    examples, _ = read_corpus("toy", every)
    first, second = examples[1]["answer_start"]
    assert first < second


def test_only_rows_of_articles_are_joined(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("id,context,question,answer_text,answer_start,language\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="corpus toy: join article"):
        read_corpus("toy", CorpusConfig(CorpusFormat.chaii_csv, str(path), join=Join.article))
