"""A rule across settings that is broken is named with its key and value, all at once."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from chaii.config.checks import check_ensemble, check_train
from chaii.config.compose import compose_config
from chaii.config.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
TRAIN = {
    "recipe.stages[0].sources[1].doc_stride=96": (
        r"stages\[0\]\.sources\[1\]\.doc_stride=96: .* below max_length=96"
    ),
    "recipe.stages[1].sources[0].negatives=1.5": r"negatives=1.5: must be a share",
    "recipe.stages[0].sources[0].corpus=wiki": "unknown corpus 'wiki'",
    "recipe.stages[0].sources[0].max_examples=0": "max_examples=0: must be at least 1",
    "recipe.stages=[]": "recipe.stages: must hold at least one stage",
    "recipe.predict_doc_stride=192": "predict_doc_stride=192: must be below",
    "recipe.cutout.rate=1": "cutout.rate=1.0: must be a share",
    "folds.validation_corpora=[chaiii]": "unknown corpus 'chaiii'",
    "folds.num_folds=0": "folds.num_folds=0: must be at least 1",
    "fold=2": "fold=2: must be 0 to 1, or all",
    "fold=one": "fold=one: must be 0 to 1, or all",
    "backbone.pretrained=google/rembert": "exactly one of pretrained and scratch",
    "backbone.learning_rate=0": "learning_rate=0.0: must be above 0",
    "backbone.warmup_ratio=10": "warmup_ratio=10.0: must be a share",
    "backbone.effective_batch_size=20": "must be a multiple of trainer.per_device_train",
    "trainer.per_device_train_batch_size=0": "per_device_train_batch_size=0: must be at least 1",
    "trainer.precision=int8": "trainer.precision=int8: predicts only",
    "name=???": "name: must be set",
    "typo=1": "typo: no such setting",
    "trainer.typo=1": "trainer.typo: no such setting",
    "trainer.batch_size=1": "trainer.batch_size: has a new name, trainer.per_device_train",
}
ENSEMBLE = {
    "ensemble.members=[a,a]": "each once",
    "ensemble.members=[]": "at least one run",
    "ensemble.weights={b: 2}": "ensemble.weights.b: no member",
    "time_budget=0": "time_budget=0.0: must be above 0",
    "n_best=-1": "n_best=-1: must not be negative",
    "search.folds=1": "search.folds=1: must be at least 2",
    "blend={name: a}": "blend: has a new name, ensemble",
}


def change(config, setting):
    key, _, value = setting.partition("=")
    changed = deepcopy(config)
    OmegaConf.update(changed, key, yaml.safe_load(value), force_add=True, merge=False)
    return changed


@pytest.fixture(scope="module")
def train_config():
    return compose_config(CONF, "train")


@pytest.fixture(scope="module")
def ensemble_config():
    return compose_config(CONF, "ensemble")


@pytest.mark.parametrize(("setting", "message"), TRAIN.items())
def test_a_broken_rule_of_training_names_key_value_and_rule(train_config, setting, message):
    with pytest.raises(ConfigError, match=message):
        check_train(change(train_config, setting))


@pytest.mark.parametrize(("setting", "message"), ENSEMBLE.items())
def test_a_broken_rule_of_an_ensemble_names_key_value_and_rule(ensemble_config, setting, message):
    with pytest.raises(ConfigError, match=message):
        check_ensemble(change(ensemble_config, setting))


def test_several_broken_rules_are_named_together(train_config):
    broken = change(change(train_config, "folds.num_folds=0"), "backbone.learning_rate=0")
    with pytest.raises(ConfigError, match=r"num_folds=0.*learning_rate=0"):
        check_train(broken)
