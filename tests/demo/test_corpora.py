"""The demo corpora: the real formats with the difficulties of the real data."""

import csv
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaii.demo import corpora as demo
from chaii.demo.corpora import generate_files, write_demo_corpora

SQUAD_FILES = ("tydiqa_goldp/train.json", "squad/train.json", "xquad/xquad.hi.json")
INVISIBLE = {"U+FEFF": "\ufeff", "ZWJ": "\u200d", "NBSP": "\u00a0"}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return generate_files(np.random.default_rng(2021))


@pytest.fixture(scope="module")
def train(files: dict[str, str]) -> list[dict[str, str]]:
    return read_rows(files, "chaii/train.csv")


def read_rows(files: dict[str, str], name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[name], newline="")))


def read_questions(files: dict[str, str], name: str) -> list[tuple[str, dict[str, Any]]]:
    paragraphs = [p for article in json.loads(files[name])["data"] for p in article["paragraphs"]]
    return [(p["context"], question) for p in paragraphs for question in p["qas"]]


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 7), ("second", 7), ("other", 8)):
        write_demo_corpora(tmp_path / name, seed=seed)
    assert read_tree(tmp_path / "first") == read_tree(tmp_path / "second")
    assert read_tree(tmp_path / "first") != read_tree(tmp_path / "other")


def test_a_complete_demo_is_left_alone_and_another_seed_replaces_it(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    write_demo_corpora(folder)
    before = folder.stat().st_ino, read_tree(folder)
    write_demo_corpora(folder)
    assert (folder.stat().st_ino, read_tree(folder)) == before
    write_demo_corpora(folder, seed=1)
    assert read_tree(folder) != before[1]
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder]


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "generate_files", lambda _: {"a.csv": "text", "b.csv": None})
    with pytest.raises(AttributeError):
        write_demo_corpora(tmp_path / "demo")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_processes_that_start_together_write_the_demo_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def generate(_: object) -> dict[str, str]:
        calls.append(time.sleep(0.05))
        return {"a.csv": "text"}

    monkeypatch.setattr(demo, "generate_files", generate)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(write_demo_corpora, tmp_path / "demo")
    assert len(calls) == 1


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no demo corpus"):
        write_demo_corpora(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_chaii_label_is_the_first_match(train: list[dict[str, str]]) -> None:
    for row in train:
        assert int(row["answer_start"]) == row["context"].find(row["answer_text"]) >= 0


def test_some_chaii_answers_occur_more_than_once(train: list[dict[str, str]]) -> None:
    repeated = [row for row in train if row["context"].count(row["answer_text"]) > 1]
    assert 0.03 < len(repeated) / len(train) < 0.15


def test_chaii_has_two_rows_in_hindi_for_one_in_tamil(train: list[dict[str, str]]) -> None:
    languages = [row["language"] for row in train]
    assert languages.count("hindi") == 2 * languages.count("tamil") == 600


def test_some_chaii_contexts_are_many_windows_long(train: list[dict[str, str]]) -> None:
    assert sum(len(row["context"]) > 5000 for row in train) >= 5


@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_some_contexts_hold_invisible_characters(
    train: list[dict[str, str]], character: str
) -> None:
    share = sum(character in row["context"] for row in train) / len(train)
    assert 0.005 < share < 0.15


def test_some_answers_have_devanagari_digits(train: list[dict[str, str]]) -> None:
    assert any("१" in row["answer_text"] for row in train)


def test_some_answers_have_punctuation_or_a_suffix_attached(train: list[dict[str, str]]) -> None:
    followers = {row["context"].partition(row["answer_text"])[2][:1] for row in train}
    assert {" ", ".", ",", "।", "த"} <= followers


def test_test_rows_and_the_sample_submission_have_the_same_ids(files: dict[str, str]) -> None:
    rows, sample = (read_rows(files, f"chaii/{x}.csv") for x in ("test", "sample_submission"))
    assert list(rows[0]) == ["id", "context", "question", "language"]
    assert sample == [{"id": row["id"], "PredictionString": ""} for row in rows]


@pytest.mark.parametrize("name", SQUAD_FILES)
def test_squad_answers_are_at_their_offsets(files: dict[str, str], name: str) -> None:
    questions = read_questions(files, name)
    assert len(questions) >= 300
    for context, question in questions:
        for answer in question["answers"]:
            assert context[answer["answer_start"] :].startswith(answer["text"])


def test_ids_are_unique(files: dict[str, str], train: list[dict[str, str]]) -> None:
    chaii = train + read_rows(files, "chaii/test.csv")
    ids = [row["id"] for row in chaii]
    ids += [question["id"] for name in SQUAD_FILES for _, question in read_questions(files, name)]
    assert len(set(ids)) == len(ids)


def test_tydi_ids_name_the_language_and_some_answers_are_annotated_twice(
    files: dict[str, str],
) -> None:
    questions = [question for _, question in read_questions(files, SQUAD_FILES[0])]
    languages = {question["id"].split("-")[0] for question in questions}
    assert languages == {"telugu", "bengali", "english"}
    assert {len(question["answers"]) for question in questions} == {1, 2}
