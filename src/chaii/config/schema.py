"""The settings of ``scripts/train.py`` as typed dataclasses; Hydra enforces the types."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING

from chaii.config.corpora import CorpusConfig


class FoldScheme(Enum):
    """How the rows of the validation corpora are assigned to folds."""

    auto = "auto"  # grouped if a validation corpus repeats contexts and is split, else stratified
    stratified = "stratified"  # by language, as the winner did
    grouped = "grouped"  # by language, an article in all its languages on one side


class OnLeak(Enum):
    """What is done about texts to train on that are equal or alike to held-out ones."""

    report = "report"  # they are counted and written to the run folder
    drop = "drop"  # rows whose context, or question with answer, leaks are left out as well
    fail = "fail"  # the run stops where `drop` would leave rows out


class OnWarning(Enum):
    """What is done about data that is likely to spoil a training; see `list_warnings`."""

    print = "print"  # a line for each fault
    fail = "fail"  # the run stops before it trains


class Precision(Enum):
    """Number format of the forward and backward pass."""

    auto = "auto"  # bf16 where the hardware computes it natively; else fp16 on a GPU, fp32 on a CPU
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Debug(Enum):
    """What a run is tried for, in a folder of its own; each has a file in ``conf/debug``."""

    smoke = "smoke"  # whether a fold comes to its end: few rows and steps, a tiny backbone
    shapes = "shapes"  # what a batch is: the first one is printed
    overfit = "overfit"  # whether the model learns: one batch, to a loss near zero
    profile = "profile"  # where the time goes: a trace of some steps


class Tracker(Enum):
    """Where the curves of a training are drawn; each but `none` is a package and an extra."""

    none = "none"
    tensorboard = "tensorboard"  # into the run folder: tensorboard --logdir data/runs
    wandb = "wandb"
    mlflow = "mlflow"
    trackio = "trackio"


class TokenizerKind(Enum):
    """Tokenizer families that can be trained for a backbone without pre-trained weights."""

    wordpiece = "wordpiece"  # as MuRIL: cased word pieces, no accent stripping
    unigram = "unigram"  # as XLM-R: unigram pieces, <s> question </s></s> context </s>
    unigram_bert = "unigram_bert"  # as RemBERT: unigram pieces, [CLS] question [SEP] context [SEP]


@dataclass
class PathsConfig:
    """Folders; relative paths start at the working directory."""

    input: str = MISSING  # corpora as published; read-only
    output: str = MISSING  # everything that is written
    competition: str = MISSING  # the competition's own files
    demo: str = MISSING  # generated corpora of the embedded demo
    tokens: str = MISSING  # token stores, corpus tables and trained tokenizers
    runs: str = MISSING  # run folders
    predictions: str = MISSING  # cached logits of test files
    submissions: str = MISSING


@dataclass
class FoldsConfig:
    """How held-out rows are chosen."""

    validation_corpora: list[str] = MISSING  # their rows are held out; others are only trained on
    num_folds: int = 3  # 1 holds out every row of the validation corpora
    scheme: FoldScheme = FoldScheme.auto
    seed: int = 2021
    on_leak: OnLeak = OnLeak.report


@dataclass
class SourceConfig:
    """Some windows of one corpus."""

    corpus: str = MISSING
    max_length: int = MISSING  # tokens of a finished input
    doc_stride: int = MISSING  # context tokens shared by neighbouring windows
    negatives: float = 1.0  # share of windows without an answer that is kept; study=recipe compares
    crop: bool = False  # windows begin at random places, not on a grid; study=recipe compares
    max_examples: int | None = None  # a random subset of the rows


@dataclass
class StageConfig:
    """Sources whose windows are trained on together."""

    sources: list[SourceConfig] = MISSING
    shuffle: bool = True
    epochs: int = 1  # how often the same windows are trained, each time in a new order


@dataclass
class CutoutConfig:
    """Random masking of input tokens while training."""

    rate: float = 0.0  # share of tokens replaced by the mask token; study=recipe compares
    span: int = 1  # tokens masked together
    question: bool = True  # whether question tokens may be masked


@dataclass
class RecipeConfig:
    """Stages in the order of training, and the windows for prediction."""

    stages: list[StageConfig] = MISSING
    mixed: bool = False  # all stages' windows in one random order; study=recipe compares
    group_by_length: bool = True  # each step holds all lengths, sorted, so that little is padded
    max_tokens: int | None = None  # windows are drawn evenly from all stages to this many tokens
    reset_optimizer: bool = False  # anew in every stage, with its schedule; study=recipe compares
    cutout: CutoutConfig = field(default_factory=CutoutConfig)
    predict_max_length: int = 384  # tokens
    predict_doc_stride: int = 128  # tokens


@dataclass
class ScratchConfig:
    """A backbone with random weights and a tokenizer that is trained on the run's corpora."""

    architecture: str = MISSING  # model type of transformers: bert, xlm-roberta, rembert
    tokenizer: TokenizerKind = MISSING
    vocab_size: int = MISSING


