"""Run folders: the only place that knows the names inside them."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from datasets import Dataset
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from chaii.config.errors import ConfigError
from chaii.config.renamed import list_renamed
from chaii.config.schema import TrainConfig

_PACKAGES = ("chaii", "torch", "transformers", "tokenizers", "datasets", "numpy", "pandas")
_MAY_CHANGE = {"overwrite", "paths", "homepage", "licence", "description", "download"}


@dataclass(frozen=True)
class Prediction:
    """Examples, their windows and the logits of each window's context tokens (see the design)."""

    examples: Dataset
    windows: pd.DataFrame
    start_logits: NDArray[np.float16]
    end_logits: NDArray[np.float16]
    null_logits: NDArray[np.float16] | None = None  # (windows, 2); older runs lack them

    def save(self, folder: Path) -> None:
        """Write all parts under `folder`; it appears under its name when it is complete."""
        building = folder.with_name(f".{folder.name}-{os.getpid()}")
        building.mkdir(parents=True)
        pq.write_table(self.examples.with_format("arrow")[:], building / "examples.parquet")
        self.windows.to_parquet(building / "windows.parquet")
        np.save(building / "start_logits.npy", self.start_logits)
        np.save(building / "end_logits.npy", self.end_logits)
        if self.null_logits is not None:
            np.save(building / "null_logits.npy", self.null_logits)
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> Prediction:
        """Read what `save` wrote; logits are memory-mapped."""
        return cls(
            examples=Dataset(pq.read_table(folder / "examples.parquet")),
            windows=pd.read_parquet(folder / "windows.parquet"),
            start_logits=np.load(folder / "start_logits.npy", mmap_mode="r"),
            end_logits=np.load(folder / "end_logits.npy", mmap_mode="r"),
            null_logits=np.load(null) if (null := folder / "null_logits.npy").is_file() else None,
        )


@dataclass(frozen=True)
class RunFolder:
    """One fold of one run: ``<root>/<name>/fold<k>``."""

    root: Path
    name: str
    fold: str

    @property
    def path(self) -> Path:
        """The folder itself: a function of name and fold."""
        return self.root / self.name / f"fold{self.fold}"

    @property
    def checkpoints(self) -> Path:
        """The trainer's checkpoints, while the run is unfinished."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Weights and tokenizer, loadable by transformers."""
        return self.path / "model"

    @property
    def logits(self) -> Path:
        """Held-out rows and their logits."""
        return self.path / "logits"

    @property
    def plan(self) -> Path:
        """The windows in training order."""
        return self.path / "plan.parquet"

    @property
    def leaks(self) -> Path:
        """Pairs of a text to train on and a held-out one that are equal or nearly so."""
        return self.path / "leaks.csv"

    @property
    def metrics(self) -> Path:
        """Scores and counts; written last."""
        return self.path / "metrics.json"

    @property
    def is_finished(self) -> bool:
        """Whether the run reached its end."""
        return self.metrics.is_file()

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    def check(self, config: TrainConfig) -> None:
        """Make sure that an unfinished run in this folder has the same configuration.

        Raises:
            ConfigError: it has not.
        """
        if config.overwrite or not self.config.is_file():
            return
        old, new = _settings(self.read_config()), _settings(OmegaConf.structured(config))
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        if changed:
            raise ConfigError(
                f"{self.config}: an unfinished run has other settings ({', '.join(changed)}); "
                "set overwrite=true to start anew, or another name"
            )

    def begin(self, config: TrainConfig) -> None:
        """Open the folder for a new run, or go on with an unfinished one."""
        if config.overwrite:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.structured(config), self.config)
        _write_json(self.path / "environment.json", describe_environment(config.seed))

    def finish(self, metrics: Mapping[str, Any], *, oof: pd.DataFrame | None) -> None:
        """Write the results, metrics last, and drop the checkpoints."""
        if oof is not None:
            oof.to_parquet(self.path / "oof.parquet")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        _write_json(self.metrics, metrics)

    def read_restarts(self) -> list[dict[str, Any]]:
        """Collapses that this unfinished run has come through: step, from, why."""
        file = self.checkpoints / "restarts.json"
        return list(json.loads(file.read_text())) if file.is_file() else []

    def write_restarts(self, restarts: Sequence[Mapping[str, Any]]) -> None:
        """Remember collapses, so that a killed run resumes with the right rate and seed."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        _write_json(self.checkpoints / "restarts.json", restarts)

    def read_config(self) -> DictConfig:
        """Read the resolved configuration that the run was trained with.

        Raises:
            ConfigError: an older version wrote it, and settings have new names.
        """
        config = OmegaConf.load(self.config)
        assert isinstance(config, DictConfig)
        if renamed := list(list_renamed(OmegaConf.to_container(config))):
            raise ConfigError(f"{self.config}: of an older version: {', '.join(renamed)}")
        return config

    def read_metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` holds."""
        metrics: dict[str, Any] = json.loads(self.metrics.read_text())
        return metrics

    def read_oof(self) -> pd.DataFrame:
        """Held-out rows: id, language, gold, prediction, jaccard."""
        return pd.read_parquet(self.path / "oof.parquet")


def find_runs(root: Path, name: str) -> list[RunFolder]:
    """Finished folds of a run, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
    """
    folders = [
        RunFolder(root, name, path.name.removeprefix("fold")) for path in _folds(root / name)
    ]
    finished = [run for run in folders if run.is_finished]
    if not finished:
        raise FileNotFoundError(f"{root / name}: no finished fold of run {name!r}")
    return finished


def describe_environment(seed: int) -> dict[str, Any]:
    """Versions, commit, seed and hardware."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "seed": seed,
        "hardware": {"cpu": _cpu_name(), "cores": os.cpu_count(), "gpus": gpus},
        "threads": torch.get_num_threads(),
    }


def _folds(folder: Path) -> list[Path]:
    return sorted(folder.glob("fold*")) if folder.is_dir() else []


def _cpu_name() -> str:
    """Model name of the processor, as far as the system tells it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(*words: str) -> str | None:
    """Output of a git command in the source tree, or None outside a repository."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _settings(config: Any) -> dict[str, Any]:
    """What an unfinished run must have in common with the one that resumes it."""
    plain = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in _MAY_CHANGE} | {
        "corpora": {
            name: {key: value for key, value in corpus.items() if key not in _MAY_CHANGE}
            for name, corpus in plain["corpora"].items()
        }
    }


def _write_json(file: Path, content: Any) -> None:
    building = file.with_suffix(".tmp")
    building.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    building.replace(file)
