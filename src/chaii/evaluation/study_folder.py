"""The folder of a study's results: the only place that knows the names inside it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from chaii.config.errors import ConfigError
from chaii.config.study import StudyConfig, StudyRun
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.oof_table import read_oof_table
from chaii.evaluation.study import compare_arms, draw_effects, format_effects
from chaii.files import claim, read_json, save_json, save_text, write_whole
from chaii.run_folder import Prediction, RunFolder

_KEY = ["arm", "seed", "fold"]
_COLUMNS = ["study", *_KEY, "corpus", "id", "article", *METRICS]


@dataclass(frozen=True)
class StudyFolder:
    """Raw rows and costs of all finished runs of a study, and what follows from them."""

    path: Path

    def read_runs(self) -> list[dict[str, Any]]:
        """Read the record of every finished run: arm, seed, fold, overrides and costs."""
        file = self.path / "runs.json"
        return read_json(file, list) if file.is_file() else []

    def read_rows(self) -> pd.DataFrame:
        """Read the scored held-out rows of all finished runs."""
        file = self.path / "rows.parquet"
        return pd.read_parquet(file) if file.is_file() else pd.DataFrame(columns=_COLUMNS)

    @contextmanager
    def claim(self, run: StudyRun) -> Iterator[bool]:
        """Hold a run for this process; yields False where another process holds it."""
        with claim(self.path / ".locks" / f"{run.name}_fold{run.fold}") as is_ours:
            yield is_ours

    def holds(self, run: StudyRun, overrides: Sequence[str]) -> bool:
        """Tell whether the results of `run` are here.

        Raises:
            ConfigError: they are, and were made with other overrides.
        """
        for record in self.read_runs():
            if _key(record) == (run.arm, run.seed, run.fold):
                if record["overrides"] != list(overrides):
                    raise ConfigError(
                        f"{self.path}/runs.json: arm {run.arm}, seed {run.seed} was run with "
                        f"{record['overrides']}, not {list(overrides)}; give the arm another name"
                    )
                return True
        return False

    def add(
        self,
        run: StudyRun,
        folder: RunFolder,
        *,
        overrides: Sequence[str],
        cpu_seconds: float | None,
    ) -> None:
        """Take the scored rows and the costs of a finished run; several processes may add.

        `cpu_seconds` is None where the run was trained before and its CPU time is not known.
        """
        metrics, environment = folder.read_metrics(), folder.read_environment()
        record = {
            **{name: getattr(run, name) for name in _KEY},
            "overrides": list(overrides),
            **{name: metrics[name] for name in (*METRICS, "windows", "tokens", "seconds")},
            "cpu_seconds": cpu_seconds and round(cpu_seconds, 1),
            **{name: environment[name] for name in ("commit", "hardware", "threads", "versions")},
        }
        with FileLock(self.path / ".locks" / "results"):
            runs = [old for old in self.read_runs() if _key(old) != _key(record)]
            kept = self.read_rows().set_index(_KEY).drop(index=_key(record), errors="ignore")
            rows = pd.concat([kept.reset_index(), _score(run, folder)], ignore_index=True)
            with write_whole(self.path / "rows.parquet") as building:
                order = [*_KEY[1:], "arm"]
                rows = rows[_COLUMNS].sort_values(order, kind="stable", ignore_index=True)
                rows.to_parquet(building, compression="zstd")
            save_json(self.path / "runs.json", [*runs, record], indent=1)

    def compare(self, study: StudyConfig, *, rounds: int) -> pd.DataFrame | None:
        """Compare the study's arms, as `compare_arms`; None if the reference has no finished run.

        A run is compared once the reference's run of its seed and fold is finished as well.
        """
        rank = {arm: number for number, arm in enumerate(study.arms)}
        rows = self.read_rows()
        compared = rows.loc[rows["arm"] == study.reference, _KEY[1:]].drop_duplicates()
        if compared.empty:
            return None
        rows = rows[rows["arm"].isin(rank)].merge(compared)
        rows = rows.sort_values("arm", key=lambda names: names.map(rank), kind="stable")
        return compare_arms(rows, reference=study.reference, rounds=rounds)

    def report(self, study: StudyConfig, *, rounds: int) -> str:
        """Compare the study's arms; write the table and the forest plot, return the table."""
        effects = self.compare(study, rounds=rounds)
        if effects is None:
            return f"the reference arm {study.reference} has no finished run yet: compared nothing"
        text = format_effects(effects, self.read_runs(), changes=study.changes)
        save_text(self.path / "effects.md", text + "\n")
        with write_whole(self.path / "effects.png") as building:
            draw_effects(effects).savefig(building, format="png")
        return text


def _key(record: Mapping[str, Any]) -> tuple[str, int, str]:
    return record["arm"], record["seed"], record["fold"]


def _score(run: StudyRun, folder: RunFolder) -> pd.DataFrame:
    """Score the run's held-out rows."""
    oof = read_oof_table([folder.oof])
    examples = Prediction.load(folder.logits).examples
    article = dict(zip(examples["id"], examples["article"], strict=True))
    scores = score_rows(oof["prediction"], oof["answer_text"], oof["language"])
    rows = oof[["corpus", "id"]].assign(article=oof["id"].map(article))
    return pd.concat([rows, scores], axis="columns").assign(**run._asdict())
