"""Every knob of the project as a typed dataclass, with its unit; Hydra enforces the types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf


class ConfigError(ValueError):
    """A setting that cannot work; the message names the key, the value and the rule."""


class CorpusFormat(Enum):
    """File formats a reader exists for."""

    chaii_csv = "chaii_csv"
    squad_json = "squad_json"


class FoldScheme(Enum):
    """How validated rows are dealt into folds."""

    stratified = "stratified"  # by language, as the winner did
    grouped = "grouped"  # by language, an article in all its languages on one side


class Precision(Enum):
    """Number format of the forward and backward pass."""

    auto = "auto"  # bf16 where the GPU has it, else fp16 on a GPU, fp32 on a CPU
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class TokenizerKind(Enum):
    """Tokenizer families that can be trained on the spot for a from-scratch backbone."""

    wordpiece = "wordpiece"  # as MuRIL: cased word pieces, no accent stripping
    unigram = "unigram"  # as XLM-R: unigram pieces, <s> question </s></s> context </s>
    unigram_bert = "unigram_bert"  # as RemBERT: unigram pieces, [CLS] question [SEP] context [SEP]


@dataclass
class PathsConfig:
    """Where things lie; relative paths count from the working directory."""

    input: str = MISSING  # corpora as published; read-only
    output: str = MISSING  # all that is made
    competition: str = MISSING  # the competition's own files
    demo: str = MISSING  # generated corpora of the embedded demo
    tokens: str = MISSING  # token stores and tokenizers trained on the spot
    runs: str = MISSING  # run folders
    predictions: str = MISSING  # cached logits of test files
    submissions: str = MISSING


@dataclass
class CorpusConfig:
    """One corpus: where it is, how to read it, and what a reader should know of it."""

    format: CorpusFormat = MISSING
    path: str = MISSING  # file, or glob pattern of several files read in sorted order
    language: str | None = None  # None: the file itself tells, row by row
    limit: int | None = None  # read at most this many rows
    source: str = ""  # where the corpus is published
    licence: str = ""


@dataclass
class CorporaConfig:
    """The corpora that a run reads."""

    limit: int | None = None  # read at most this many rows of each: for a quick run
    sources: dict[str, CorpusConfig] = field(default_factory=dict)


@dataclass
class FoldsConfig:
    """How held-out rows are chosen."""

    validated: list[str] = MISSING  # corpora whose rows are held out; all others only train
    count: int = 3  # 1 holds out every row of the validated corpora
    scheme: FoldScheme = FoldScheme.stratified
    seed: int = 2021


@dataclass
class IngredientConfig:
    """Some windows of one corpus."""

    corpus: str = MISSING
    max_length: int = MISSING  # tokens of a finished input
    stride: int = MISSING  # context tokens shared by neighbouring windows
    negatives: float = 1.0  # share of the windows without the answer that is kept
    crop: bool = False  # windows at random places instead of a regular grid
    limit: int | None = None  # at most this many examples, drawn at random


@dataclass
class StageConfig:
    """Ingredients that are trained together."""

    ingredients: list[IngredientConfig] = MISSING
    shuffle: bool = True


@dataclass
class CutoutConfig:
    """Random masking of input tokens while training."""

    rate: float = 0.0  # share of tokens replaced by the mask token
    question: bool = True  # whether question tokens may be masked


@dataclass
class RecipeConfig:
    """Stages in the order they are trained in, and how windows are cut to predict."""

    stages: list[StageConfig] = MISSING
    cutout: CutoutConfig = field(default_factory=CutoutConfig)
    predict_max_length: int = 384  # tokens
    predict_stride: int = 128  # tokens


@dataclass
class ScratchConfig:
    """A backbone built from its configuration, with a tokenizer trained on the run's corpora."""

    architecture: str = MISSING  # model type of transformers: bert, xlm-roberta, rembert
    tokenizer: TokenizerKind = MISSING
    vocab_size: int = MISSING
    config: dict[str, Any] = field(default_factory=dict)  # what differs from the architecture


@dataclass
class BackboneConfig:
    """A pre-trained encoder and how it likes to be fine-tuned.

    Exactly one of `pretrained` and `scratch` is set.
    """

    name: str = MISSING  # runs of one name share a tokenizer, and their logits are averaged
    pretrained: str | None = None  # hub name, or a folder
    revision: str | None = None  # of the hub repository
    scratch: ScratchConfig | None = None
    learning_rate: float = MISSING  # peak
    warmup: float = 0.1  # share of the optimiser steps
    accumulation: int = 1  # batches an optimiser step


@dataclass
class TrainerConfig:
    """How a plan is worked through."""

    batch_size: int = 8  # windows, each device
    predict_batch_size: int = 32  # windows
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    scheduler: str = "linear"
    precision: Precision = Precision.auto
    evaluations: int = 4  # how often held-out rows are scored and a checkpoint is written
    workers: int = 0  # processes that assemble batches
    max_answer_tokens: int = 30
    log_every: int = 50  # optimiser steps
    max_steps: int | None = None  # stop early, for debugging


