"""Several processes train as one does: torchrun starts them on the CPU, and gloo connects them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file

from chaii.evaluation.oof_table import read_oof_table
from chaii.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
FEW = "max_examples=11 trainer.max_steps=null trainer.num_evaluations=1 trainer.logging_steps=1"
NO_GRADIENT = ("qa_outputs.bias", "1.output.LayerNorm.bias", "key.bias")  # no softmax sees them


def torchrun(processes, output, *overrides, logs=None, script=(ROOT / "scripts/train.py",)):
    """Begin to train a fold of the demo by torchrun; returns the process and its run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes)]
    command += ["--redirects", "3", "--log-dir", str(logs)] if logs else []
    command += [*map(str, script), *FEW.split(), f"paths.output={output}", *overrides]
    begun = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return begun, RunFolder(output / "runs", "demo_muril", "0")


def split(batch_size):
    return f"trainer.per_device_train_batch_size={batch_size}"


def read_losses(run):
    return [line["loss"] for line in run.read_metrics()["history"] if "loss" in line]


@pytest.fixture(scope="module")
def alone(train_demo, tmp_path_factory):
    """A fold that one process trains, each step as one batch."""
    return train_demo(tmp_path_factory.mktemp("alone"), *FEW.split(), split(8))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The fold that two processes train, each step in four batches; and what each printed."""
    output = tmp_path_factory.mktemp("pair")
    begun, run = torchrun(2, output, split(2), logs=output / "logs")
    printed, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, printed
    files = sorted((output / "logs").rglob("std*.log"))
    return run, {f"{file.parent.name} {file.stem}": file.read_text() for file in files}


def assert_equal_training(run, alone):
    plan = pd.read_parquet(alone.plan)
    assert len(plan) % 8 not in (0, 4)  # the last step is incomplete and splits unevenly
    pd.testing.assert_frame_equal(pd.read_parquet(run.plan), plan)
    assert len(read_losses(run)) == -(-len(plan) // 8)
    np.testing.assert_allclose(read_losses(run), read_losses(alone), atol=1e-5, rtol=0)


def test_two_processes_have_the_plan_and_the_losses_of_one(pair, alone):
    assert_equal_training(pair[0], alone)


def test_two_processes_end_with_the_weights_and_answers_of_one(pair, alone):
    theirs, ours = (load_file(run.model / "model.safetensors") for run in (pair[0], alone))
    for name, weights in ours.items():
        if not name.endswith(NO_GRADIENT):
            np.testing.assert_allclose(theirs[name], weights, atol=1e-4, rtol=0, err_msg=name)
    answers = [read_oof_table([run.oof])["prediction"].tolist() for run in (pair[0], alone)]
    assert answers[0] == answers[1]


def test_one_process_prepares_scores_and_writes(pair, alone):
    run, printed = pair
    assert "tokenise" in printed["0 stderr"]
    assert "predict" in printed["0 stderr"]
    assert printed["1 stdout"] == printed["1 stderr"] == ""
    folders = [sorted(path.name for path in each.path.iterdir()) for each in (run, alone)]
    assert folders[0] == folders[1]


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "batch_size"), [(1, 8), (1, 1), (2, 4), (4, 1), (4, 2)])
def test_any_number_of_processes_and_any_split(processes, batch_size, alone, tmp_path):
    begun, run = torchrun(processes, tmp_path, split(batch_size))
    printed, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, printed
    assert_equal_training(run, alone)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_both_and_the_command_resumes_to_the_same_weights(rank, tmp_path):
    often = ("trainer.num_evaluations=4", "backbone.config.hidden_dropout_prob=0.1", split(4))
    begun, whole = torchrun(2, tmp_path / "whole", *often)
    begun.communicate(timeout=300)
    begun, killed = torchrun(2, tmp_path / "killed", *often)
    next(line for line in begun.stdout if ": jaccard" in line)
    psutil.Process(begun.pid).children()[rank].kill()
    begun.communicate(timeout=60)
    assert begun.returncode == 1
    assert not killed.is_finished
    begun, _ = torchrun(2, tmp_path / "killed", *often)
    begun.communicate(timeout=300)
    assert read_losses(killed) == read_losses(whole)
    files = [(run.model / "model.safetensors").read_bytes() for run in (whole, killed)]
    assert files[0] == files[1]


GATE = """
# Accelerate divides weights among GPUs alone: on CPUs it trains without a word as without FSDP.
# With that one condition replaced, all that follows is the libraries' own, over gloo.
import runpy, sys
from accelerate import state
from accelerate.utils import DistributedType