@dataclass
class BackboneConfig:
    """An encoder and the settings that suit its fine-tuning.

    Exactly one of `pretrained` and `scratch` is set.
    """

    name: str = MISSING  # runs of one name share a tokenizer, and their logits are averaged
    pretrained: str | None = None  # name on the Hub, or a folder
    revision: str | None = None  # commit, tag or branch on the Hub
    licence: str = ""  # of the weights, as the Hub names it; empty: none is stated
    scratch: ScratchConfig | None = None
    family: str | None = None  # model type of transformers; only `shrink` asks for it
    shrink: bool = False  # 2 narrow layers of the same family with random weights, for debugging
    config: dict[str, Any] = field(default_factory=dict)  # fields of the model's configuration
    learning_rate: float = MISSING  # peak
    warmup_ratio: float = 0.1  # share of the optimiser steps
    encoder_millions: float | None = None  # parameters without embeddings, to estimate hours
    effective_batch_size: int = 16  # windows per optimiser step, over all its batches


@dataclass
class TrainerConfig:
    """How the model is trained on a plan, and how it predicts."""

    per_device_train_batch_size: int = 8  # windows
    predict_batch_size: int = 32  # windows
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    lr_scheduler_type: str = "linear"
    precision: Precision = Precision.auto
    num_evaluations: int = 4  # how often a checkpoint is scored; 0: one at the end, without score
    load_best_model_at_end: bool = True  # of the scored checkpoints; false: the last weights
    num_workers: int = 0  # processes that build batches
    num_threads: int | None = None  # CPU threads of torch; None: all cores
    max_answer_tokens: int = 30
    gradient_checkpointing: bool = False  # activations are computed twice, to store fewer
    fsdp: bool = False  # the weights are divided among several GPUs, for a model too large for one
    restarts: int = 0  # after a collapse, each at half the rate and with the next seed
    logging_steps: int = 50  # optimiser steps
    tracker: Tracker = Tracker.none
    max_steps: int | None = None  # stops earlier than the plan; for tests


@dataclass
class DistillConfig:
    """What is learned from finished runs, beside the labels; see ``scripts/distill.py``."""

    teachers: list[str] = field(default_factory=list)  # runs; of each, the fold of this run
    temperature: float = 2.0  # divides the logits of both: above 1, unlikely tokens count more
    weight: float = 0.5  # of the loss against the teachers; that against the labels has the rest


@dataclass
class TrainConfig:
    """All settings of ``scripts/train.py``."""

    name: str = MISSING  # of the run and its folder
    fold: str = "0"  # a number, or "all" to train on everything
    seed: int = 2021
    overwrite: bool = False  # train anew where there is a run of this name
    debug: Debug | None = None  # set by debug=..., with the other settings of its file
    on_warning: OnWarning = OnWarning.print
    verify: bool = False  # compare every byte of large token stores with their checksum, too
    paths: PathsConfig = MISSING
    backbone: BackboneConfig = MISSING
    recipe: RecipeConfig = MISSING
    corpora: dict[str, CorpusConfig] = field(default_factory=dict)
    max_examples: int | None = None  # of each corpus, for a quick run
    folds: FoldsConfig = MISSING
    trainer: TrainerConfig = MISSING
    distill: DistillConfig = field(default_factory=DistillConfig)
