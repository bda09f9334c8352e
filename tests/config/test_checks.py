"""A rule across settings that is broken is named with its key and value, all at once."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from chaii.config.checks import check_ensemble, check_train
from chaii.config.compose import compose_config
from chaii.config.ensemble import MethodKind
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
    "fold=2": "fold=2: must be all, or below folds.num_folds=2",
    "fold=one": "fold=one: must be all, or below",
    "backbone.pretrained=google/rembert": "exactly one of pretrained and scratch",
    "backbone.learning_rate=0": "learning_rate=0.0: must be finite and above 0",
    "backbone.warmup_ratio=10": "warmup_ratio=10.0: must be a share",
    "backbone.effective_batch_size=20": "must be a multiple of trainer.per_device_train",
    "trainer.per_device_train_batch_size=0": "per_device_train_batch_size=0: must be at least 1",
    "recipe.stages[1].sources=[]": r"stages\[1\].sources: must hold at least one source",
    "recipe.stages[0].sources[0].max_length=0": "max_length=0: must be at least 1",
    "recipe.stages[0].sources[0].doc_stride=-1": "doc_stride=-1: must be finite and not negative",
    "recipe.stages[0].sources[0].negatives=.nan": "negatives=nan: must be a share",
    "recipe.predict_doc_stride=-10": "predict_doc_stride=-10: must be finite and not negative",
    "recipe.predict_max_length=0": "predict_max_length=0: must be at least 1",
    "recipe.cutout.rate=.nan": "cutout.rate=nan: must be a share",
    "recipe.cutout.span=0": "cutout.span=0: must be at least 1",
    "folds.seed=-1": "folds.seed=-1: must be from 0",
    "seed=-1": "seed=-1: must be from 0",
    "seed=4294967296": "seed=4294967296: must be from 0",
    "max_examples=0": "max_examples=0: must be at least 1",
    "corpora.demo_squad.max_examples=0": "demo_squad.max_examples=0: must be at least 1",
    "backbone.learning_rate=.nan": "learning_rate=nan: must be finite and above 0",
    "backbone.learning_rate=.inf": "learning_rate=inf: must be finite and above 0",
    "backbone.scratch.vocab_size=0": "vocab_size=0: must be at least 1",
    "backbone.config.hidden_dropout_prob=.nan": "hidden_dropout_prob=nan: must be finite",
    "trainer.max_steps=0": "max_steps=0: must be at least 1",
    "trainer.restarts=-1": "restarts=-1: must be finite and not negative",
    "trainer.num_workers=-1": "num_workers=-1: must be finite and not negative",
    "trainer.num_threads=0": "num_threads=0: must be at least 1",
    "trainer.logging_steps=0": "logging_steps=0: must be at least 1",
    "trainer.weight_decay=.nan": "weight_decay=nan: must be finite and not negative",
    "trainer.max_grad_norm=-1": "max_grad_norm=-1.0: must be finite and not negative",
    "name=../../evil": "name=../../evil: must be a plain name",
    "name=/evil": "name=/evil: must be a plain name",
    "name=.evil": "name=.evil: must be a plain name",
    "name=''": "name=: must be a plain name",
    "name=???": "name: must be set",
    "typo=1": "typo: no such setting",
    "trainer.typo=1": "trainer.typo: no such setting",
    "trainer.batch_size=1": "trainer.batch_size: has a new name, trainer.per_device_train",
}
ENSEMBLE = {
    "ensemble.members=[a,a]": "each once",
    "ensemble.members=[]": "at least one run",
    "ensemble.weights={b: 2}": "ensemble.weights.b: no member",
    "time_budget=0": "time_budget=0.0: must be finite and above 0",
    "n_best=-1": "n_best=-1: must be from 0 to 1000",
    "n_best=1000000": "n_best=1000000: must be from 0 to 1000",
    "time_budget=.nan": "time_budget=nan: must be finite and above 0",
    "predict_batch_size=-4": "predict_batch_size=-4: must be at least 1",
    "search.min_rows=-1": "min_rows=-1: must be finite and not negative",
    "method.decode.max_words=0": "max_words=0: must be at least 1",
    "method.decode.null_threshold=.nan": "null_threshold=nan: must be finite",
    "method.weights={a: .nan}": "method.weights.a=nan: must be finite and not negative",
    "ensemble.weights={demo_muril: -1}": "weights.demo_muril=-1.0: must be finite and not",
    "ensemble.name=../evil": "ensemble.name=../evil: must be a plain name",
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
    broken = change(change(train_config, "backbone.learning_rate=0"), "folds.num_folds=0")
    with pytest.raises(ConfigError, match=r"learning_rate=0.*num_folds=0"):
        check_train(broken)


ATTACKS = {
    "hydra: {callbacks: {x: {_target_: os.system, command: touch made}}}": "hydra: no such setting",
    "defaults: [evil]": "defaults: no such setting",
    "_target_: builtins.open": "_target_: no such setting",
    "kind: !!python/object/apply:os.system ['touch made']": "cannot be read",
    "kind: ${oc.env:HOME}": "must hold the settings of a method, all plain",
    "[vote]": "must hold the settings of a method",
    "kind: guess": "kind: Invalid value 'guess', expected one of",
    "weights: {a: -1}": "method.weights.a=-1.0: must be finite and not negative",
    "kind: [": "cannot be read",
}


@pytest.mark.parametrize(("content", "message"), ATTACKS.items())
def test_a_method_file_is_read_as_data(ensemble_config, tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    Path("method.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        check_ensemble(change(ensemble_config, "method_file=method.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == ["method.yaml"]


def test_a_method_file_takes_the_place_of_the_method(ensemble_config, tmp_path):
    file = tmp_path / "method.yaml"
    file.write_text("kind: fusion\ndecode: {max_words: 3}", encoding="utf-8")
    method = check_ensemble(change(ensemble_config, f"method_file={file}")).method
    assert (method.kind, method.decode.max_words) == (MethodKind.fusion, 3)


def test_a_method_file_that_is_not_there_is_named(ensemble_config):
    with pytest.raises(ConfigError, match=r"method_file=gone.yaml: cannot be read"):
        check_ensemble(change(ensemble_config, "method_file=gone.yaml"))


def test_each_of_several_processes_needs_whole_batches(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="per_device_train_batch_size=4, times 4 processes"):
        check_train(compose_config(CONF, "train", ["trainer.per_device_train_batch_size=4"]))
    check_train(compose_config(CONF, "train", ["trainer.per_device_train_batch_size=2"]))