begin = state.AcceleratorState.__init__

def divide(self, *args, fsdp_plugin=None, **options):
    begin(self, *args, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin

state.AcceleratorState.__init__ = divide
sys.argv[0] = sys.argv[1]
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["tiny_muril", "tiny_rembert", "tiny_xlmr"])
def test_weights_that_are_divided_give_the_same_training(backbone, train_demo, tmp_path):
    (tmp_path / "gate.py").write_text(GATE)
    options = f"backbone={backbone}", split(4), "trainer.num_evaluations=2"
    alone = train_demo(tmp_path / "alone", *FEW.split(), *options)
    script = tmp_path / "gate.py", ROOT / "scripts/train.py"
    begun, run = torchrun(2, tmp_path, "trainer.fsdp=true", *options, script=script)
    printed, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, printed
    np.testing.assert_allclose(read_losses(run), read_losses(alone), atol=1e-5, rtol=0)
    scores = [each.read_metrics()["jaccard"] for each in (run, alone)]
    assert scores[0] == pytest.approx(scores[1])
    theirs, ours = (load_file(each.model / "model.safetensors") for each in (run, alone))
    assert {name: part.shape for name, part in theirs.items()} == {
        name: part.shape for name, part in ours.items()
    }


@pytest.mark.slow
def test_weights_are_not_divided_without_a_word_among_cpus(tmp_path):
    begun, _ = torchrun(2, tmp_path, split(4), "trainer.fsdp=true")
    printed, _ = begun.communicate(timeout=300)
    assert begun.returncode == 1
    assert "error: trainer.fsdp=true: needs a GPU for each process" in printed


ERRORS = {
    "corpora.demo_squad.path=broken.json": "broken.json: not readable as JSON",
    "backbone.learning_rate=1e30": "collapse at step",  # in every process, after one restart
}


@pytest.mark.slow
@pytest.mark.parametrize(("override", "line"), ERRORS.items())
def test_an_error_is_told_once_and_ends_all(override, line, tmp_path):
    (tmp_path / "broken.json").write_text('{"data": [')
    override = override.replace("broken.json", f"{tmp_path}/broken.json")
    begun, run = torchrun(2, tmp_path, split(4), "trainer.restarts=1", override)
    printed, _ = begun.communicate(timeout=300)
    assert begun.returncode == 1
    errors = re.findall(r"error: .*", printed)
    assert len(errors) == 1
    assert line in errors[0]
    assert not run.is_finished


@pytest.mark.slow
def test_a_killed_training_of_divided_weights_resumes(tmp_path):
    (tmp_path / "gate.py").write_text(GATE)
    options = "trainer.fsdp=true", "trainer.num_evaluations=4", split(4)
    script = tmp_path / "gate.py", ROOT / "scripts/train.py"
    begun, whole = torchrun(2, tmp_path / "whole", *options, script=script)
    begun.communicate(timeout=300)
    begun, killed = torchrun(2, tmp_path / "killed", *options, script=script)
    next(line for line in begun.stdout if ": jaccard" in line)
    psutil.Process(begun.pid).children()[1].kill()
    begun.communicate(timeout=60)
    assert not killed.is_finished
    begun, _ = torchrun(2, tmp_path / "killed", *options, script=script)
    printed, _ = begun.communicate(timeout=300)
    assert begun.returncode == 0, printed
    np.testing.assert_allclose(read_losses(killed), read_losses(whole), atol=1e-5, rtol=0)
