"""Label repair end to end: what would change, a run that places labels, a fold trained on them."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chaii.config.checks import check_train
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.label_repair import find_occurrences
from chaii.corpus.readers import read_corpus
from chaii.evaluation.oof_table import read_oof_table
from chaii.train import prepare_fold

ROOT = Path(__file__).parents[1]
CHAII = "corpora.demo_chaii"


@pytest.fixture
def print_script(run_script):
    """Call a script that succeeds; returns what it prints."""

    def run(script, *arguments):
        status, printed, errors = run_script(script, *arguments)
        assert status == 0, errors
        return printed

    return run


def test_inspection_counts_shows_and_writes_what_would_change(tmp_path, print_script):
    path, place = tmp_path / "train.csv", "Pune is old. Ravi was born in Pune."
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "question", "context", "answer_text", "answer_start", "language"])
        writer.writerow(["a", "Where was Ravi born?", place, "Pune", 0, "hindi"])
        writer.writerow(["b", "Where was Ravi born?", place, "Pune", 30, "tamil"])
        writer.writerow(["c", "Who was born?", place, "Ravi", 13, "tamil"])
    overrides = [f"corpora.chaii.path={path}", f"paths.output={tmp_path}"]
    printed = print_script("inspect_labels", "chaii", *overrides)
    lines = [line.replace("|", " ").split() for line in printed.splitlines()[2:5]]
    counts = {language: numbers for language, *numbers in lines}
    assert counts == {"hindi": ["1", "1", "1"], "tamil": ["2", "1", "0"], "all": ["3", "2", "1"]}
    assert "a (hindi), 2 occurrences" in printed
    assert "born in [Pune]." in printed
    table = pd.read_csv(tmp_path / "labels/chaii.csv")
    assert table["chosen_start"].tolist() == [30, 30, 13]


def test_a_run_places_the_rows_it_held_out(demo_run, tmp_path, print_script):
    file, run = tmp_path / "labels.csv", demo_run.path.parent
    tokens = ["--tokens", tmp_path / "tokens"]
    arguments = ["--run", run, "--corpus", "demo_chaii", "--output", file, *tokens]
    printed = print_script("relabel", *arguments)
    labels = pd.read_csv(file, index_col="id")["answer_start"]
    assert set(labels.index) == set(read_oof_table([demo_run.oof])["id"])
    path = demo_run.root.parent / "demo/chaii/train.csv"
    corpus = CorpusConfig(CorpusFormat.chaii_csv, str(path))
    given, _ = read_corpus("demo_chaii", corpus)
    moved, _ = read_corpus(
        "demo_chaii", CorpusConfig(CorpusFormat.chaii_csv, str(path), labels_file=str(file))
    )
    several = 0
    for old, new in zip(given, moved, strict=True):
        text, start = old["answer_text"][0], old["answer_start"][0]
        places = find_occurrences(old["context"], text, start)
        several += len(places) > 1
        assert new["answer_start"][0] in places
        assert new["answer_start"][0] == labels.get(old["id"], start)
    changed = sum(
        labels[row["id"]] != row["answer_start"][0] for row in given if row["id"] in labels
    )
    assert f"{len(labels)} rows, {changed} moved" in printed
    assert several > 0


@pytest.fixture(scope="module")
def prepared(compose_config, tmp_path_factory):
    """The demo, prepared under each kind of labels for its chaii."""
    output = f"paths.output={tmp_path_factory.mktemp('demo')}"
    return {
        labels: prepare_fold(
            check_train(compose_config("train", output, f"{CHAII}.labels={labels}"))
        )
        for labels in ("first", "evidence", "all")
    }


def test_labels_change_neither_folds_nor_gold_texts(prepared):
    first = prepared["first"]
    for other in prepared.values():
        assert other.held_out["id"][:] == first.held_out["id"][:]
        texts = [dict.fromkeys(row).keys() for row in other.held_out["answer_text"]]
        assert texts == [dict.fromkeys(row).keys() for row in first.held_out["answer_text"]]
        for name, rows in first.rows.items():
            np.testing.assert_array_equal(other.rows[name], rows)


def test_only_the_corpus_set_so_trains_on_every_occurrence(prepared):
    stores = {labels: fold.stores for labels, fold in prepared.items()}
    several = {
        labels: [
            name for name, store in found.items() if np.diff(store.answers.row_start).max() > 1
        ]
        for labels, found in stores.items()
    }
    assert several == {"first": [], "evidence": [], "all": ["demo_chaii"]}
    assert len(stores["all"]["demo_chaii"].answers.tokens) > 900
    plans = {labels: fold.make_plan(1) for labels, fold in prepared.items()}
    positives = {labels: (plan["start_token"] >= 0).sum() for labels, plan in plans.items()}
    assert positives["all"] > positives["first"]


def test_a_fold_learns_from_every_occurrence(train_demo, tmp_path):
    run = train_demo(tmp_path, f"{CHAII}.labels=all")
    metrics = run.read_metrics()
    assert np.isfinite([entry["loss"] for entry in metrics["history"] if "loss" in entry]).all()
    assert metrics["rows"] == len(read_oof_table([run.oof]))
