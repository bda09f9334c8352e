"""The leaderboard keeps published results; the table of results shows what a machine has."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from chaii.config.errors import ConfigError
from chaii.evaluation.leaderboard import (
    insert_table,
    read_results,
    render_table,
    select_results,
    tabulate_results,
)
from chaii.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "hardware": {"cpu": "a|b <img>", "gpus": []},
    "threads": 1,
    "commit": "0123456789abcdef",
}


@pytest.fixture
def place(tmp_path):
    """A page, published results, and a folder of runs with one finished run in two folds."""
    (tmp_path / "page.md").write_text(
        "before\n<!-- leaderboard -->\nold\n<!-- /leaderboard -->\nafter\n", encoding="utf-8"
    )
    results = (ROOT / "studies/leaderboard.csv").read_text(encoding="utf-8")
    (tmp_path / "results.csv").write_text(results, encoding="utf-8")
    for fold, (rows, jaccard) in enumerate([(100, 0.5), (300, 0.9)]):
        scores = {"rows": rows, "jaccard": jaccard, "exact": 0.5, "f1": 0.5}
        write_run(tmp_path, "mine", str(fold), scores | {"windows": 10, "seconds": 60})
    return tmp_path


def write_run(place, name, fold, metrics):
    run = RunFolder(place / "runs", name, fold)
    run.path.mkdir(parents=True)
    text = metrics if isinstance(metrics, str) else json.dumps(metrics)
    run.metrics.write_text(text, encoding="utf-8")
    (run.path / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")


@pytest.fixture
def leaderboard(place, monkeypatch):
    """Run the script on the place; returns its error line, or an empty text."""

    def run(*arguments):
        paths = f"--runs={place}/runs", f"--results={place}/results.csv"
        monkeypatch.setattr(sys, "argv", ["leaderboard.py", *paths, *arguments])
        try:
            runpy.run_path(str(ROOT / "scripts/leaderboard.py"), run_name="__main__")
        except SystemExit as end:
            return end.code
        return ""

    return run


def test_the_table_of_the_readme_is_made_of_the_published_results():
    page = ROOT / "README.md"
    table = render_table(read_results(ROOT / "studies/leaderboard.csv"))
    assert insert_table(page, table) == page.read_text(encoding="utf-8")


def test_publishing_a_run_adds_one_row_and_changes_no_other(place, leaderboard):
    before = read_results(place / "results.csv")
    assert leaderboard("--publish", "mine", f"--readme={place}/page.md") == ""
    after = read_results(place / "results.csv").set_index("run")
    assert set(after.index) == {*before["run"], "mine"}
    assert after.drop("mine").reset_index().equals(before.sort_values("run", ignore_index=True))
    assert dict(after.loc["mine", ["folds", "held-out rows", "jaccard"]]) == {
        "folds": "2",
        "held-out rows": "400",
        "jaccard": "0.800",
    }


def test_writing_the_page_without_any_run_keeps_all_published_rows(place, leaderboard):
    assert leaderboard(f"--readme={place}/page.md", "--runs=gone") == ""
    page = (place / "page.md").read_text(encoding="utf-8")
    assert all(name in page for name in read_results(place / "results.csv")["run"])
    assert page.startswith("before\n")
    assert page.endswith("after\n")


def test_a_published_run_is_replaced_only_where_that_is_asked_for(place, leaderboard):
    assert leaderboard("--publish", "mine") == ""
    write_run(place, "mine", "2", {"rows": 400, "jaccard": 0.1, "exact": 0.1, "f1": 0.1} | COST)
    assert "published already" in leaderboard("--publish", "mine")
    assert leaderboard("--publish", "mine", "--replace") == ""


COST = {"windows": 10, "seconds": 60}
MISTAKES = {
    "no such run": (["--publish", "gone"], "no finished fold of run 'gone'"),
    "no page": (["--readme=gone.md"], "gone.md: cannot be read: No such file"),
    "a folder as page": (["--readme=."], "Is a directory"),
    "no markers": (["--readme={place}/empty.md"], "must hold <!-- leaderboard -->"),
    "torn metrics": (["--publish", "torn"], "torn/fold0/metrics.json: "),
    "nothing held out": (["--publish", "all"], "held out any row"),
    "a value is gone": (["--publish", "short"], "lack"),
    "other columns": (["--results={place}/empty.md"], "its columns must be run,"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(place, leaderboard, arguments, message):
    (place / "empty.md").write_text("nothing\n", encoding="utf-8")
    write_run(place, "torn", "0", '{"rows": 3')
    write_run(place, "all", "all", COST)
    write_run(place, "short", "0", {"rows": 3, "jaccard": 0.1} | COST)
    line = leaderboard(*(argument.format(place=place) for argument in arguments))
    assert line.startswith("error: ")
    assert message in line
    assert "\n" not in line


def test_what_a_run_folder_holds_is_escaped_in_the_table(place, leaderboard):
    leaderboard("--publish", "mine", f"--readme={place}/page.md")
    page = (place / "page.md").read_text(encoding="utf-8")
    assert r"a\|b &lt;img&gt;" in page


@pytest.fixture(scope="module")
def machine(demo_run, tmp_path_factory):
    """A run of two folds, an older one without resources, a torn one, and an ensemble."""
    machine = tmp_path_factory.mktemp("results")
    for name, fold in (("two", "0"), ("two", "1"), ("older", "0"), ("torn", "0")):
        shutil.copytree(demo_run.path, machine / f"runs/{name}/fold{fold}")
    older = machine / "runs/older/fold0/metrics.json"
    metrics = json.loads(older.read_text())
    del metrics["resources"]
    older.write_text(json.dumps(metrics))
    (machine / "runs/torn/fold0/oof.parquet").write_bytes(b"torn")
    (machine / "submissions").mkdir()
    shutil.copy(demo_run.oof, machine / "submissions/mine_auto_oof.parquet")
    scores = "kind,name,rows\nmember,two/0,3\nmember,two/1,3\naverage,tiny_muril,6\n"
    (machine / "submissions/mine_auto_scores.csv").write_text(scores)
    shutil.copy(demo_run.oof, machine / "submissions/lost_oof.parquet")
    return machine


@pytest.fixture(scope="module")
def results(machine):
    return tabulate_results(machine / "runs", machine / "submissions")


@pytest.fixture
def table(results):
    return results[0].set_index("name")


def test_runs_and_ensembles_are_listed_and_others_told(results):
    table, faults = results
    assert list(table["name"]) == ["older", "two", "mine_auto"]
    assert len(faults) == 2
    assert "runs/torn/fold0/oof.parquet: cannot be read" in faults[0]
    assert "lost_scores.csv: cannot be read" in faults[1]


def test_scores_are_those_of_the_run_with_an_interval_around_them(table, demo_run):
    metrics = demo_run.read_metrics()
    for name in ("jaccard", "exact", "f1"):
        assert table.loc["older", name] == pytest.approx(metrics[name])
        assert table.loc["mine_auto", name] == pytest.approx(metrics[name])
    assert (table["low"] < table["jaccard"]).all()
    assert (table["jaccard"] < table["high"]).all()
    assert table.loc["two", "rows"] == 2 * metrics["rows"]


def test_costs_are_summed_over_folds(table, demo_run):
    metrics, weights = demo_run.read_metrics(), demo_run.model / "model.safetensors"
    one = [metrics["seconds"] / 60, weights.stat().st_size / 1e6, metrics["resources"]["answer_ms"]]
    for name in ("two", "mine_auto"):
        line = table.loc[name, ["minutes", "MB", "ms"]]
        assert line.to_list() == pytest.approx([2 * cost for cost in one])
    assert table.loc["two", "folds"] == 2


def test_what_an_older_run_does_not_tell_is_missing(table):
    assert pd.isna(table.loc["older", "ms"])
    assert table.loc["older", "minutes"] > 0


def test_a_condition_and_an_order_choose_the_lines(results):
    table = results[0]
    chosen = select_results(table, sort="minutes", condition="folds == 2 and MB > 0")
    assert list(chosen["name"]) == ["two", "mine_auto"]
    cheapest = select_results(table, sort="MB", condition=None)
    assert cheapest["name"].iloc[0] == "older"
    assert select_results(table, sort="rows", condition=None)["rows"].is_monotonic_decreasing


@pytest.mark.parametrize("condition", ["jaccard >", "gone > 1", "name + 1", "name > 3", "@x > 1"])
def test_a_condition_that_is_none_is_told(condition, results):
    with pytest.raises(ConfigError, match=r"must be a condition such as .* on name, folds"):
        select_results(results[0], sort="jaccard", condition=condition)


def test_the_script_prints_what_is_chosen(machine, run_script):
    where = f"--runs={machine}/runs", f"--submissions={machine}/submissions"
    status, printed, _ = run_script("leaderboard", *where, "--filter", "folds == 1")
    assert status == 0
    assert "| older " in printed
    assert "| two " not in printed
    assert printed.count("left out: ") == 2
