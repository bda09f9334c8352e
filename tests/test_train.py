"""A fold end to end: what stands in its folder, when it is trained again, how it resumes."""

import json

import pandas as pd
import pytest
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from chaii.config.errors import ConfigError
from chaii.corpus.readers import CorpusError
from chaii.evaluation.oof_table import read_oof_table


def test_a_run_folder_holds_what_the_design_says(demo_run):
    names = {path.name for path in demo_run.path.iterdir()}
    assert names == {
        "config.yaml",
        "environment.json",
        "leaks.csv",
        "logits",
        "metrics.json",
        "model",
        "oof.parquet",
        "plan.parquet",
    }
    model = {path.name for path in demo_run.model.iterdir()}
    assert model == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_the_model_of_a_run_is_loaded_by_transformers(demo_run):
    model = AutoModelForQuestionAnswering.from_pretrained(demo_run.model)
    tokenizer = AutoTokenizer.from_pretrained(demo_run.model)
    assert model.config.vocab_size == len(tokenizer)


def test_metrics_count_windows_tokens_and_seconds(demo_run):
    metrics, plan = demo_run.read_metrics(), pd.read_parquet(demo_run.plan)
    assert metrics["windows"] == len(plan)
    assert metrics["tokens"] == plan["length"].sum()
    assert metrics["seconds"] > 0
    assert set(metrics["language"]) == {"hindi", "tamil"}
    assert metrics["jaccard"] == pytest.approx(read_oof_table([demo_run.oof])["jaccard"].mean())


def test_the_environment_names_versions_commit_seed_and_hardware(demo_run):
    environment = json.loads((demo_run.path / "environment.json").read_text())
    assert {"versions", "commit", "seed", "hardware"} <= set(environment)
    assert "transformers" in environment["versions"]


def test_a_finished_run_is_left_as_it_is(demo_run, train_demo):
    before = demo_run.metrics.stat().st_mtime_ns
    train_demo(demo_run.root.parent)
    assert demo_run.metrics.stat().st_mtime_ns == before


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(
    demo_run, train_demo, tmp_path
):
    again, other = train_demo(tmp_path / "again"), train_demo(tmp_path / "other", "seed=5")
    figures = [read_oof_table([run.oof]) for run in (demo_run, again, other)]
    pd.testing.assert_frame_equal(figures[0], figures[1])
    losses = [run.read_metrics()["history"][-1]["train_loss"] for run in (demo_run, again, other)]
    assert losses[0] == losses[1] != losses[2]


def test_an_unfinished_run_with_other_settings_is_refused(train_demo, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("chaii.train.train_model", killed)
        with pytest.raises(KeyboardInterrupt):
            train_demo(tmp_path)
    with pytest.raises(ConfigError, match=r"other settings \(seed\)"):
        train_demo(tmp_path, "seed=5")
    assert train_demo(tmp_path).is_finished


def test_all_folds_train_on_everything_and_validate_nothing(demo_run, train_demo, tmp_path):
    run = train_demo(tmp_path, "fold=all")
    assert "jaccard" not in run.read_metrics()
    assert not run.logits.exists()
    chaii = [pd.read_parquet(r.plan).query("corpus == 'demo_chaii'") for r in (demo_run, run)]
    assert chaii[1]["example"].nunique() > chaii[0]["example"].nunique()


def test_no_held_out_row_is_in_the_plan(demo_run):
    plan = pd.read_parquet(demo_run.plan).query("corpus == 'demo_chaii'")
    held_out = set(read_oof_table([demo_run.oof])["id"])
    corpus = pd.read_csv(demo_run.root.parent / "demo/chaii/train.csv")
    assert not held_out & set(corpus["id"].iloc[plan["example"].unique()])


def test_a_broken_corpus_leaves_no_run_behind(train_demo, tmp_path):
    (tmp_path / "broken.json").write_text('{"data": [')
    with pytest.raises(CorpusError, match=r"broken\.json"):
        train_demo(tmp_path, f"corpora.demo_squad.path={tmp_path}/broken.json")
    assert not (tmp_path / "runs").exists()
