"""Rules that a configuration has to keep, checked before anything is loaded."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import chain
from math import inf
from pathlib import Path, PurePath
from typing import TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chaii.config.ensemble import EnsembleConfig, MethodConfig, MethodKind
from chaii.config.errors import ConfigError, describe_error, list_first
from chaii.config.schema import Debug, TrainConfig
from chaii.config.search import SearchScriptConfig, list_problems
from chaii.config.settings import flatten_settings
from chaii.config.shrink import shrink_backbone
from chaii.config.study import AblateConfig

_Schema = TypeVar(
    "_Schema", TrainConfig, EnsembleConfig, MethodConfig, AblateConfig, SearchScriptConfig
)
_Rule = tuple[Callable[[float], bool], str]  # written so that no comparison holds for NaN

_COUNT: _Rule = (lambda value: value >= 1, "must be at least 1")
_NOT_NEGATIVE: _Rule = (lambda value: 0 <= value < inf, "must be finite and not negative")
_POSITIVE: _Rule = (lambda value: 0 < value < inf, "must be finite and above 0")
_SHARE: _Rule = (lambda value: 0 <= value <= 1, "must be a share, from 0 to 1")
_PART: _Rule = (lambda value: 0 <= value < 1, "must be a share, from 0 to below 1")
_SEED: _Rule = (lambda value: 0 <= value < 2**32, "must be from 0 to 2**32 - 1")
_FINITE: _Rule = (lambda value: -inf < value < inf, "must be finite")

_RULES = {  # of single numbers; a key without the numbers of lists and the names of dictionaries
    "seed": _SEED,
    "max_examples": _COUNT,
    "folds.num_folds": _COUNT,
    "folds.seed": _SEED,
    "corpora.max_examples": _COUNT,
    "recipe.stages.sources.max_length": _COUNT,
    "recipe.stages.sources.doc_stride": _NOT_NEGATIVE,
    "recipe.stages.sources.negatives": _SHARE,
    "recipe.stages.sources.max_examples": _COUNT,
    "recipe.stages.epochs": _COUNT,
    "recipe.cutout.rate": _PART,
    "recipe.cutout.span": _COUNT,
    "recipe.max_tokens": _COUNT,
    "recipe.predict_max_length": _COUNT,
    "recipe.predict_doc_stride": _NOT_NEGATIVE,
    "backbone.scratch.vocab_size": _COUNT,
    "backbone.learning_rate": _POSITIVE,
    "backbone.warmup_ratio": _PART,
    "backbone.encoder_millions": _POSITIVE,
    "backbone.config": _NOT_NEGATIVE,
    "backbone.effective_batch_size": _COUNT,
    "trainer.per_device_train_batch_size": _COUNT,
    "trainer.predict_batch_size": _COUNT,
    "trainer.weight_decay": _NOT_NEGATIVE,
    "trainer.max_grad_norm": _NOT_NEGATIVE,
    "trainer.num_evaluations": _NOT_NEGATIVE,
    "trainer.num_workers": _NOT_NEGATIVE,
    "trainer.num_threads": _COUNT,
    "trainer.max_answer_tokens": _COUNT,
    "trainer.restarts": _NOT_NEGATIVE,
    "trainer.logging_steps": _COUNT,
    "trainer.max_steps": _COUNT,
    "distill.temperature": _POSITIVE,
    "distill.weight": _SHARE,
    "ensemble.weights": _NOT_NEGATIVE,
    "method.weights": _NOT_NEGATIVE,
    "method.decode.max_tokens": _COUNT,
    "method.decode.max_words": _COUNT,
    "method.decode.null_threshold": _FINITE,
    "ensemble.test.max_examples": _COUNT,
    "search.min_rows": _NOT_NEGATIVE,
    "search.max_words": _COUNT,
    "search.folds": (lambda value: value >= 2, "must be at least 2"),
    "search.seed": _SEED,
    "search.trials": _COUNT,
    "search.seen.seeds": _SEED,
    "search.unseen.seeds": _SEED,
    "time_budget": _POSITIVE,
    "n_best": (lambda value: 0 <= value <= 1000, "must be from 0 to 1000"),
    "predict_batch_size": _COUNT,
    "study.seeds": _SEED,
    "study.tokens": _COUNT,
    "max_hours": _NOT_NEGATIVE,
    "rounds": (lambda value: value >= 1000, "must be at least 1000"),
}


def count(text: str) -> int:
    """Read an argument of a script that is an integer from 0.

    Raises:
        ValueError: it is not.
    """
    number = int(text)
    if number < 0:
        raise ValueError(f"{text}: must not be negative")
    return number


def check_train(config: DictConfig) -> TrainConfig:
    """Turn what Hydra composed into a `TrainConfig`, its backbone shrunk where that is asked for.

    Raises:
        ConfigError: rules are broken; the message names each key, its value and the rule.
    """
    train = _check(_to_object(config, TrainConfig), _check_training, _check_recipe)
    if train.backbone.shrink:
        return replace(train, backbone=shrink_backbone(train.backbone))
    return train


def check_ensemble(config: DictConfig) -> EnsembleConfig:
    """Turn what Hydra composed into an `EnsembleConfig`; see `check_train`."""
    ensemble = _to_object(config, EnsembleConfig)
    if ensemble.method_file is not None:
        ensemble = replace(ensemble, method=read_method(Path(ensemble.method_file)))
    return _check(ensemble, _check_members)


def check_ablate(config: DictConfig) -> AblateConfig:
    """Turn what Hydra composed into an `AblateConfig`; see `check_train`."""
    return _check(_to_object(config, AblateConfig), _check_study)


def check_search(config: DictConfig) -> SearchScriptConfig:
    """Turn what Hydra composed into a `SearchScriptConfig`; see `check_train`."""
    return _check(_to_object(config, SearchScriptConfig), _check_searched)


def read_method(path: Path) -> MethodConfig:
    """Read a method as data: nothing in the file is composed, interpolated or executed.

    Raises:
        ConfigError: the file cannot be read, or it is not a method.
    """
    try:
        text = path.read_text(encoding="utf-8")
        plain = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", error)
        raise ConfigError(f"method_file={path}: cannot be read: {why}") from error
    if not isinstance(plain, dict) or "${" in text:
        raise ConfigError(f"method_file={path}: must hold the settings of a method, all plain")
    try:
        return _to_object(OmegaConf.create(plain), MethodConfig)
    except ConfigError as error:
        raise ConfigError(f"method_file={path}: {error}") from error


def _to_object(config: DictConfig, schema: type[_Schema]) -> _Schema:
    """Fill the schema anew: Hydra lets ``+key=value`` past it."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{list_first(missing)}: must be set")
    try:
        plain = OmegaConf.to_container(config, resolve=True)
        filled = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), plain))
    except OmegaConfBaseException as error:
        raise ConfigError(describe_error(error)) from error
    assert isinstance(filled, schema)
    return filled