@dataclass
class TrainConfig:
    """All of ``scripts/train.py``."""

    name: str = MISSING  # of the run, hence of its folder
    fold: str = "0"  # a number, or "all" to train on everything
    seed: int = 2021
    overwrite: bool = False  # whether a finished run is trained again
    paths: PathsConfig = MISSING
    backbone: BackboneConfig = MISSING
    recipe: RecipeConfig = MISSING
    corpora: CorporaConfig = MISSING
    folds: FoldsConfig = MISSING
    trainer: TrainerConfig = MISSING


@dataclass
class BlendConfig:
    """Which runs answer which questions."""

    name: str = MISSING  # hence of its submission
    members: list[str] = MISSING  # run names; every finished fold of a run takes part
    test: CorpusConfig = MISSING


@dataclass
class EnsembleConfig:
    """All of ``scripts/ensemble.py``."""

    blend: BlendConfig = MISSING
    predict_batch_size: int = 32  # windows
    precision: Precision = Precision.auto
    paths: PathsConfig = MISSING


def register_schemas() -> None:
    """Make the schemas known to Hydra, under the names that conf/*.yaml start from."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="ensemble_schema", node=EnsembleConfig)


def check_train(config: DictConfig) -> TrainConfig:
    """Turn what Hydra composed into a `TrainConfig`, or say what cannot work.

    Raises:
        ConfigError: a rule across fields is broken; names the key, the value and the rule.
    """
    train = _to_object(config)
    assert isinstance(train, TrainConfig)
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
        ConfigError: no member, or one named twice.
    """
    ensemble = _to_object(config)
    assert isinstance(ensemble, EnsembleConfig)
    members = ensemble.blend.members
    if not members or len(set(members)) < len(members):
        raise ConfigError(f"blend.members={members}: name at least one run, and each once")
    return ensemble


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a user's mistake (a `ValueError` or a missing file) into one line and exit status 2."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"error: {error}") from error


def _to_object(config: DictConfig) -> Any:
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{', '.join(missing)}: must be set")
    return OmegaConf.to_object(config)


def _check_fold(train: TrainConfig) -> Iterator[str]:
    if train.folds.count < 1:
        yield f"folds.count={train.folds.count}: must be at least 1"
    if train.fold != "all" and train.fold not in map(str, range(train.folds.count)):
        yield f"fold={train.fold}: must be 0 to {train.folds.count - 1}, or all"


def _check_corpora(train: TrainConfig) -> Iterator[str]:
    known = ", ".join(train.corpora.sources)
    for corpus in train.folds.validated:
        if corpus not in train.corpora.sources:
            yield f"folds.validated: unknown corpus {corpus!r} (corpora holds {known})"
    for s, stage in enumerate(train.recipe.stages):
        for i, ingredient in enumerate(stage.ingredients):
            if ingredient.corpus not in train.corpora.sources:
                yield (
                    f"recipe.stages[{s}].ingredients[{i}].corpus: "
                    f"unknown corpus {ingredient.corpus!r} (corpora holds {known})"
                )


def _check_backbone(backbone: BackboneConfig) -> Iterator[str]:
    if (backbone.pretrained is None) == (backbone.scratch is None):
        yield f"backbone {backbone.name}: set exactly one of pretrained and scratch"
    if not backbone.learning_rate > 0:
        yield f"backbone.learning_rate={backbone.learning_rate}: must be above 0"
    if not 0 <= backbone.warmup < 1:
        yield f"backbone.warmup={backbone.warmup}: must be a share, from 0 to below 1"
    if backbone.accumulation < 1:
        yield f"backbone.accumulation={backbone.accumulation}: must be at least 1"


def _check_recipe(recipe: RecipeConfig) -> Iterator[str]:
    if not recipe.stages:
        yield "recipe.stages: must hold at least one stage"
    if recipe.predict_stride >= recipe.predict_max_length:
        yield (
            f"recipe.predict_stride={recipe.predict_stride}: "
            f"must be below recipe.predict_max_length={recipe.predict_max_length}"
        )
    if not 0 <= recipe.cutout.rate < 1:
        yield f"recipe.cutout.rate={recipe.cutout.rate}: must be a share, from 0 to below 1"
    for s, stage in enumerate(recipe.stages):
        for i, ingredient in enumerate(stage.ingredients):
            key = f"recipe.stages[{s}].ingredients[{i}]"
            if not 0 <= ingredient.stride < ingredient.max_length:
                yield (
                    f"{key}.stride={ingredient.stride}: "
                    f"must be at least 0 and below max_length={ingredient.max_length}"
                )
            if not 0 <= ingredient.negatives <= 1:
                yield f"{key}.negatives={ingredient.negatives}: must be a share, from 0 to 1"
            if ingredient.limit is not None and ingredient.limit < 1:
                yield f"{key}.limit={ingredient.limit}: must be at least 1"


def _check_trainer(train: TrainConfig) -> Iterator[str]:
    trainer = train.trainer
    for name in ("batch_size", "predict_batch_size", "evaluations", "max_answer_tokens"):
        if getattr(trainer, name) < 1:
            yield f"trainer.{name}={getattr(trainer, name)}: must be at least 1"
