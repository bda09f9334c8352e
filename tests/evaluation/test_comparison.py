"""Two runs side by side: what differs, and nothing that does not."""

import json
import shutil

import pandas as pd
import pytest

from chaii.evaluation.comparison import compare_records, compare_scores, list_changed, pair_rows
from chaii.evaluation.oof_table import read_oof_table
from chaii.run_folder import RunFolder


@pytest.fixture(scope="module")
def other(train_demo, demo_run):
    """Another run on the same rows, with other windows and another rate."""
    changed = "backbone.learning_rate=0.001", "recipe.stages.0.sources.0.negatives=0.5"
    return train_demo(demo_run.root.parent, "name=other", *changed)


@pytest.fixture
def copy(demo_run, tmp_path):
    """A copy of the demo's run, which a test may change."""
    run = RunFolder(tmp_path, "copy", "0")
    shutil.copytree(demo_run.path, run.path)
    return run


def test_a_run_does_not_differ_from_itself(demo_run, copy):
    pairs = pair_rows([demo_run], [copy])
    assert all(table.empty for table in compare_records([demo_run], [copy]).values())
    assert list_changed(pairs).empty
    assert (compare_scores(pairs)[["gain", "low", "high"]] == 0).all(axis=None)


def test_settings_that_differ_are_listed_with_both_values(demo_run, other):
    table = compare_records([demo_run], [other])["settings"].set_index("key")
    assert table.to_dict("index") == {
        "backbone.learning_rate": {"old": 0.003, "new": 0.001},
        "recipe.stages[0].sources[0].negatives": {"old": 0.2, "new": 0.5},
    }


def test_environment_and_data_are_compared(demo_run, other, copy):
    [plan] = compare_records([demo_run], [other])["data"]["key"]
    assert plan == "plan"
    file = copy.path / "environment.json"
    told = json.loads(file.read_text())
    told["versions"]["torch"] = "1.0"
    told["fingerprints"]["demo_squad"] = "other"
    file.write_text(json.dumps(told))
    tables = compare_records([demo_run], [copy])
    assert list(tables["environment"]["key"]) == ["versions.torch"]
    assert list(tables["data"]["key"]) == ["fingerprints.demo_squad"]


def test_a_fold_that_both_have_is_compared(demo_run, copy, tmp_path):
    first = RunFolder(tmp_path, "copy", "-1")
    shutil.copytree(copy.path, first.path)
    config = (first.path / "config.yaml").read_text().replace("seed: 2021", "seed: 1")
    (first.path / "config.yaml").write_text(config)
    assert compare_records([first, copy], [demo_run])["settings"].empty


def test_the_scores_are_those_of_both_runs_and_their_difference(demo_run, other):
    pairs = pair_rows([demo_run], [other])
    table = compare_scores(pairs).set_index("metric")
    for metric in ("jaccard", "exact", "f1"):
        for name, run in (("old", demo_run), ("new", other)):
            assert table.loc[metric, name] == pytest.approx(run.read_metrics()[metric])
    assert table["gain"].to_list() == pytest.approx((table["new"] - table["old"]).to_list())
    assert (table["low"] <= table["gain"]).all()
    assert (table["gain"] <= table["high"]).all()
    assert table.loc["jaccard", "low"] < table.loc["jaccard", "high"]


def test_rows_are_drawn_by_their_context():
    rows = 40
    pairs = pd.DataFrame({"context": ["a", "b"] * (rows // 2)})
    for metric in ("jaccard", "exact", "f1"):
        pairs = pairs.assign(**{f"{metric}_old": 0.0, f"{metric}_new": [0.0, 1.0] * (rows // 2)})
    line = compare_scores(pairs).iloc[0]
    assert (line["low"], line["gain"], line["high"]) == (0.0, 0.5, 1.0)


def test_changed_rows_are_listed_the_worst_first(demo_run, copy):
    rows = read_oof_table([copy.oof])
    right, wrong = rows["answer_text"].str[0], rows["prediction"]
    rows["prediction"] = [*right[:5], *["nothing"] * 5, *(f" {text} " for text in wrong[10:])]
    rows.to_parquet(copy.oof)
    before = read_oof_table([demo_run.oof])
    changed = list_changed(pair_rows([demo_run], [copy]))
    assert set(changed["id"]) <= set(before["id"][:10])
    assert changed["gain"].is_monotonic_increasing
    assert set(changed["new"]) >= {"nothing"}
    lost = changed.set_index("id")["gain"]
    for number, row in before[5:10].iterrows():
        assert lost[row["id"]] == -before.loc[number, "jaccard"]


def test_runs_without_a_row_in_common_are_refused(demo_run, copy):
    rows = read_oof_table([copy.oof])
    rows.assign(corpus="another").to_parquet(copy.oof)
    with pytest.raises(ValueError, match="demo_muril and copy: no row was held out by both"):
        pair_rows([demo_run], [copy])


def test_the_script_prints_the_tables_and_writes_the_rows(demo_run, other, run_script, tmp_path):
    where = f"--runs={demo_run.root}", f"--csv={tmp_path}/changed.csv", "--rows=2"
    status, printed, errors = run_script("compare", demo_run.name, other.name, *where)
    assert status == 0, errors
    assert "| backbone.learning_rate " in printed
    assert "environment: no difference" in printed
    changed = pd.read_csv(tmp_path / "changed.csv")
    assert f"{len(changed)} of them answered otherwise" in printed
    assert str(changed["id"][0]) in printed
    assert printed.splitlines()[-1].startswith(f"| {changed['corpus'][1]} ")
