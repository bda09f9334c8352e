"""Settings of ``scripts/search.py``: what of a training is searched, and for how long."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from chaii.config.schema import PathsConfig


class RangeKind(Enum):
    """What the values of a setting are."""

    float = "float"
    int = "int"
    choice = "choice"


class Sampler(Enum):
    """How the values of the next trial are drawn."""

    tpe = "tpe"  # at random at first, then near the best trials: Optuna's TPESampler
    grid = "grid"  # all combinations, one after another


@dataclass
class RangeConfig:
    """Values that one setting may take."""

    kind: RangeKind = MISSING
    choices: list[Any] = field(default_factory=list)  # each as it follows ``key=``
    low: float | None = None  # inclusive
    high: float | None = None  # inclusive
    step: float | None = None  # distance of two values; None: 1 of integers, none of floats
    log: bool = False  # values are drawn evenly by their logarithm


@dataclass
class ScoredByConfig:
    """Runs whose mean Jaccard scores the values of a trial: each fold with each seed."""

    folds: list[str] = MISSING
    seeds: list[int] = MISSING


@dataclass
class HyperSearchConfig:
    """What is searched, and how a trial is scored."""

    name: str = MISSING  # hence of the folder of its results
    base: list[str] = MISSING  # overrides of scripts/train.py that all trials share
    space: dict[str, RangeConfig] = MISSING  # by the full key of a setting, or a group's name
    seen: ScoredByConfig = MISSING  # trained in every trial; the first of them may be pruned
    unseen: ScoredByConfig = MISSING  # trained with the best values alone, for the reported score
    sampler: Sampler = Sampler.tpe
    seed: int = 2021  # of the sampler
    trials: int | None = None  # of all processes together; None: until max_hours, or the whole grid
    prune: bool = True  # stop trials that are below the median of others at the same evaluation


@dataclass
class SearchScriptConfig:
    """All of ``scripts/search.py``."""

    search: HyperSearchConfig = MISSING
    max_hours: float | None = None  # this process begins no trial after that; 0 only reports
    paths: PathsConfig = MISSING


def list_values(choice: RangeConfig) -> Sequence[Any]:
    """List all values of a range; of floats without a step, both ends.

    >>> list_values(RangeConfig(RangeKind.float, low=0.1, high=0.3, step=0.1))
    [0.1, 0.2, 0.3]
    """
    if choice.kind is RangeKind.choice:
        return choice.choices
    assert choice.low is not None
    assert choice.high is not None
    if choice.kind is RangeKind.int:
        return range(int(choice.low), int(choice.high) + 1, int(choice.step or 1))
    if choice.step is None:
        return [choice.low, choice.high]
    count = int((choice.high - choice.low) / choice.step + 1e-9)
    return [round(choice.low + choice.step * number, 12) for number in range(count + 1)]


def list_probes(space: Mapping[str, RangeConfig]) -> Iterator[dict[str, Any]]:
    """Give values that show mistakes: of each range both ends, or every choice, at least once."""
    ends = {key: list_values(choice) for key, choice in space.items()}
    for key, choice in space.items():
        if choice.kind is not RangeKind.choice:
            ends[key] = [ends[key][0], ends[key][-1]]
    for number in range(max(map(len, ends.values()))):
        yield {key: values[number % len(values)] for key, values in ends.items()}


def list_overrides(search: HyperSearchConfig, values: Mapping[str, Any]) -> list[str]:
    """List what a trial changes in the default configuration of ``scripts/train.py``.

    >>> search = HyperSearchConfig("toy", ["experiment=demo_muril"])
    >>> list_overrides(search, {"recipe.mixed": True, "max_examples": None})
    ['experiment=demo_muril', 'recipe.mixed=true', 'max_examples=null']
    """
    texts = {k: one if isinstance(one, str) else json.dumps(one) for k, one in values.items()}
    return [*search.base, *map("=".join, texts.items())]


def list_problems(script: SearchScriptConfig) -> Iterator[str]:
    """Tell each rule across the settings of a search that is broken."""
    search = script.search
    if search.sampler is Sampler.tpe and search.trials is script.max_hours is None:
        yield "search.trials=null: set it, or max_hours"
    if not search.space:
        yield "search.space={}: must hold at least one range"
    for text in search.base:
        if re.match(r"~|\+\w+=", text):
            yield f"search.base: {text}: no experiment can hold it; write a group as corpora=[...]"
    fixed = {text.lstrip("+").partition("=")[0] for text in search.base}
    for key, choice in search.space.items():
        faults = list(_check_range(choice, is_grid=search.sampler is Sampler.grid))
        if key.partition(".")[0] in ("name", "fold", "seed", "overwrite", "paths"):
            faults.append("the search sets it itself")
        if key in fixed:
            faults.append("search.base sets it too; leave one of the two out")
        for other in search.space:
            if "." in other and key.startswith(f"{other}."):  # after a group, settings may follow
                faults.append(f"the choices of {other} replace it; leave one of the two out")
        yield from (f"search.space.{key}: {fault}" for fault in faults)
    for place, runs in {"seen": search.seen, "unseen": search.unseen}.items():
        for name, values in asdict(runs).items():
            if not values or len(set(values)) < len(values):
                yield f"search.{place}.{name}={values}: name at least one, and each once"
    folds = set(search.seen.folds) & set(search.unseen.folds)
    if folds and set(search.seen.seeds) & set(search.unseen.seeds):
        yield "search.unseen: must have other folds or other seeds than search.seen"


def _check_range(choice: RangeConfig, *, is_grid: bool) -> Iterator[str]:
    low, high, step = choice.low, choice.high, choice.step
    if choice.kind is RangeKind.choice:
        words = {repr(one) for one in choice.choices if not isinstance(one, list | dict)}
        if not words or len(words) < len(choice.choices) or (low, high, step) != (None,) * 3:
            rule = "must be words or numbers, each once, without low, high and step"
            yield f"choices={choice.choices}: {rule}"
    elif choice.choices or low is None or high is None or not low < high:
        yield f"low={low}, high={high}: low must be below high, and choices empty"
    elif choice.log and (low <= 0 or step is not None):
        yield f"low={low}, step={step}: low must be above 0, and step null, where log is true"
    elif step is not None and not 0 < step <= high - low:
        yield f"step={step}: must be above 0 and at most high - low"
    elif choice.kind is RangeKind.int and (low % 1 or high % 1 or (step or 1) % 1):
        yield f"low={low}, high={high}, step={step}: must be integers where kind is int"
    elif is_grid and choice.kind is RangeKind.float and step is None:
        yield "step=null: must be set, for search.sampler=grid tries every value"
