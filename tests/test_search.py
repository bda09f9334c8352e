"""A search by its script: real trainings, killed and shared, and the experiment that it gives."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from chaii.config.settings import describe_changes
from chaii.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
BASE = "experiment=demo_muril", "max_examples=40", "trainer.max_steps=8"
SEARCH = f"search.base=[{','.join(map(repr, BASE))}]"


def start(output):
    command = [sys.executable, "-u", ROOT / "scripts/search.py", SEARCH, f"paths.output={output}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def read_trials(output):
    return pd.read_csv(output / "search/demo/trials.csv")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The output of a search of 20 trials, and what it printed."""
    output = tmp_path_factory.mktemp("whole")
    process = start(output)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    return output, printed


@pytest.mark.slow
def test_a_search_killed_twice_ends_with_the_same_20_trials(whole, tmp_path):
    for trial in ("trial 4:", "trial 13:"):
        process = start(tmp_path)
        next(line for line in process.stdout if line.startswith(trial))
        next(line for line in process.stdout if ": jaccard" in line)  # of its first checkpoint
        process.kill()
        process.communicate()
    printed, _ = start(tmp_path).communicate()
    assert "trial 12:" not in printed
    assert "trial 13:" in printed
    assert len(read_trials(tmp_path)) == 20
    pd.testing.assert_frame_equal(read_trials(tmp_path), read_trials(whole[0]), check_exact=True)
    best = [
        (path / "search/demo/experiment/demo_best.yaml").read_text()
        for path in (tmp_path, whole[0])
    ]
    assert best[0] == best[1]


@pytest.mark.slow
def test_two_processes_share_a_search_without_a_double_trial(tmp_path):
    both = [process.communicate()[0] for process in [start(tmp_path), start(tmp_path)]]
    begun = [
        [line.partition(":")[0] for line in printed.splitlines() if line.startswith("trial ")]
        for printed in both
    ]
    assert all(begun)
    assert not set(begun[0]) & set(begun[1])
    assert read_trials(tmp_path)["trial"].tolist() == list(range(20))
    assert sum("where it did not" in printed for printed in both) == 1


@pytest.mark.slow
def test_the_best_trains_as_an_experiment_with_the_same_settings(whole, run_script):
    output, printed = whole
    best = read_trials(output)["jaccard"].idxmax()
    command = printed.splitlines()[-1].split()
    assert command[:2] == ["python", "scripts/train.py"]
    status, _, errors = run_script("train", *command[2:], "seed=1", f"paths.output={output}")
    assert status == 0, errors
    ours = RunFolder(output / "runs", "demo_best", "0")
    theirs = RunFolder(output / "runs", f"demo_t{best}_s1", "0")
    plain = [
        yaml.safe_load(run.config.read_text(encoding="utf-8")) | {"name": ""}
        for run in (ours, theirs)
    ]
    assert describe_changes(*plain) == []
    assert ours.read_metrics()["jaccard"] == theirs.read_metrics()["jaccard"]


def test_without_optuna_one_line_says_what_to_install(run_script, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "optuna" else find(name)
    )
    status, _, errors = run_script("search", SEARCH, f"paths.output={tmp_path}")
    assert status == 1
    assert errors == "error: optuna: is not installed; run: pip install -e '.[search]'"


def test_torchrun_is_refused(run_script, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, _, errors = run_script("search", SEARCH, f"paths.output={tmp_path}")
    assert status == 1
    assert "search: each process has trials of its own; start it without torchrun" in errors


def test_without_hours_nothing_is_trained(run_script, tmp_path):
    status, printed, errors = run_script(
        "search", SEARCH, "max_hours=0", f"paths.output={tmp_path}"
    )
    assert status == 0, errors
    assert "none of 0 trials is complete" in printed
