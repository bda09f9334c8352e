"""Settings of ``scripts/ensemble.py`` and of `chaii.Reader`: members, and logits to answers."""

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from chaii.config.corpora import CorpusConfig
from chaii.config.schema import PathsConfig, Precision


class SpanScore(Enum):
    """How the score of a span is made from its first and its last token."""

    sum = "sum"  # of the logits: ranks spans as the product of their probabilities does
    softmax = "softmax"  # of probabilities over the whole context, all windows together
    sigmoid = "sigmoid"  # of the logarithms of sigmoid(1.2 start) and sigmoid(end)


class Merge(Enum):
    """Logit of a token that several windows hold."""

    max = "max"
    mean = "mean"
    odds = "odds"  # mean, above "no answer" of the same window: benchmarks/merging.py has the gain
    none = "none"  # both ends of a span take their logits from the same window


class MethodKind(Enum):
    """How the answers of the voters become one."""

    vote = "vote"  # word by word
    fusion = "fusion"  # character by character
    single = "single"  # one group of members answers alone
    auto = "auto"  # the best of these on the out-of-fold predictions


class VoteBy(Enum):
    """When two voters hold the same word."""

    place = "place"  # it is at the same place in the context
    text = "text"  # its text is equal, wherever it is


class Tie(Enum):
    """What is done with a word that holds exactly half of the votes."""

    drop = "drop"
    keep = "keep"
    best = "best"  # it is kept if the voter that is ranked first holds it


class Voters(Enum):
    """Groups of members that vote or are fused; logits are averaged inside a group."""

    backbones = "backbones"  # a group is all folds of all runs of a backbone
    runs = "runs"  # a group is all folds of a run


@dataclass
class DecodeConfig:
    """How logits become an answer."""

    score: SpanScore = SpanScore.sum
    merge: Merge = Merge.odds
    max_tokens: int | None = None  # of an answer; None: as the run was trained
    max_words: int | None = None  # of an answer, in words of the context; None: no limit
    null_threshold: float | None = None  # "" where no answer beats the answer by more; None: never


@dataclass
class MethodConfig:
    """How the predictions of all groups become one answer; ``method=auto`` writes its choice so."""

    kind: MethodKind = MethodKind.vote
    group: str | None = None  # backbone or run that answers where kind is single
    weights: dict[str, float] = field(default_factory=dict)  # of voters; 1 where not named
    ranking: list[str] = field(default_factory=list)  # voters, best first; empty: by their Jaccard
    vote_by: VoteBy = VoteBy.place
    tie: Tie = Tie.drop
    contiguous: bool = False  # keep one run of neighbouring words
    cleaning: dict[str, list[str]] = field(default_factory=dict)  # rules by group, or by "fusion"
    decode: DecodeConfig = field(default_factory=DecodeConfig)


@dataclass
class SearchConfig:
    """How ``method=auto`` searches."""

    rules: list[str] = MISSING  # cleaning rules to try
    max_words: list[int] = MISSING  # longest answers to try
    min_rows: int = 200  # out-of-fold rows; with fewer the vote is kept
    folds: int = 5  # each is answered by the method chosen on the others
    seed: int = 2021


@dataclass
class EnsembleMembersConfig:
    """Which runs answer which questions."""

    name: str = MISSING  # of the submission, with the method's
    members: list[str] = MISSING  # names of runs; every finished fold of a run takes part
    test: CorpusConfig | None = None  # None: only the out-of-fold predictions are scored
    voters: Voters = Voters.backbones
    weights: dict[str, float] = field(default_factory=dict)  # of runs in a group; 1 where not named


@dataclass
class EnsembleConfig:
    """All settings of ``scripts/ensemble.py``."""

    name: str | None = None  # of the files that are written; None: <ensemble>_<method>
    ensemble: EnsembleMembersConfig = MISSING
    method: MethodConfig = MISSING
    method_file: str | None = None  # replaces `method`; never composed, so safe to take from others
    search: SearchConfig = MISSING
    time_budget: float | None = None  # minutes for the whole command; None: no limit
    n_best: int = 0  # answers per group and question to write beside the submission
    predict_batch_size: int = 32  # windows
    precision: Precision | None = None  # None: the precision that each run was trained in
    verify: bool = False  # compare every byte of large token stores with their checksum, too
    paths: PathsConfig = MISSING


@dataclass(frozen=True)
class ReaderOptions:
    """What a call of `Reader` may set; the names are those of transformers' former pipeline."""

    top_k: int = 1  # answers per question
    max_seq_len: int | None = None  # tokens of a window; None: as trained, else at most 384
    doc_stride: int | None = None  # tokens that neighbouring windows share; None: as trained
    max_answer_len: int | None = None  # tokens of an answer; None: as trained, else 30
    max_question_len: int = 64  # tokens of a question; the rest is not read
    handle_impossible_answer: bool = False  # whether "" may be the answer
    align_to_words: bool = True  # whether answers are widened to whole words

    def __post_init__(self) -> None:
        for name in ("top_k", "max_seq_len", "max_answer_len", "max_question_len"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if self.doc_stride is not None and self.doc_stride < 0:
            raise ValueError(f"doc_stride={self.doc_stride}: must not be negative")
