"""The table of a machine's results: each run and ensemble with its scores and costs."""

import json
import shutil

import pandas as pd
import pytest

from chaii.config.errors import ConfigError
from chaii.evaluation.leaderboard import select_results, tabulate_results


@pytest.fixture(scope="module")
def place(demo_run, tmp_path_factory):
    """A run of two folds, an older one without resources, a torn one, and an ensemble."""
    place = tmp_path_factory.mktemp("results")
    for name, fold in (("two", "0"), ("two", "1"), ("older", "0"), ("torn", "0")):
        shutil.copytree(demo_run.path, place / f"runs/{name}/fold{fold}")
    older = place / "runs/older/fold0/metrics.json"
    metrics = json.loads(older.read_text())
    del metrics["resources"]
    older.write_text(json.dumps(metrics))
    (place / "runs/torn/fold0/oof.parquet").write_bytes(b"torn")
    (place / "submissions").mkdir()
    shutil.copy(demo_run.oof, place / "submissions/mine_auto_oof.parquet")
    scores = "kind,name,rows\nmember,two/0,3\nmember,two/1,3\naverage,tiny_muril,6\n"
    (place / "submissions/mine_auto_scores.csv").write_text(scores)
    shutil.copy(demo_run.oof, place / "submissions/lost_oof.parquet")
    return place


@pytest.fixture(scope="module")
def results(place):
    return tabulate_results(place / "runs", place / "submissions")


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


def test_the_script_prints_what_is_chosen(place, run_script):
    where = f"--runs={place}/runs", f"--submissions={place}/submissions"
    status, printed, _ = run_script("leaderboard", *where, "--filter", "folds == 1")
    assert status == 0
    assert "| older " in printed
    assert "| two " not in printed
    assert printed.count("left out: ") == 2
