"""What a command does where it is interrupted, where nobody reads it, in any locale."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/train.py"
FEW = "max_examples=40", "trainer.num_evaluations=8"


def start(output, *overrides, **options):
    command = [sys.executable, "-u", SCRIPT, *FEW, f"paths.output={output}", *overrides]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_an_interrupted_training_tells_where_it_goes_on(number, status, tmp_path):
    process = start(tmp_path, "trainer.max_steps=24")
    for line in process.stdout:
        if "step 6: " in line:  # the first checkpoint is complete
            break
    process.send_signal(number)
    printed, errors = process.communicate()
    assert process.returncode == status
    assert "Traceback" not in errors
    assert "the same command goes on from step " in printed
    kept = list((tmp_path / "runs/demo_muril/fold0/checkpoints").glob("checkpoint-*"))
    assert kept
    assert not (tmp_path / "runs/demo_muril/fold0/metrics.json").exists()


def test_an_output_that_nobody_reads_gives_no_traceback(tmp_path):
    process = start(tmp_path, "fold=7")
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()


def test_a_sweep_of_several_processes_is_refused(tmp_path):
    several = os.environ | {"WORLD_SIZE": "2"}
    sweep = "hydra.mode=MULTIRUN", "trainer.per_device_train_batch_size=4"
    process = start(tmp_path, *sweep, env=several)
    _, errors = process.communicate(timeout=100)
    assert errors.startswith("error: -m: a sweep is one process")
    assert process.returncode == 1


@pytest.mark.slow
def test_text_is_read_and_written_where_the_locale_is_not_utf8(tmp_path):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = start(tmp_path, "trainer.max_steps=2", env=os.environ | locale)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_names_and_paths_may_have_any_letters(run_script, tmp_path):
    paths, name = f"paths.output={tmp_path}/परीक्षा", "name=டெமோ"
    status, _, errors = run_script("train", *FEW, "trainer.max_steps=2", paths, name)
    assert status == 0, errors
    assert (tmp_path / "परीक्षा/runs/டெமோ/fold0/metrics.json").is_file()


def test_each_run_of_a_sweep_has_its_own_name(run_script, tmp_path):
    steps = "trainer.max_steps=1", "trainer.num_evaluations=1"
    sweep = ["-m", FEW[0], *steps, "seed=5,6", f"paths.output={tmp_path}"]
    status, _, errors = run_script("train", *sweep)
    assert status == 0, errors
    runs = {path.parent.relative_to(tmp_path / "runs") for path in tmp_path.rglob("metrics.json")}
    assert runs == {Path("demo_muril_seed5/fold0"), Path("demo_muril_seed6/fold0")}


MINE = {  # a file of one's own, the scripts that take it, and what shows that they read it
    "experiment/mine.yaml": (
        "# @package _global_\ndefaults: [demo_muril, _self_]\nseed: -7\n",
        {"train experiment=mine": "seed=-7", "distill experiment=mine": "seed=-7"}
        | {"inspect_recipe experiment=mine": "seed=-7", "check_leaks experiment=mine": "seed=-7"},
    ),
    "ensemble/mine.yaml": (
        "name: mine\nmembers: [mine, mine]\n",
        {"ensemble ensemble=mine": "ensemble.members=['mine', 'mine']"},
    ),
    "study/mine.yaml": (
        "name: mine\nbase: []\narms: {a: []}\nreference: b\nseeds: [1]\n",
        {"ablate study=mine": "study.reference=b"},
    ),
    "search/mine.yaml": (
        "defaults: [demo]\nname: mine\nseen: {seeds: [2]}\nunseen: {folds: ['0']}\n",
        {"search search=mine": "search.unseen: must have other folds"},
    ),
    "corpora/mine.yaml": (
        "mine: {format: chaii_csv, path: gone/mine.csv, keep_ids: gone/x.tsv, download: [a://b]}\n",
        {"download mine": "a://b: only https", "inspect_labels mine": "gone/x.tsv"}
        | {"filter_questions --corpus mine": "gone/mine.csv"},
    ),
}


SHOWN = {command: shown for _, cases in MINE.values() for command, shown in cases.items()}
PATHS = [(command, "--config-dir={}") for command in SHOWN]
PATHS += [(command, "hydra.searchpath=[{}]") for command in ("ablate study=mine", "download mine")]


@pytest.mark.parametrize(("command", "option"), PATHS)
def test_each_script_takes_a_folder_of_further_settings(command, option, run_script, tmp_path):
    for name, (text, _) in MINE.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    status, _, errors = run_script(*command.split(), option.format(tmp_path))
    assert status == 1
    assert SHOWN[command] in errors
