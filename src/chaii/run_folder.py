"""Run folders: the only place that knows the names inside them."""

import dataclasses
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from datasets import Dataset
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chaii.config.environment import describe_command, describe_environment, read_changes
from chaii.config.errors import ConfigError, describe_error, list_first
from chaii.config.schema import TrainConfig
from chaii.config.settings import describe_changes, list_renamed
from chaii.files import claim, read_json, reading, save_json, save_text, write_whole

_NEEDED = (  # settings by which a finished run predicts
    *("backbone.name", "recipe.predict_max_length", "recipe.predict_doc_stride"),
    *("trainer.max_answer_tokens", "trainer.precision"),
)
Halves = NDArray[np.float16]
_MOST_CHANGES = 1_000_000  # characters of a patch; of a longer one only the length is kept


@dataclass(frozen=True)
class Prediction:
    """Examples, their windows, and the model's logits for each window.

    `start_logits` and `end_logits` hold the context tokens of one window after another, without
    padding; `null_logits` holds the start and end logit of the [CLS] token of each window.
    """

    examples: Dataset
    windows: pd.DataFrame
    start_logits: Halves  # (context tokens of all windows,)
    end_logits: Halves
    null_logits: Halves  # (windows, 2)

    @staticmethod
    def write(
        folder: Path, examples: Dataset, windows: pd.DataFrame, parts: Iterable[Sequence[Halves]]
    ) -> None:
        """Write a prediction into `folder`, in place of an earlier one.

        `parts` gives the start, end and null logits of some windows after another, so that those
        of all windows need never be in memory.
        """
        tokens = int((windows["context_to"] - windows["context_from"]).sum())
        shapes = {"start": (tokens,), "end": (tokens,), "null": (len(windows), 2)}
        with write_whole(folder) as building, ExitStack() as stack:
            building.mkdir()
            pq.write_table(examples.with_format("arrow")[:], building / "examples.parquet")
            windows.to_parquet(building / "windows.parquet")
            files = []
            for name, shape in shapes.items():
                file = stack.enter_context((building / f"{name}_logits.npy").open("wb"))
                header = {"descr": "<f2", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                files.append(file)
            for part in parts:
                for file, logits in zip(files, part, strict=True):
                    file.write(np.ascontiguousarray(logits).data)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `write` wrote; start and end logits are memory-mapped.

        Raises:
            ValueError: a part is missing or damaged, or the parts do not fit each other.
        """
        with reading(folder):
            stored = cls(
                examples=Dataset(pq.read_table(folder / "examples.parquet")),
                windows=pd.read_parquet(folder / "windows.parquet"),
                start_logits=np.load(folder / "start_logits.npy", mmap_mode="r"),
                end_logits=np.load(folder / "end_logits.npy", mmap_mode="r"),
                null_logits=np.load(folder / "null_logits.npy"),
            )
            for name in ("example", "context_from", "context_to"):
                if name not in stored.windows or stored.windows[name].dtype.kind != "i":
                    raise ValueError(f"windows.parquet: {name} must be a column of integers")
            tokens = int((stored.windows["context_to"] - stored.windows["context_from"]).sum())
            found = len(stored.start_logits), len(stored.end_logits)
            if found != (tokens, tokens):
                raise ValueError(f"{found} logits for windows of {tokens} tokens")
            if len(stored.null_logits) != len(stored.windows):
                raise ValueError("null_logits.npy: must have one row per window")
        return stored


class _Inside:
    """A path inside a run folder: reading the attribute of a `RunFolder` gives it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", owner: type | None = None) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """One fold of one run: ``<root>/<name>/fold<k>``."""

    root: Path
    name: str
    fold: str
    replaces: bool = False  # whether it is built in a hidden folder, to take an older run's place

    config = _Inside("config.yaml")  # the resolved configuration
    plan = _Inside("plan.parquet")  # the windows in training order
    leaks = _Inside("leaks.csv")  # pairs of a text to train on and a held-out text that are alike
    checkpoints = _Inside("checkpoints")  # the trainer's, while the run is unfinished
    teacher = _Inside("checkpoints/teacher.npy")  # what the teachers say about the plan's windows
    model = _Inside("model")  # weights and tokenizer, loadable by transformers
    onnx = _Inside("onnx")  # the exports of the model for ONNX Runtime
    card = _Inside("model/README.md")  # the model card, once the weights are published
    logits = _Inside("logits")  # the `Prediction` for the held-out rows
    oof = _Inside("oof.parquet")  # the table of out-of-fold predictions
    metrics = _Inside("metrics.json")  # scores and counts; a run is finished when they are written
    changes = _Inside("changes.patch")  # from the commit to the code; absent where there are none
    curves = _Inside("tensorboard")  # what TensorBoard draws, after trainer.tracker=tensorboard
    trace = _Inside("trace.json.gz")  # what torch's profiler recorded, after debug=profile
    _environment = _Inside("environment.json")
    _restarts = _Inside("checkpoints/restarts.json")

    @property
    def path(self) -> Path:
        """The folder itself: a function of name and fold."""
        return self.root / self.name / f"{'.' * self.replaces}fold{self.fold}"

    @property
    def is_finished(self) -> bool:
        """Whether the run reached its end."""
        return self.metrics.is_file()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training the same fold meanwhile.

        Raises:
            ConfigError: another process trains it.
        """
        with claim(self.root / self.name / f".fold{self.fold}.lock") as is_ours:
            if not is_ours:
                raise ConfigError(f"{self.path}: another process is training this fold")
            yield

    def check(self, config: TrainConfig, data: str | None = None) -> None:
        """Make sure that a run in this folder has the settings that are asked for.

        With `data`, a fingerprint of what it is trained on, that is compared too. An unfinished
        folder that `replaces` an older one is removed where it differs.

        Raises:
            ConfigError: the run has other settings or data, or another version of the package
                made it.
        """
        if not self.config.is_file():
            return
        changes = describe_changes(plain_settings(self.read_config()), plain_settings(config))
        if data is not None and self.read_environment().get("data") != data:
            changes.append("the corpora, what is read of them, or the teachers have changed since")
        if changes and self.replaces:
            shutil.rmtree(self.path)
        elif changes:
            state = "finished" if self.is_finished else "begun"
            raise ConfigError(
                f"{self.path}: {state} with other settings: {list_first(changes, separator='; ')}. "
                "Take another name=, or overwrite=true to train it anew"
            )

    def begin(self, config: TrainConfig, data: str, fingerprints: Mapping[str, str]) -> None:
        """Open the folder for a new run, or to go on with an unfinished one, after `check`."""
        self._sweep()
        changes = read_changes(Path(__file__).parent)
        self.changes.unlink(missing_ok=True)
        if changes and len(changes) <= _MOST_CHANGES:
            save_text(self.changes, changes)
        record = describe_environment(config.seed) | {
            "changes": None if changes is None else len(changes),  # characters; None: unknown
            "command": describe_command(dataclasses.replace(self, replaces=False).path),
            "data": data,
            "fingerprints": fingerprints,
        }
        save_json(self._environment, record)
        with write_whole(self.config) as building:
            OmegaConf.save(OmegaConf.structured(config), building)

    def write_leaks(self, pairs: pd.DataFrame) -> None:
        """Write the pairs of texts that leak from the rows to train on into the held-out rows."""
        with write_whole(self.leaks) as building:
            pairs.to_csv(building, index=False)

    def write_plan(self, plan: pd.DataFrame) -> None:
        """Write the windows in the order that the model is trained on."""
        with write_whole(self.plan) as building:
            plan.to_parquet(building)

    def write_teacher(self, teacher: Halves) -> None:
        """Write what the teachers say about the windows of the plan."""
        with write_whole(self.teacher) as building:
            np.save(building, teacher)

    def read_teacher(self) -> Halves | None:
        """Map what the teachers say about the windows of the plan; None where there are none."""
        return np.load(self.teacher, mmap_mode="r") if self.teacher.is_file() else None

    def write_model(self, model: Any, tokenizer: Any) -> None:
        """Write the trained weights and their tokenizer."""
        with write_whole(self.model) as building:
            model.save_pretrained(building)
            tokenizer.save_pretrained(building)
            mode = (building / "config.json").stat().st_mode
            for weights in building.glob("*.safetensors"):
                weights.chmod(mode)  # the library lets nobody but their owner read them

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics, with which the run is finished; `tidy` does the rest."""
        save_json(self.metrics, metrics)

    def tidy(self) -> None:
        """Put a finished folder that replaces this one in its place; remove what is not needed.

        A process that was killed in between leaves this to the next one.
        """
        newer = dataclasses.replace(self, replaces=True)
        if newer.is_finished:
            shutil.rmtree(self.path, ignore_errors=True)
            newer.path.rename(self.path)
        if self.is_finished:
            self._sweep()
            shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a process was writing when it was killed."""
        for litter in self.path.glob(".*"):
            shutil.rmtree(litter, ignore_errors=True)

    def read_restarts(self) -> list[dict[str, Any]]:
        """Read the collapses that this unfinished run has come through: step, from, why."""
        return read_json(self._restarts, list) if self._restarts.is_file() else []

    def write_restarts(self, restarts: Sequence[Mapping[str, Any]]) -> None:
        """Write the collapses, so that a killed run resumes with the right rate and seed."""
        save_json(self._restarts, restarts)

    def read_config(self) -> DictConfig:
        """Read the resolved configuration that the run was trained with.

        Raises:
            ValueError: it cannot be read.
            ConfigError: an older version wrote it, and settings have new names; or it holds a
                reference such as ``${oc.env:HOME}``, which no resolved configuration does.
        """
        with reading(self.config):
            config = OmegaConf.load(self.config)
            if "${" in self.config.read_text(encoding="utf-8"):
                raise ConfigError("must hold plain values, and no ${...}")
            if not isinstance(config, DictConfig):
                raise ConfigError("must hold the settings of a run")
        if renamed := list_renamed(OmegaConf.to_container(config)):
            raise ConfigError(f"{self.config}: of an older version: {list_first(renamed)}")
        if lacking := [key for key in _NEEDED if OmegaConf.select(config, key) is None]:
            raise ConfigError(f"{self.config}: lacks {list_first(lacking)}")
        with reading(self.config):
            for stage in config.recipe.get("stages", []):
                for source in stage.sources:
                    if source.get("balance") is False:  # removed, and off: the result is the same
                        del source["balance"]
        return config

    def read_metrics(self) -> dict[str, Any]:
        """Read ``metrics.json``."""
        return read_json(self.metrics, dict)

    def read_environment(self) -> dict[str, Any]:
        """Read ``environment.json``: versions, commit, seed, hardware, command and fingerprints."""
        return read_json(self._environment, dict)


def find_runs(root: Path, name: str) -> list[RunFolder]:
    """Finished folds of a run, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
    """
    folds = (path.name.removeprefix("fold") for path in sorted((root / name).glob("fold*")))
    finished = [run for fold in folds if (run := RunFolder(root, name, fold)).is_finished]
    if not finished:
        raise FileNotFoundError(f"{root / name}: no finished fold of run {name!r}")
    return finished


def list_runs(root: Path) -> list[str]:
    """List the names of the runs with a finished fold, sorted."""
    return sorted({path.parents[1].name for path in root.glob("*/fold*/metrics.json")})


def plain_settings(config: Any) -> dict[str, Any]:
    """A run's settings as plain values; one that is newer than the run has its default."""
    try:
        filled = OmegaConf.merge(OmegaConf.structured(TrainConfig), config)
    except OmegaConfBaseException as error:
        fault = describe_error(error)
        raise ConfigError(f"another version of the package made it: {fault}") from error
    return cast(dict[str, Any], OmegaConf.to_container(filled, resolve=True, enum_to_str=True))
