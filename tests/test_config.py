"""Configuration: every shipped yaml composes, every mistake is named at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from chaii.config.checks import ConfigError, check_ensemble, check_train, register_schemas

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
YAML_FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))

register_schemas()


def compose_config(name, *overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, overrides=list(overrides))


def compose_for(path):
    """The configuration that uses `path`, filled and checked."""
    group, name = path.parent.as_posix(), path.stem
    if group == ".":
        config = compose_config(name)
        return check_ensemble(config) if name == "ensemble" else check_train(config)
    if group in ("ensemble", "method"):
        return check_ensemble(compose_config("ensemble", f"{group}={name}"))
    if group == "corpora/hub":
        return check_train(compose_config("train", f"corpora=[hub/{name}]", *only_corpus(name)))
    if group == "corpora":
        return check_train(compose_config("train", f"corpora=[{name}]", *only_corpus(name)))
    if group == "recipe":
        return check_train(
            compose_config(
                "train", f"corpora=[{corpora_of(path)}]", f"recipe={name}", *validate_first(path)
            )
        )
    fitting = {"gpu": ["backbone=muril_large"], "sma": ["backbone=small_muril"]}
    more = fitting.get(name[:3], []) if group == "trainer" else []
    more += ["trainer=small"] if group == "backbone" and "tiny" not in name else []
    return check_train(compose_config("train", f"{group}={name}", *more))


def only_corpus(name):
    source = f"{{corpus:{name},max_length:64,doc_stride:16}}"
    return f"recipe.stages=[{{sources:[{source}]}}]", f"folds.validation_corpora=[{name}]"


def recipe_corpora(path):
    recipe = yaml.safe_load((CONF / path).read_text())
    if "stages" not in recipe:  # one that builds on another
        return recipe_corpora(path.with_stem(recipe["defaults"][0]))
    stages = recipe["stages"]
    return sorted({part["corpus"] for stage in stages for part in stage["sources"]})


def corpora_of(path):
    return ",".join(recipe_corpora(path))


def validate_first(path):
    return (f"folds.validation_corpora=[{recipe_corpora(path)[0]}]",)


def test_the_number_of_configuration_files_is_known():
    assert len(YAML_FILES) == 84


@pytest.mark.parametrize("path", YAML_FILES, ids=str)
def test_every_configuration_composes(path):
    assert compose_for(path)


@pytest.mark.parametrize("path", [p for p in YAML_FILES if p.parent.name == "experiment"], ids=str)
def test_an_experiment_is_named_as_its_file(path):
    assert compose_for(path).name == path.stem


@pytest.mark.parametrize("path", [p for p in YAML_FILES if p.parent.name == "corpora"], ids=str)
def test_a_corpus_is_named_as_its_file_and_says_where_it_comes_from(path):
    source = compose_for(path).corpora[path.stem]
    assert source.homepage
    assert source.licence


BROKEN_RULES = {
    "recipe.stages.0.sources.1.doc_stride=96": (
        r"stages\[0\]\.sources\[1\]\.doc_stride=96: .* below max_length=96"
    ),
    "recipe.stages.1.sources.0.negatives=1.5": r"negatives=1.5: must be a share",
    "recipe.stages.0.sources.0.corpus=wiki": "unknown corpus 'wiki'",
    "recipe.stages.0.sources.0.max_examples=0": "max_examples=0: must be at least 1",
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
    "+typo=1": "typo: Key 'typo' not in 'TrainConfig'",
    "+trainer.typo=1": "trainer.typo: Key 'typo' not in 'TrainerConfig'",
}


@pytest.mark.parametrize(("override", "message"), BROKEN_RULES.items())
def test_a_broken_rule_names_key_value_and_rule(override, message):
    with pytest.raises(ConfigError, match=message):
        check_train(compose_config("train", override))


def test_an_ensemble_names_each_run_once():
    with pytest.raises(ConfigError, match="each once"):
        check_ensemble(compose_config("ensemble", "ensemble.members=[a,a]"))


MISTAKES = {
    "typo": ("trainer.batchsize=3", "batchsize"),
    "wrong type": ("trainer.per_device_train_batch_size=many", "batch_size"),
    "rule": ("recipe.stages.0.sources.0.doc_stride=500", "doc_stride=500"),
    "corpus": ("folds.validation_corpora=[chaii]", "chaii"),
    "backbone": ("backbone=tiny_mural", "tiny_mural"),
    "no file": ("corpora.demo_squad.path=gone.json", "gone.json"),
}


@pytest.mark.parametrize(("override", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_fails_within_five_seconds_without_a_trace(override, named, tmp_path):
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/train.py", override, f"paths.output={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    assert done.returncode != 0
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 40
    assert seconds < 5 or override.startswith("corpora")  # this one has to import the readers
    assert not list(tmp_path.rglob("config.yaml"))


HELP = """
import runpy, sys
sys.argv = ["train.py", "--help"]
try:
    runpy.run_path({script!r}, run_name="__main__")
finally:
    print("LOADED", sorted({{"torch", "transformers", "datasets"}} & set(sys.modules)))
"""


def test_help_loads_nothing_heavy():
    code = HELP.format(script=str(ROOT / "scripts/train.py"))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "LOADED []" in done.stdout
