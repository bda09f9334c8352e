"""Settings of ``scripts/ensemble.py``: members, and how their logits become answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from chaii.config.corpora import CorpusConfig
from chaii.config.schema import PathsConfig, Precision


class SpanScore(Enum):
    """What a span's first and last token add up to."""

    sum = "sum"  # logits: ranks spans as the product of probabilities does
    softmax = "softmax"  # probabilities over the whole context, all windows together
    sigmoid = "sigmoid"  # logarithms of sigmoid(1.2 start) and sigmoid(end)


class Merge(Enum):
    """Logit of a token that several windows hold."""

    max = "max"
    mean = "mean"


class MethodKind(Enum):
    """Who answers."""

    vote = "vote"  # voters, word by word
    fusion = "fusion"  # voters, character by character
    single = "single"  # one voice
    auto = "auto"  # whichever is best out of fold


class Voters(Enum):
    """Whose answers are put to the vote, or fused."""

    backbones = "backbones"  # logits of all runs of a backbone are averaged before
    runs = "runs"


class Tie(Enum):
    """What becomes of a word that exactly half of the votes hold."""

    drop = "drop"
    keep = "keep"
    best = "best"  # the voter ranked highest decides


@dataclass
class DecodeConfig:
    """How logits become an answer."""

    score: SpanScore = SpanScore.sum
    merge: Merge = Merge.max
    max_tokens: int | None = None  # longest answer; None: as long as the run was trained to give
    max_words: int | None = None  # longest answer in words of the context
    null_threshold: float | None = None  # "" where no answer beats the answer by more; None: never


@dataclass
class MethodConfig:
    """How voices become one answer; ``method=auto`` writes the best one it found."""

    kind: MethodKind = MethodKind.vote
    voice: str | None = None  # who answers where kind is single: a backbone, or a run
    weights: dict[str, float] = field(default_factory=dict)  # of voters; 1 where not named
    ranking: list[str] = field(default_factory=list)  # voters, best first; empty: by their Jaccard
    tie: Tie = Tie.drop
    contiguous: bool = False  # print one unbroken passage of the words that stay
    cleaning: dict[str, list[str]] = field(default_factory=dict)  # rules of a voice, or of "fusion"
    decode: DecodeConfig = field(default_factory=DecodeConfig)


@dataclass
class SearchConfig:
    """How ``method=auto`` searches."""

    rules: list[str] = MISSING  # cleaning rules to try
    min_rows: int = 200  # held-out rows below which the evidence is too thin
    folds: int = 5  # parts, each answered by the method that the others chose
    seed: int = 2021


@dataclass
class EnsembleMembersConfig:
    """Which runs answer which questions."""

    name: str = MISSING  # hence of its submission
    members: list[str] = MISSING  # run names; every finished fold of a run takes part
    test: CorpusConfig | None = None  # None: score out of fold only
    voters: Voters = Voters.backbones
    weights: dict[str, float] = field(default_factory=dict)  # of runs inside a backbone; else 1


@dataclass
class EnsembleConfig:
    """All of ``scripts/ensemble.py``."""

    ensemble: EnsembleMembersConfig = MISSING
    method: MethodConfig = MISSING
    search: SearchConfig = MISSING
    time_budget: float | None = None  # minutes the whole may take; None: as long as it takes
    n_best: int = 0  # answers of each voice to write beside the submission, best first; 0: none
    predict_batch_size: int = 32  # windows
    precision: Precision = Precision.auto
    paths: PathsConfig = MISSING
