"""Jobs of a sweep in other processes: what failed comes back, each has its own device."""

import os
import pickle
from types import SimpleNamespace

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from chaii.config import workers
from chaii.config.errors import ConfigError
from chaii.config.workers import FailedJob, prepare_worker, submitting


@pytest.fixture(autouse=True)
def nothing_is_held(monkeypatch):
    monkeypatch.setattr(workers, "FAILED", [])
    monkeypatch.setattr(workers, "_HELD", [])
    workers._keep_device.cache_clear()
    yield
    workers._keep_device.cache_clear()


@pytest.fixture
def job(tmp_path):
    """Begin a job by a launcher where some devices are visible; returns those it may use."""

    def begin(launcher, devices):
        choices = {"hydra/launcher": launcher}
        runtime = SimpleNamespace(choices=choices)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CUDA_VISIBLE_DEVICES", devices)
            prepare_worker(SimpleNamespace(runtime=runtime, sweep=SimpleNamespace(dir=tmp_path)))
            return os.environ["CUDA_VISIBLE_DEVICES"]

    return begin


def test_a_failed_job_is_noted_where_it_arrives():
    arriving = pickle.dumps(FailedJob("fold=9"))
    workers.FAILED.clear()
    assert pickle.loads(arriving) == "fold=9"
    pickle.loads(arriving)
    assert workers.FAILED == ["fold=9"]


def test_each_worker_of_joblib_keeps_a_device_of_its_own(job, tmp_path):
    with FileLock(tmp_path / ".gpu4.lock"):  # another worker's
        assert job("joblib", "4,6,7") == "6"
        assert job("joblib", "4,6,7") == "6"


def test_more_workers_than_devices_are_refused(job, tmp_path):
    with (
        FileLock(tmp_path / ".gpu4.lock"),
        FileLock(tmp_path / ".gpu6.lock"),
        pytest.raises(ConfigError, match=r"n_jobs: must be at most 2, .*CUDA_VISIBLE_DEVICES=4,6"),
    ):
        job("joblib", "4,6")


@pytest.mark.parametrize(("launcher", "devices"), [("basic", "4,6"), ("joblib", "4")])
def test_elsewhere_the_devices_stay(launcher, devices, job):
    assert job(launcher, devices) == devices


def test_a_new_process_knows_where_packages_are(job):
    OmegaConf.clear_resolver("package")
    job("joblib", "0")
    assert OmegaConf.create({"at": "${package:chaii,conf}"}).at.endswith("chaii/conf")


def test_only_what_submitit_raises_is_told_in_a_line(tmp_path):
    (tmp_path / "submitit").mkdir()
    theirs = compile(
        "raise RuntimeError('no\\n  srun')", str(tmp_path / "submitit/core.py"), "exec"
    )
    with pytest.raises(ConfigError, match=r"^hydra/launcher: no srun$"), submitting():
        exec(theirs)
    with pytest.raises(RuntimeError, match="ours"), submitting():
        raise RuntimeError("ours")
