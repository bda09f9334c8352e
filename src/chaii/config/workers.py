"""Jobs of a sweep in processes of their own, as the launchers joblib and submitit start them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from traceback import extract_tb
from typing import Any, Self

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from chaii.config.errors import ConfigError

FAILED: list[str] = []  # jobs of the sweep of this process
_HELD: list[FileLock] = []  # by this worker, until it ends


class FailedJob(str):
    """The overrides of a job that failed, noted in each process that makes or unpickles it.

    Hydra drops what jobs return: of other processes, this is all that the sweep gets to see.
    """

    def __new__(cls, job: str) -> Self:
        """Note the job, once."""
        if job not in FAILED:
            FAILED.append(job)
        return super().__new__(cls, job)


def prepare_worker(hydra_config: Any) -> None:
    """Make a process ready for a job: it may be a new one that has only imported the package.

    Raises:
        ConfigError: there are more workers than devices.
    """
    register_resolvers()
    devices = tuple(os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","))
    if hydra_config.runtime.choices["hydra/launcher"] == "joblib" and len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = _keep_device(Path(hydra_config.sweep.dir), devices)


@contextmanager
def submitting() -> Iterator[None]:
    """Name what submitit raises of its own: there is no Slurm, or a job was killed.

    Raises:
        ConfigError: it did; errors from elsewhere pass.
    """
    try:
        yield
    except RuntimeError as error:
        if "submitit" not in Path(extract_tb(error.__traceback__)[-1].filename).parts:
            raise
        raise ConfigError(f"hydra/launcher: {shorten(str(error), 300)}") from error


def register_resolvers() -> None:
    """Make ``${package:name,folder}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("package", _package_folder, replace=True)


@cache
def _keep_device(folder: Path, devices: tuple[str, ...]) -> str:
    """Take one of the devices that no other worker has, until this process ends."""
    for device in devices:
        lock = FileLock(folder / f".gpu{device}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            _HELD.append(lock)
            return device
    known = f"so many devices are in CUDA_VISIBLE_DEVICES={','.join(devices)}, or others use them"
    raise ConfigError(f"hydra.launcher.n_jobs: must be at most {len(devices)}, for {known}")


def _package_folder(package: str, folder: str) -> str:
    """``${package:name,folder}``: a folder inside an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return f"{package}/{folder} (package {package} is not installed)"
    return str(Path(spec.origin).parent / folder)
