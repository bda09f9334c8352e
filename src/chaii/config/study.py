"""Settings of ``scripts/ablate.py``: a study compares the arms of an experiment by short runs."""

from dataclasses import dataclass, field
from typing import NamedTuple

from omegaconf import MISSING

from chaii.config.schema import PathsConfig


@dataclass
class StudyConfig:
    """What is compared, and how often it is run."""

    name: str = MISSING  # hence of the folder of its results
    base: list[str] = MISSING  # overrides of scripts/train.py that all arms share
    arms: dict[str, list[str]] = MISSING  # further overrides of each arm
    reference: str = MISSING  # the arm that the others are compared with
    seeds: list[int] = MISSING
    folds: list[str] = field(default_factory=lambda: ["0"])  # dealt to the seeds in turn
    changes: dict[str, str] = field(default_factory=dict)  # what an arm changes, for its results
    tokens: int | None = None  # that every run trains, see recipe.max_tokens; None: all it has


@dataclass
class AblateConfig:
    """All of ``scripts/ablate.py``."""

    study: StudyConfig = MISSING
    max_hours: float | None = None  # no run is started after that; 0 only compares
    rounds: int = 10_000  # of the bootstrap
    results: str = "studies"  # folder of raw results
    readme: str | None = None  # a page that gets the table, between <!-- study NAME --> markers
    paths: PathsConfig = MISSING


class StudyRun(NamedTuple):
    """One training of one arm."""

    study: str
    arm: str
    seed: int
    fold: str

    @property
    def name(self) -> str:
        """The run's name, hence its folder's."""
        return f"{self.study}_{self.arm}_s{self.seed}"


def list_runs(study: StudyConfig) -> list[StudyRun]:
    """List all runs, seed by seed, so that all arms have as many at any moment.

    >>> study = StudyConfig("toy", [], {"full": [], "short": []}, "full", [1, 2], ["0", "1"])
    >>> [(run.name, run.fold) for run in list_runs(study)][1:3]
    [('toy_short_s1', '0'), ('toy_full_s2', '1')]
    """
    return [
        StudyRun(study.name, arm, seed, study.folds[number % len(study.folds)])
        for number, seed in enumerate(study.seeds)
        for arm in study.arms
    ]


def list_overrides(study: StudyConfig, run: StudyRun) -> list[str]:
    """List what `run` changes in the default configuration of ``scripts/train.py``."""
    budget = [] if study.tokens is None else [f"recipe.max_tokens={study.tokens}"]
    own = [f"name={run.name}", f"fold={run.fold}", f"seed={run.seed}"]
    return [*study.base, *budget, *study.arms[run.arm], *own]
