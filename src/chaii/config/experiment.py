"""Overrides of ``scripts/train.py`` as runs, and as an experiment that holds what they change."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from chaii.config.checks import check_train
from chaii.config.schema import PathsConfig, TrainConfig
from chaii.config.search import HyperSearchConfig, ScoredByConfig, list_overrides

_OF_A_RUN = ("name", "fold", "seed", "paths")  # what an experiment leaves open


def compose_trial(
    search: HyperSearchConfig,
    paths: PathsConfig,
    values: Mapping[str, Any],
    *,
    trial: int,
    scored_by: ScoredByConfig,
) -> list[TrainConfig]:
    """Compose the runs that score the values of a trial, inside a script of Hydra's.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: a value that no run can have.
    """
    runs = []
    for fold, seed in product(scored_by.folds, scored_by.seeds):
        own = [f"name={search.name}_t{trial}_s{seed}", f"fold={fold}", f"seed={seed}"]
        composed = hydra.compose("train", overrides=[*list_overrides(search, values), *own])
        composed.paths = paths
        runs.append(check_train(composed))
    return runs


def write_experiment(overrides: Sequence[str], *, name: str) -> str:
    """Write overrides as the YAML of an experiment of that name, inside a script of Hydra's.

    It begins with the experiment and the other groups that they choose, and then has the settings
    that they change in these; a list is written whole.
    """
    loader = GlobalHydra.instance().config_loader()
    given = OverridesParser.create().parse_overrides(list(overrides))
    chosen = [one for one in given if loader.get_group_options(one.key_or_group)]
    lines = [str(one.input_line) for one in chosen]
    groups = hydra.compose("train", overrides=lines, return_hydra_config=True)
    parent = groups.hydra.runtime.choices.experiment
    others = {f"override /{one.key_or_group}": one.value() for one in chosen}
    others.pop("override /experiment", None)
    defaults = [*filter(None, [parent]), *({group: one} for group, one in others.items()), "_self_"]
    composed = hydra.compose("train", overrides=list(overrides))
    changed = _subtract(OmegaConf.to_container(composed), OmegaConf.to_container(groups))
    settings = {key: value for key, value in changed.items() if key not in _OF_A_RUN}
    content = {"defaults": defaults, "name": name} | settings
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"# @package _global_\n{text}"


def _subtract(new: Any, old: Any) -> Any:
    """What differs in `new`; of two dictionaries, only the keys that do."""
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    changed = (key for key, value in new.items() if key not in old or value != old[key])
    return {key: _subtract(new[key], old.get(key)) for key in changed}
