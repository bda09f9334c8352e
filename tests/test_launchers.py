"""Sweeps whose jobs run in processes of their own: their names and failures, by each launcher."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
TRAIN = [sys.executable, ROOT / "scripts/train.py", "-m", "max_examples=40"]
QUICK = "trainer.max_steps=1", "trainer.num_evaluations=0"
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": (),
    "submitit_slurm": ("hydra.launcher.gpus_per_node=1", "hydra.launcher.array_parallelism=2"),
}
SLURM = {  # what submitit calls of Slurm, as a machine without it can do it
    "sbatch": """#!{python}
import os, re, subprocess, sys
text = open(sys.argv[1], encoding="utf-8").read()
assert "#SBATCH --gpus-per-node=1" in text
last = int(re.search("--array=0-([0-9]+)%2", text)[1])
for task in range(last + 1):
    names = dict(JOB_ID=f"7{{task}}", ARRAY_JOB_ID=7, ARRAY_TASK_ID=task, NTASKS=1, JOB_NUM_NODES=1)
    names |= dict(NODEID=0, PROCID=0, LOCALID=0)
    slurm = {{f"SLURM_{{name}}": str(value) for name, value in names.items()}}
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.Popen(["bash", sys.argv[1]], env=os.environ | slurm, **quiet)
print("Submitted batch job 7")
""",
    "srun": """#!/bin/bash
while [ "$1" != "{python}" ]; do shift; done
"$@"
""",
    "sacct": """#!/bin/bash
printf 'JobID|State|NodeList\\n7_0|RUNNING|here\\n7_1|RUNNING|here\\n'
""",
}


@pytest.fixture
def slurm(tmp_path):
    """A folder of commands that stand in for those of Slurm."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in SLURM.items():
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_trains_each_run_under_its_name_and_names_a_bad_job(launcher, slurm, tmp_path):
    command = [*TRAIN, *QUICK, "seed=5,-1", f"hydra/launcher={launcher}", *LAUNCHERS[launcher]]
    environment = os.environ | {"PATH": f"{slurm}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, f"paths.output={tmp_path}"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: 1 jobs failed: ")
    assert "seed=-1" in last
    assert "seed=5" not in last
    runs = [path.parents[1].name for path in tmp_path.rglob("metrics.json")]
    assert runs == ["demo_muril_seed5"]


@pytest.mark.slow
def test_a_killed_worker_is_one_line_and_the_same_command_goes_on(tmp_path):
    command = [*TRAIN, "fold=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    command += ["trainer.max_steps=60", "trainer.num_evaluations=30", f"paths.output={tmp_path}"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sweep = subprocess.Popen(command, **options)
    next(line for line in sweep.stdout if ": jaccard" in line)
    workers = psutil.Process(sweep.pid).children(recursive=True)
    next(one for one in workers if "popen_loky_posix" in " ".join(one.cmdline())).kill()
    _, errors = sweep.communicate(timeout=200)
    assert sweep.returncode == 1
    assert errors.count("error: ") == 1
    assert "error: A worker process managed by the executor was unexpectedly" in errors
    assert "Traceback" not in errors
    subprocess.run(command, capture_output=True, check=True)
    assert len(list(tmp_path.rglob("metrics.json"))) == 2


@pytest.mark.slow
def test_where_there_is_no_slurm_an_error_of_one_line_says_so(tmp_path):
    command = [*TRAIN, *QUICK, "fold=0", "hydra/launcher=submitit_slurm"]
    done = subprocess.run([*command, f"paths.output={tmp_path}"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: hydra/launcher: Could not detect")
    assert len(done.stderr.splitlines()) == 1
