"""Overrides written as an experiment compose to the same settings."""

from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from chaii.config.compose import compose_config, register_schemas
from chaii.config.experiment import write_experiment

CONF = Path(__file__).parents[2] / "conf"
OVERRIDES = {
    "values": ["backbone.learning_rate=0.1", "recipe.cutout.rate=0.2", "max_examples=null"],
    "groups": ["experiment=english_chaii", "recipe=english_chaii/crop", "trainer=gpu_16gb"],
    "a group of settings": ["experiment=muril", "backbone=rembert", "backbone.warmup_ratio=0.3"],
    "an inner list": ["recipe.stages.0.sources.1.negatives=0.4", "recipe.mixed=true"],
    "fewer corpora": ["corpora=[demo_chaii,demo_squad]", "corpora.demo_squad.max_examples=5"],
    "a new key": ["+backbone.config.layer_norm_eps=1e-5", "backbone.scratch.vocab_size=500"],
    "nothing": [],
}


@pytest.fixture
def write(tmp_path):
    """Write an experiment into a folder of settings; returns what it composes to."""

    def compose(overrides):
        register_schemas()
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            text = write_experiment(overrides, name="best")
        (tmp_path / "experiment").mkdir()
        (tmp_path / "experiment/best.yaml").write_text(text)
        return [f"hydra.searchpath=[{tmp_path}]", "experiment=best"], text

    return compose


@pytest.mark.parametrize("case", OVERRIDES)
def test_an_experiment_has_the_settings_of_its_overrides(case, write):
    chosen, _ = write(OVERRIDES[case])
    ours, theirs = (
        OmegaConf.to_container(compose_config(CONF, "train", [*some, "name=x"]))
        for some in (chosen, OVERRIDES[case])
    )
    assert ours == theirs


def test_an_experiment_holds_only_what_was_changed(write):
    _, text = write(["experiment=demo_xlmr", "recipe.cutout.rate=0.2", "fold=1", "seed=7"])
    assert text.splitlines() == [
        "# @package _global_",
        "defaults:",
        "- demo_xlmr",
        "- _self_",
        "name: best",
        "recipe:",
        "  cutout:",
        "    rate: 0.2",
    ]
