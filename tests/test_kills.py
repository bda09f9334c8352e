"""A run that was killed anywhere ends as one that was not, when the same command is given again.

Each kill is a real one: in a process of its own that stops dead at a chosen file operation.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

CONF = Path(__file__).parents[1] / "conf"
WORKER = """
import hashlib, json, os, signal, sys
from pathlib import Path
from transformers.utils import logging
from chaii.config.checks import check_train
from chaii.config.compose import compose_config
from chaii.train import train_fold

conf, output, kills = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
logging.set_verbosity_error()
logging.disable_progress_bar()
FAST = ["max_examples=40", "trainer.max_steps=16", "trainer.num_evaluations=8",
        "trainer.logging_steps=3", "backbone.config.hidden_dropout_prob=0.1"]
OPERATIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir"}


def attempt(name, kill_at=None):
    # run once in a child of its own; returns how many operations it got to, or None if killed
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        seen = 0

        def watch(event, details):
            nonlocal seen
            if event in OPERATIONS and f"/runs/{name}" in str(details[0] if details else ""):
                seen += 1
                if seen == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        overrides = [*FAST, f"name={name}", f"paths.output={output}"]
        train_fold(check_train(compose_config(conf, "train", overrides)))
        os.write(writing, str(seen).encode())
        os._exit(0)
    os.close(writing)
    os.wait()
    return int(os.read(reading, 20) or 0)


def digest(name):
    run = output / "runs" / name / "fold0"
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["seconds"], metrics["resources"]
    files = ["model/model.safetensors", "oof.parquet", "plan.parquet", "logits/start_logits.npy"]
    content = b"".join((run / file).read_bytes() for file in files)
    left = sorted(path.name for path in run.iterdir())
    return hashlib.md5(content).hexdigest(), metrics, left


operations = attempt("whole")
expected = digest("whole")
wrong = {}
for number, share in enumerate(kills):
    name = f"kill{number}"
    attempt(name, kill_at=max(1, round(share * operations)))
    if not attempt(name):
        wrong[name, share] = "did not resume"
    elif digest(name) != expected:
        wrong[name, share] = "other results"
print(json.dumps({"operations": operations, "wrong": [[*key, why] for key, why in wrong.items()]}))
"""


def kill_at(shares, output):
    """Kill a run at these shares of its file operations, and resume it each time."""
    command = [sys.executable, "-c", WORKER, str(CONF), str(output), json.dumps(shares)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_killed_while_it_writes_ends_as_one_that_was_not(tmp_path):
    assert kill_at([0.8], tmp_path)["wrong"] == []


@pytest.mark.slow
def test_25_chosen_and_25_random_kills(tmp_path):
    chosen = [number / 25 for number in range(1, 26)]
    drawn = random.Random(0).choices(range(1, 1000), k=25)
    assert kill_at([*chosen, *(n / 1000 for n in drawn)], tmp_path)["wrong"] == []
