"""The embedded demo learns: its ensemble is good, and far above what untrained backbones answer."""

from pathlib import Path

import pandas as pd
import pytest
from transformers import set_seed

from chaii.config.checks import check_train
from chaii.evaluation.evaluator import Evaluator
from chaii.model.backbone import load_model
from chaii.train import prepare_fold

SCRIPTS = Path(__file__).parents[1] / "scripts"
BACKBONES = ("muril", "xlmr")
FEWER = "max_examples=420"  # half: 210 are held out, as many as a search of methods needs


@pytest.fixture(scope="module")
def demo(few_rounds, tmp_path_factory, run_script):  # noqa: ARG001
    """Two runs of `make demo` on half its rows, and their ensemble; returns their folder."""
    output = tmp_path_factory.mktemp("demo")
    paths = [f"paths.output={output}", f"paths.submissions={output}/submissions"]
    experiments = ",".join(f"demo_{backbone}" for backbone in BACKBONES)
    train = ["-m", f"experiment={experiments}", "trainer.num_evaluations=1", FEWER]
    ensemble = ["ensemble=demo", f"ensemble.members=[{experiments}]"]
    for script, overrides in (("train", train), ("ensemble", ensemble)):
        status, _, errors = run_script(script, *overrides, *paths)
        assert status == 0, errors
    return output


@pytest.fixture(scope="module")
def scores(demo):
    """The demo's score table, by kind and name."""
    return pd.read_csv(demo / "submissions/demo_auto_scores.csv").set_index(["kind", "name"])


def test_the_ensemble_reaches_its_mark_out_of_fold(scores):
    assert scores.loc["auto", "jaccard"].item() >= 0.70


def test_the_ensemble_is_five_times_better_than_untrained_backbones(scores, demo, compose_config):
    untrained = []
    for backbone in BACKBONES:
        overrides = f"experiment=demo_{backbone}", f"paths.output={demo}", FEWER
        config = check_train(compose_config("train", *overrides))
        prepared = prepare_fold(config)
        set_seed(config.seed)
        model = load_model(config.backbone, prepared.tokenizer)
        evaluator = Evaluator(config, prepared.held_out, prepared.tokenizer)
        untrained.append(evaluator.score(model)["jaccard"])
    assert scores.loc["auto", "jaccard"].item() >= 5 * max(untrained)


def test_every_test_row_has_an_answer(demo):
    answers = pd.read_csv(demo / "submissions/demo_auto.csv", keep_default_na=False)
    test = pd.read_csv(demo / "demo/chaii/test.csv")
    assert list(answers["id"]) == list(test["id"])
    assert (answers["PredictionString"] != "").all()