def _check(config: _Schema, *rules: Callable[[_Schema], Iterable[str]]) -> _Schema:
    """Return the settings if they keep the rules for single ones and those across them."""
    if problems := [*_check_values(config), *chain.from_iterable(rule(config) for rule in rules)]:
        raise ConfigError(list_first(problems, separator="; "))
    return config


def _check_values(config: _Schema) -> Iterator[str]:
    for key, value in flatten_settings(asdict(config)).items():
        name = re.sub(r"\[\d+\]", "", key)
        group, _, leaf = name.rpartition(".")
        named = f"{group.rpartition('.')[0]}.{leaf}"  # as corpora.<name>.max_examples
        holds, rule = _RULES.get(name) or _RULES.get(group) or _RULES.get(named) or _FINITE
        if isinstance(value, int | float) and not holds(value):
            yield f"{key}={value}: {rule}"
        if group == "paths" and value == "":
            yield f"{key}=: must name a folder"


def _check_training(train: TrainConfig) -> Iterator[str]:
    yield from _check_name("name", train.name)
    folds, known = train.folds, ", ".join(train.corpora)
    if train.fold not in ("all", *map(str, range(folds.num_folds))):
        yield f"fold={train.fold}: must be all, or below folds.num_folds={folds.num_folds}"
    for corpus in folds.validation_corpora:
        if corpus not in train.corpora:
            yield f"folds.validation_corpora: unknown corpus {corpus!r} (corpora holds {known})"
    teachers = train.distill.teachers
    if len({train.name, *teachers}) <= len(teachers):
        yield f"distill.teachers={teachers}: name each once, and not the student, name={train.name}"
    for teacher in teachers:
        yield from _check_name("distill.teachers", teacher)
    backbone, trainer = train.backbone, train.trainer
    if (backbone.pretrained is None) == (backbone.scratch is None):
        yield f"backbone {backbone.name}: set exactly one of pretrained and scratch"
    processes = int(os.environ.get("WORLD_SIZE", 1))  # set by torchrun
    if processes > 1 and train.debug not in (None, Debug.smoke):
        yield f"debug={train.debug.value}: must be started without torchrun, as one process"
    windows, at_once = backbone.effective_batch_size, trainer.per_device_train_batch_size
    if windows % max(1, at_once * processes):
        rule = f"must be a multiple of trainer.per_device_train_batch_size={at_once}"
        rule += f", times {processes} processes" if processes > 1 else ""
        yield f"backbone.effective_batch_size={windows}: {rule}"


