"""A file of questions: every row is answered once, also when the work was interrupted."""

import json
import re

import pandas as pd
import pytest

from chaii.config.errors import ConfigError
from chaii.ensemble.answer_file import answer_file

COLUMNS = {"question": "asked", "context": "text", "model": "echo"}
ROWS = [{"id": f"0{n}", "asked": f"प्रश्न {n}?", "text": f"उत्तर {n} NA"} for n in range(150)]


class Echo:
    """Answers with the context; counts the rows, and may break off."""

    def __init__(self, most=10_000):
        self.rows, self.most = 0, most

    def __call__(self, pairs, top_k=1):
        self.rows += len(pairs)
        if self.rows > self.most:
            raise KeyboardInterrupt
        best = [
            {"score": 0.5, "start": 0, "end": len(pair["context"]), "answer": pair["context"]}
            for pair in pairs
        ]
        return best if top_k == 1 else [[answer] for answer in best]


def write(path):
    table = pd.DataFrame(ROWS)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_parquet(path)
    return path


def read(path):
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    if path.suffix == ".jsonl":
        return pd.DataFrame(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
    return pd.read_parquet(path)


@pytest.mark.parametrize("source", ["in.csv", "in.jsonl", "in.parquet"])
@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.parquet"])
def test_every_row_keeps_its_columns_and_gets_an_answer(source, target, tmp_path):
    target = tmp_path / "new" / target
    assert answer_file(Echo(), write(tmp_path / source), target, **COLUMNS) == len(ROWS)
    answers = read(target)
    assert list(answers) == ["id", "asked", "text", "score", "start", "end", "answer"]
    assert answers["id"].to_list() == [row["id"] for row in ROWS]
    assert answers["answer"].to_list() == [row["text"] for row in ROWS]
    assert not list(tmp_path.glob("new/*.part"))


def test_interrupted_work_goes_on_after_the_last_whole_row(tmp_path):
    source, target = write(tmp_path / "in.csv"), tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_file(Echo(most=100), source, target, **COLUMNS)
    assert not target.exists()
    [part] = tmp_path.glob("out.jsonl.*.part")
    with part.open("a", encoding="utf-8") as lines:
        lines.write('{"id": "064", "ask')
    rest, other = Echo(), Echo()
    answer_file(other, source, target, **COLUMNS | {"model": "other"})
    answer_file(rest, source, target, **COLUMNS)
    assert (rest.rows, other.rows) == (len(ROWS) - 64, len(ROWS))
    assert read(target)["id"].to_list() == [row["id"] for row in ROWS]


def test_all_answers_are_listed_if_several_are_asked_for(tmp_path):
    target = tmp_path / "out.jsonl"
    answer_file(Echo(), write(tmp_path / "in.csv"), target, **COLUMNS, top_k=3)
    assert read(target)["answers"][0][0]["answer"] == ROWS[0]["text"]


@pytest.mark.parametrize(
    ("source", "target", "columns", "error"),
    [
        ("in.csv", "out.xls", COLUMNS, "out.xls: must end with one of .csv"),
        ("in.csv", "out.csv", COLUMNS | {"question": "frage"}, "in.csv, row 1: frage must be text"),
    ],
)
def test_a_wrong_file_is_told(source, target, columns, error, tmp_path):
    with pytest.raises(ConfigError, match=error):
        answer_file(Echo(), write(tmp_path / source), tmp_path / target, **columns)
    assert [path.name for path in tmp_path.iterdir()] == [source]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("torn.jsonl", '{"asked": "a"', "torn.jsonl, line 1: not readable as JSON"),
        ("list.jsonl", "[1]", "list.jsonl, line 1: list where an object is needed"),
        ("type.jsonl", '{"asked": "a", "text": 7}', "type.jsonl, row 1: text must be text"),
        ("torn.parquet", "PAR1", "torn.parquet: cannot be read: "),
        ("empty.csv", "", "empty.csv: cannot be read: "),
        ("header.csv", "asked,text\n", "header.csv: holds no row"),
        ("score.csv", "asked,text,score\na,b,1\n", "score.csv, row 1: has a column score"),
    ],
)
def test_a_bad_row_is_told(name, content, error, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(error)):
        answer_file(Echo(), tmp_path / name, tmp_path / "out.csv", **COLUMNS)


def test_a_column_that_only_later_rows_have_is_kept(tmp_path):
    rows = [*ROWS, {**ROWS[0], "note": "late"}]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for target in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        answer_file(Echo(), source, target, **COLUMNS)
        assert read(target)["note"].to_list()[-1] == "late"


def test_letters_of_any_script_can_be_read_in_the_file(tmp_path):
    answer_file(Echo(), write(tmp_path / "in.csv"), tmp_path / "out.jsonl", **COLUMNS)
    assert ROWS[0]["text"] in (tmp_path / "out.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["NA", "null", "007", "1e5", " "])
def test_every_field_of_a_csv_file_is_text(text, tmp_path):
    (tmp_path / "in.csv").write_text(f'id,asked,text\n{text},"{text}","{text}"\n')
    answer_file(Echo(), tmp_path / "in.csv", tmp_path / "out.jsonl", **COLUMNS)
    row = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert row["id"] == row["asked"] == row["text"] == text
