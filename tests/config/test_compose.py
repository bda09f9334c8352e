"""Every shipped YAML composes to a configuration without faults; scripts fail in one line."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chaii.config.checks import check_ablate, check_ensemble, check_search, check_train
from chaii.config.compose import compose_config

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
YAML_FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
BASES = {
    Path("experiment/winner.yaml"),
    Path("experiment/single_stage.yaml"),
}  # other experiments start from them; no runs themselves
EXPERIMENTS = [path for path in YAML_FILES if path.parent.name == "experiment"]
CORPORA = [path for path in YAML_FILES if path.parent.name == "corpora"]
FITTING = {  # what else a file needs so that no rule is broken
    "trainer/gpu_16gb": ["backbone=muril_large"],
    "trainer/gpu_24gb": ["backbone=muril_large"],
    "trainer/gpu_80gb": ["backbone=muril_large"],
    "trainer/fsdp": ["backbone=muril_large"],
    "trainer/small": ["backbone=small_muril"],
}


def compose_for(path):
    """A configuration that uses the file, filled and checked."""
    group, name = path.parent.as_posix(), path.stem
    if name == "ensemble" or group in ("ensemble", "method"):
        overrides = [f"{group}={name}"] if group != "." else []
        return check_ensemble(compose_config(CONF, "ensemble", overrides))
    if name == "study" or group == "study":
        overrides = [f"{group}={name}"] if group != "." else []
        return check_ablate(compose_config(CONF, "study", overrides))
    if name == "search" or group == "search":
        overrides = [f"{group}={name}"] if group != "." else []
        return check_search(compose_config(CONF, "search", overrides))
    return compose_training(*train_overrides(path))


@functools.cache
def compose_training(*overrides):
    return check_train(compose_config(CONF, "train", overrides))


def train_overrides(path):
    group, name = path.parent.as_posix(), path.stem
    if group == ".":
        return []
    if group.startswith("corpora"):
        chosen = [file for file in YAML_FILES if file.parent == path.parent]
        files = ",".join(file.relative_to("corpora").with_suffix("").as_posix() for file in chosen)
        return [f"corpora=[{files}]", *train_on([file.stem for file in chosen])]
    if group.startswith("recipe"):
        corpora = recipe_corpora(path)
        return [
            f"corpora=[{','.join(corpora)}]",
            f"recipe={path.relative_to('recipe').with_suffix('').as_posix()}",
            f"folds.validation_corpora=[{corpora[0]}]",
        ]
    more = ["trainer=small"] if group == "backbone" and "tiny" not in name else []
    return [f"{group}={name}", *FITTING.get(f"{group}/{name}", more)]


def train_on(corpora):
    sources = ",".join(f"{{corpus:{name},max_length:64,doc_stride:16}}" for name in corpora)
    stages = f"recipe.stages=[{{sources:[{sources}]}}]"
    return [stages, f"folds.validation_corpora=[{corpora[0]}]"]


def recipe_corpora(path):
    recipe = yaml.safe_load((CONF / path).read_text(encoding="utf-8"))
    if "stages" not in recipe:  # it starts from another recipe
        return recipe_corpora(path.with_stem(recipe["defaults"][0]))
    return sorted({part["corpus"] for stage in recipe["stages"] for part in stage["sources"]})


def test_the_number_of_configuration_files_is_known():
    assert len(YAML_FILES) == 122


@pytest.mark.parametrize("path", [path for path in YAML_FILES if path not in BASES], ids=str)
def test_every_configuration_composes(path):
    assert compose_for(path)


@pytest.mark.parametrize("path", [path for path in EXPERIMENTS if path not in BASES], ids=str)
def test_an_experiment_is_named_as_its_file(path):
    assert compose_for(path).name == path.stem


@pytest.mark.parametrize("path", sorted(BASES), ids=str)
def test_a_base_of_experiments_does_not_run_itself(path):
    with pytest.raises(ValueError, match="name: must be set"):
        compose_for(path)


@pytest.mark.parametrize("path", CORPORA, ids=str)
def test_a_corpus_is_named_as_its_file_and_tells_where_it_comes_from(path):
    source = compose_for(path).corpora[path.stem]
    assert source.homepage
    assert source.licence


def run_train(*overrides):
    command = [sys.executable, ROOT / "scripts/train.py", *overrides]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("override", ["trainer.batchsize=3", "corpora.demo_squad.path=gone.json"])
def test_a_mistake_is_one_line_and_leaves_no_run(override, run_script, tmp_path):
    status, _, errors = run_script("train", override, f"paths.output={tmp_path}")
    assert status == 1
    [line] = errors.splitlines()
    assert re.search(r"^error: .*(batchsize|gone\.json)", line)
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_sweep_names_its_bad_jobs_and_runs_the_others(tmp_path):
    done = run_train("-m", "fold=8,9", f"paths.output={tmp_path}")
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert [line.split()[0] for line in lines] == ["fold=8", "fold=9", "error:"]
    assert lines[2].startswith("error: 2 jobs failed: fold=8 ")


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