def _check_recipe(train: TrainConfig) -> Iterator[str]:
    recipe, known = train.recipe, ", ".join(train.corpora)
    if not recipe.stages:
        yield "recipe.stages: must hold at least one stage"
    if recipe.predict_doc_stride >= recipe.predict_max_length:
        rule = f"must be below recipe.predict_max_length={recipe.predict_max_length}"
        yield f"recipe.predict_doc_stride={recipe.predict_doc_stride}: {rule}"
    if recipe.reset_optimizer and recipe.mixed:
        yield "recipe.reset_optimizer=true: a mixed recipe has no border between stages"
    for s, stage in enumerate(recipe.stages):
        if not stage.sources:
            yield f"recipe.stages[{s}].sources: must hold at least one source"
        for i, source in enumerate(stage.sources):
            key = f"recipe.stages[{s}].sources[{i}]"
            if source.corpus not in train.corpora:
                yield f"{key}.corpus: unknown corpus {source.corpus!r} (corpora holds {known})"
            if source.doc_stride >= source.max_length:
                rule = f"must be below max_length={source.max_length}"
                yield f"{key}.doc_stride={source.doc_stride}: {rule}"


def _check_members(config: EnsembleConfig) -> Iterator[str]:
    yield from _check_name("ensemble.name", config.ensemble.name)
    if config.name is not None:
        yield from _check_name("name", config.name)
    members, weights = config.ensemble.members, config.ensemble.weights
    if not members or len(set(members)) < len(members):
        yield f"ensemble.members={members}: name at least one run, and each once"
    if not any(weights.get(run, 1.0) for run in members):
        yield "ensemble.weights: one member's must be above 0"
    for run in set(weights) - set(members):
        yield f"ensemble.weights.{run}: no member ({', '.join(members)})"
    method = config.method
    if (method.kind is MethodKind.single) != (method.group is not None):
        yield f"method.group={method.group}: set it where method.kind is single, and only there"
    no_null = method.kind in (MethodKind.fusion, MethodKind.auto)
    if no_null and method.decode.null_threshold is not None:
        yield "method.decode.null_threshold: only where method.kind is vote or single"


def _check_study(config: AblateConfig) -> Iterator[str]:
    study = config.study
    yield from _check_name("study.name", study.name)
    for arm in study.arms:
        yield from _check_name(f"study.arms.{arm}", arm)
    if study.reference not in study.arms:
        yield f"study.reference={study.reference}: must be one of the arms {list(study.arms)}"
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        yield f"study.seeds={study.seeds}: name at least one, and each once"
    if not study.folds:
        yield "study.folds=[]: name at least one"


def _check_searched(script: SearchScriptConfig) -> Iterator[str]:
    yield from _check_name("search.name", script.search.name)
    yield from list_problems(script)


def _check_name(key: str, name: str) -> Iterator[str]:
    """A name is that of a folder or file: it may not lead out of where it belongs."""
    if not name or PurePath(name).name != name or name.startswith(".") or "\\" in name:
        yield f"{key}={name}: must be a plain name, without slashes and not beginning with a dot"
