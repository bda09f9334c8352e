"""A study by its script: what it trains, what it leaves alone, what two processes share."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaii.evaluation.study import StudyFolder

ROOT = Path(__file__).parents[1]
FAST = ["max_examples=40", "trainer.max_steps=4", "trainer.num_evaluations=0"]
BASE = ",".join(f"'{override}'" for override in ["experiment=demo_muril", *FAST])


def list_settings(output):
    paths = [f"paths.output={output}", f"results={output}/studies"]
    return [*paths, f"study.base=[{BASE}]", "rounds=1000"]


@pytest.fixture(scope="module")
def output(tmp_path_factory, run_script):
    """The folder of a study of three arms."""
    output = tmp_path_factory.mktemp("study")
    status, _, errors = run_script("ablate", *list_settings(output), "study.seeds=[1]")
    assert status == 0, errors
    return output


@pytest.fixture
def run_study(output, run_script):
    return lambda *overrides: run_script("ablate", *list_settings(output), *overrides)


def test_every_arm_is_trained_once(output):
    runs = StudyFolder(output / "studies/demo").read_runs()
    assert sorted(run["arm"] for run in runs) == ["full", "no_cutout", "shuffled"]


@pytest.mark.slow
def test_processes_side_by_side_train_every_run_once(tmp_path):
    command = [sys.executable, ROOT / "scripts/ablate.py", *list_settings(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen([*command, "study.seeds=[1]"], **pipes) for _ in range(2)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]
    runs = StudyFolder(tmp_path / "studies/demo").read_runs()
    assert sorted(run["arm"] for run in runs) == ["full", "no_cutout", "shuffled"]


def test_the_cpu_time_of_a_run_that_was_begun_before_is_not_known(output, run_study):
    file = output / "studies/demo/runs.json"
    first, *others = json.loads(file.read_text())
    assert first["cpu_seconds"] > 0
    file.write_text(json.dumps(others))
    assert run_study("study.seeds=[1]")[0] == 0
    again = json.loads(file.read_text())[-1]
    assert (again["arm"], again["cpu_seconds"]) == (first["arm"], None)


def test_a_finished_study_is_only_compared(output, run_study):
    for folder in (output / "runs").iterdir():
        folder.rename(output / folder.name)  # the stored rows are enough
    status, printed, _ = run_study("study.seeds=[1]")
    assert status == 0
    assert "finished in" not in printed
    assert "Runs per arm: 1" in printed


def test_the_table_is_written_into_a_page(output, run_study, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- study demo -->\nold\n<!-- /study demo -->\nafter\n", "utf-8")
    assert run_study("study.seeds=[1]", f"readme={page}")[0] == 0
    table = (output / "studies/demo/effects.md").read_text(encoding="utf-8")
    assert page.read_text("utf-8") == (
        f"before\n<!-- study demo -->\n{table}<!-- /study demo -->\nafter\n"
    )


def test_a_page_without_markers_is_one_line(run_study, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing", "utf-8")
    status, _, error = run_study("study.seeds=[1]", f"readme={page}")
    assert status == 1, error
    assert "page.md: must hold <!-- study demo --> and <!-- /study demo -->, in this order" in error


def test_the_budget_of_hours_stops_between_runs(run_study):
    status, printed, _ = run_study("study.seeds=[1,2]", "max_hours=0")
    assert status == 0
    assert "Runs per arm: 1" in printed


def test_a_mistake_in_any_arm_is_one_line_before_the_first_run(run_study):
    status, _, errors = run_study("+study.arms.bad=['recipe.mixd=true']", "study.name=new")
    assert status == 1
    assert errors.startswith("error: recipe.mixd")
    assert len(errors.splitlines()) == 1
