"""Compose a configuration with Hydra, for a script's command line or from Python."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from chaii.config.ensemble import EnsembleConfig
from chaii.config.errors import one_line_errors
from chaii.config.schema import TrainConfig
from chaii.config.study import AblateConfig

Job = Callable[[DictConfig], None]


def register_schemas() -> None:
    """Make the schemas known to Hydra, under the names that conf/*.yaml start from."""
    OmegaConf.register_new_resolver("package", _package_folder, replace=True)
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="ensemble_schema", node=EnsembleConfig)
    store.store(name="study_schema", node=AblateConfig)


def compose_config(conf: Path, name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose ``<conf>/<name>.yaml`` with overrides as a command line has them.

    Raises:
        HydraException, OmegaConfBaseException: an override or a file that does not fit.
    """
    register_schemas()
    with hydra.initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides))


def hydra_script(config_name: str) -> Callable[[Job], Callable[[], None]]:
    """Decorate a script's ``main``: it gets what Hydra composes from ``conf/<config_name>.yaml``.

    An error is one line on stderr and exit status 1. In a sweep (``-m``) the other jobs still run,
    and the last line names those that failed.
    """

    def decorate(job: Job) -> Callable[[], None]:
        failed: list[str] = []

        @functools.wraps(job)  # Hydra finds conf/ beside the file of the wrapped function
        def attempt(config: DictConfig) -> None:
            context = HydraConfig.get()
            try:
                with one_line_errors():
                    job(config)
            except SystemExit as end:
                if context.mode is not RunMode.MULTIRUN or not isinstance(end.code, str):
                    raise
                failed.append(" ".join(context.overrides.task))
                print(f"{failed[-1]}: {end.code}", file=sys.stderr)

        def main() -> None:
            register_schemas()
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises instead of printing
            run = hydra.main(version_base="1.3", config_path="../conf", config_name=config_name)
            with one_line_errors():
                run(attempt)()
            if failed:
                raise SystemExit(f"error: {len(failed)} jobs failed: {'; '.join(failed)}")

        return main

    return decorate


def _package_folder(package: str, folder: str) -> str:
    """``${package:name,folder}``: a folder inside an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return f"{package}/{folder} (package {package} is not installed)"
    return str(Path(spec.origin).parent / folder)
