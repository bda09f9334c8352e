"""Rules across the fields of a configuration, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chaii.config.ensemble import EnsembleConfig, MethodConfig, MethodKind
from chaii.config.errors import ConfigError, describe_error
from chaii.config.schema import BackboneConfig, Precision, RecipeConfig, TrainConfig

_Schema = TypeVar("_Schema", TrainConfig, EnsembleConfig)


def check_train(config: DictConfig) -> TrainConfig:
    """Turn what Hydra composed into a `TrainConfig`, or say what cannot work.

    Raises:
        ConfigError: a rule across fields is broken; names the key, the value and the rule.
    """
    train = _to_object(config, TrainConfig)
    problems = [
        *_check_fold(train),
        *_check_corpora(train),
        *_check_backbone(train.backbone),
        *_check_recipe(train.recipe),
        *_check_trainer(train),
    ]
    if problems:
        raise ConfigError("; ".join(problems))
    return train


def check_ensemble(config: DictConfig) -> EnsembleConfig:
    """Turn what Hydra composed into an `EnsembleConfig`, or say what cannot work.

    Raises:
        ConfigError: a rule across fields is broken; names the key, the value and the rule.
    """
    ensemble = _to_object(config, EnsembleConfig)
    problems = [
        *_check_members(ensemble),
        *_check_method(ensemble.method),
        *_check_search(ensemble),
    ]
    if problems:
        raise ConfigError("; ".join(problems))
    return ensemble


def _to_object(config: DictConfig, schema: type[_Schema]) -> _Schema:
    """Fill the schema anew: Hydra lets ``+key=value`` past it."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{', '.join(missing)}: must be set")
    try:
        plain = OmegaConf.to_container(config, resolve=True)
        filled = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), plain))
    except OmegaConfBaseException as error:
        raise ConfigError(describe_error(error)) from error
    assert isinstance(filled, schema)
    return filled


def _check_fold(train: TrainConfig) -> Iterator[str]:
    if train.folds.num_folds < 1:
        yield f"folds.num_folds={train.folds.num_folds}: must be at least 1"
    if train.fold != "all" and train.fold not in map(str, range(train.folds.num_folds)):
        yield f"fold={train.fold}: must be 0 to {train.folds.num_folds - 1}, or all"


def _check_corpora(train: TrainConfig) -> Iterator[str]:
    known = ", ".join(train.corpora)
    for corpus in train.folds.validation_corpora:
        if corpus not in train.corpora:
            yield f"folds.validation_corpora: unknown corpus {corpus!r} (corpora holds {known})"
    for s, stage in enumerate(train.recipe.stages):
        for i, source in enumerate(stage.sources):
            if source.corpus not in train.corpora:
                yield (
                    f"recipe.stages[{s}].sources[{i}].corpus: "
                    f"unknown corpus {source.corpus!r} (corpora holds {known})"
                )


def _check_backbone(backbone: BackboneConfig) -> Iterator[str]:
    if (backbone.pretrained is None) == (backbone.scratch is None):
        yield f"backbone {backbone.name}: set exactly one of pretrained and scratch"
    if not backbone.learning_rate > 0:
        yield f"backbone.learning_rate={backbone.learning_rate}: must be above 0"
    if not 0 <= backbone.warmup_ratio < 1:
        yield f"backbone.warmup_ratio={backbone.warmup_ratio}: must be a share, from 0 to below 1"


def _check_recipe(recipe: RecipeConfig) -> Iterator[str]:
    if not recipe.stages:
        yield "recipe.stages: must hold at least one stage"
    if recipe.predict_doc_stride >= recipe.predict_max_length:
        yield (
            f"recipe.predict_doc_stride={recipe.predict_doc_stride}: "
            f"must be below recipe.predict_max_length={recipe.predict_max_length}"
        )
    if not 0 <= recipe.cutout.rate < 1:
        yield f"recipe.cutout.rate={recipe.cutout.rate}: must be a share, from 0 to below 1"
    if recipe.cutout.span < 1:
        yield f"recipe.cutout.span={recipe.cutout.span}: must be at least 1"
    for s, stage in enumerate(recipe.stages):
        for i, source in enumerate(stage.sources):
            key = f"recipe.stages[{s}].sources[{i}]"
            if not 0 <= source.doc_stride < source.max_length:
                yield (
                    f"{key}.doc_stride={source.doc_stride}: "
                    f"must be at least 0 and below max_length={source.max_length}"
                )
            if not 0 <= source.negatives <= 1:
                yield f"{key}.negatives={source.negatives}: must be a share, from 0 to 1"
            if source.max_examples is not None and source.max_examples < 1:
                yield f"{key}.max_examples={source.max_examples}: must be at least 1"


def _check_trainer(train: TrainConfig) -> Iterator[str]:
    trainer = train.trainer
    if trainer.precision is Precision.int8:
        yield "trainer.precision=int8: predicts only; train in fp32 or bf16"
    windows = train.backbone.effective_batch_size
    if windows < 1 or windows % max(1, trainer.per_device_train_batch_size):
        yield (
            f"backbone.effective_batch_size={windows}: "
            "must be a multiple of trainer.per_device_train_batch_size="
            f"{trainer.per_device_train_batch_size}"
        )
    for name in (
        "per_device_train_batch_size",
        "predict_batch_size",
        "num_evaluations",
        "max_answer_tokens",
    ):
        if getattr(trainer, name) < 1:
            yield f"trainer.{name}={getattr(trainer, name)}: must be at least 1"


def _check_members(ensemble: EnsembleConfig) -> Iterator[str]:
    members, weights = ensemble.ensemble.members, ensemble.ensemble.weights
    if not members or len(set(members)) < len(members):
        yield f"ensemble.members={members}: name at least one run, and each once"
    if not any(weights.get(run, 1.0) for run in members):
        yield "ensemble.weights: one member's must be above 0"
    for run, weight in weights.items():
        if run not in members:
            yield f"ensemble.weights.{run}: no member ({', '.join(members)})"
        if not 0 <= weight < inf:
            yield f"ensemble.weights.{run}={weight}: must be finite and not negative"
    if ensemble.time_budget is not None and not ensemble.time_budget > 0:
        yield f"time_budget={ensemble.time_budget}: must be above 0 minutes"
    if ensemble.n_best < 0:
        yield f"n_best={ensemble.n_best}: must not be negative"


def _check_method(method: MethodConfig) -> Iterator[str]:
    if (method.kind is MethodKind.single) != (method.group is not None):
        yield f"method.group={method.group}: set it where method.kind is single, and only there"
    for name in ("max_tokens", "max_words"):
        value = getattr(method.decode, name)
        if value is not None and value < 1:
            yield f"method.decode.{name}={value}: must be at least 1"
    no_null = method.kind in (MethodKind.fusion, MethodKind.auto)
    if no_null and method.decode.null_threshold is not None:
        yield "method.decode.null_threshold: only where method.kind is vote or single"
    for voter, weight in method.weights.items():
        if not 0 <= weight < inf:
            yield f"method.weights.{voter}={weight}: must be finite and not negative"


def _check_search(ensemble: EnsembleConfig) -> Iterator[str]:
    if ensemble.search.folds < 2:
        yield f"search.folds={ensemble.search.folds}: must be at least 2"
