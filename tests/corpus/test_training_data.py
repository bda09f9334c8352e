"""What a fold does about leaks, and the script that looks for them in all folds."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from chaii.config.checks import check_train
from chaii.config.schema import FoldScheme, FoldsConfig, OnLeak
from chaii.corpus.records import CorpusError
from chaii.corpus.training_data import check_leaks, read_corpora, split_examples

ROOT = Path(__file__).parents[2]
RIVER = "The Ganges rises in the western Himalayas and flows south and east through the plain."
HILLS = "Old hills of slate surround the valley, where shepherds have kept their flocks for long."


@pytest.fixture
def split(make_examples):
    """Corpora, rows to train on, and held-out examples; row 2 of `two` leaks."""
    corpora = {
        "one": make_examples([("Where?", HILLS, "Old", 0)] * 2, corpus="one"),
        "two": make_examples([("Why?", HILLS, "Old", 0)] * 2 + [("Who?", RIVER, "The", 0)]),
    }
    rows = {"one": np.array([1]), "two": np.array([0, 2])}
    return corpora, rows, make_examples([("Whither?", RIVER, "The", 0)])


@pytest.mark.parametrize(
    "change",
    [{"fold": "1"}, {"num_folds": 3}, {"scheme": FoldScheme.grouped}, {"seed": 5}],
    ids=str,
)
def test_every_setting_of_folds_changes_the_held_out_rows(make_examples, change):
    contexts = [HILLS, RIVER, HILLS[::-1], RIVER[::-1]]
    rows = [("Where?", contexts[i % 4], contexts[i % 4][:3], 0) for i in range(16)]
    corpora = {"toy": make_examples(rows)}

    def hold_out(*, fold="0", num_folds=2, scheme=FoldScheme.stratified, seed=1):
        folds = FoldsConfig(["toy"], num_folds, scheme, seed)
        return split_examples(SimpleNamespace(fold=fold, folds=folds), corpora)[1]["id"][:]

    assert hold_out() == hold_out()
    assert hold_out(**change) != hold_out()


@pytest.mark.parametrize(("on_leak", "left"), [("report", [0, 2]), ("drop", [0])])
def test_only_drop_takes_rows_away(split, capsys, on_leak, left):
    rows, counts, pairs = check_leaks(OnLeak(on_leak), *split)
    assert rows["one"].tolist() == [1]
    assert rows["two"].tolist() == left
    assert counts["dropped"] == 2 - len(left)
    assert [pair["train_rows"] for pair in counts["pairs"]] == [1]
    assert (pairs["train_id"] + " " + pairs["held_out_id"]).tolist() == ["toy-2 toy-0"]
    assert pairs["train_rows"].tolist() == [1]
    assert len(capsys.readouterr().out.strip().splitlines()) == 1


def test_fail_stops_at_a_leak_and_only_there(split):
    corpora, rows, held_out = split
    with pytest.raises(ValueError, match=r"folds\.on_leak=fail: 1 rows"):
        check_leaks(OnLeak.fail, corpora, rows, held_out)
    rows["two"] = np.array([0])
    assert check_leaks(OnLeak.fail, corpora, rows, held_out)[1] == {"dropped": 0, "pairs": []}


def test_where_nothing_is_held_out_nothing_is_looked_for(split):
    corpora, rows, _ = split
    left, counts, pairs = check_leaks(OnLeak.fail, corpora, rows, None)
    assert (left, counts, len(pairs)) == (rows, {}, 0)


def test_a_corpus_without_a_row_left_is_an_error(tmp_path, compose_config, capsys):
    path = tmp_path / "train.csv"
    header = "id,context,question,answer_text,answer_start,language"
    path.write_text(f"{header}\na,context,question,other,0,hindi\n")
    overrides = [f"paths.output={tmp_path}", f"corpora.demo_chaii.path={path}", "max_examples=9"]
    config = check_train(compose_config("train", *overrides))
    with pytest.raises(CorpusError, match="corpus demo_chaii: no row is left to train on"):
        read_corpora(config)
    assert "demo_chaii, hindi, dropped: answer not in context 1" in capsys.readouterr().out


def test_a_run_counts_its_leaks(demo_run):
    leaks = demo_run.read_metrics()["leaks"]
    assert leaks["dropped"] == 0
    assert {pair["held_out_corpus"] for pair in leaks["pairs"]} <= {"demo_chaii"}
    assert len(pd.read_csv(demo_run.leaks)) == sum(pair["pairs"] for pair in leaks["pairs"])


TESTS = {  # a file of the demo, and the settings to read it
    "chaii_csv": ["chaii/test.csv"],
    "squad_json": ["xquad/xquad.hi.json", "format=squad_json", "language=hindi"],
}


@pytest.mark.parametrize("words", TESTS.values(), ids=TESTS)
def test_the_script_writes_the_pairs_of_every_fold_and_of_a_test_file(tmp_path, monkeypatch, words):
    csv, test = tmp_path / "leaks.csv", tmp_path / "output" / "demo" / words[0]
    options = ["--test", str(test), *words[1:], "--csv", str(csv)]
    monkeypatch.setattr(
        sys,
        "argv",
        ["check_leaks.py", f"paths.output={tmp_path}/output", "max_examples=60", *options],
    )
    runpy.run_path(str(ROOT / "scripts/check_leaks.py"), run_name="__main__")
    pairs = pd.read_csv(csv)
    assert set(pairs["against"]) == {"fold 0", "fold 1", "test"}
    assert pairs["similarity"].between(0.2, 1).all()
