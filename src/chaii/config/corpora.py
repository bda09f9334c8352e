"""Settings of the corpora as typed dataclasses; part of the schema in `chaii.config.schema`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING


class CorpusFormat(Enum):
    """File formats a reader exists for."""

    chaii_csv = "chaii_csv"
    squad_json = "squad_json"  # SQuAD, XQuAD, MLQA, TyDi QA gold passage
    tydi_primary = "tydi_primary"  # TyDi QA primary task: whole documents, a JSON line each
    natural_questions = "natural_questions"  # the simplified files, a JSON line each
    hub = "hub"  # a data set of the Hugging Face Hub, or a folder in such a form


class HubLayout(Enum):
    """Forms of the columns of a Hub data set."""

    squad = "squad"  # id, title, context, question, answers{text, answer_start}
    tydi_primary = "tydi_primary"  # as google-research-datasets/tydiqa, primary_task
    natural_questions = "natural_questions"  # as google-research-datasets/natural_questions


# Not a class body, since `raise` is a keyword.
OnError = Enum("OnError", {"raise": "raise", "skip": "skip"})


class Unanswerable(Enum):
    """What becomes of a question that its context does not answer."""

    keep = "keep"  # an example without answers
    drop = "drop"  # counted in the report


class Labels(Enum):
    """Which occurrences of an answer a corpus is trained on; scores are by text alone.

    No choice is best everywhere. Of the answers that occur more than once and whose place people
    marked, `first` places .67, .94 and .78 correctly in XQuAD, SQuAD and TyDi QA gold passage,
    `evidence` .81, .71 and .67 (``benchmarks/labels.py``).
    """

    first = "first"  # as given
    evidence = "evidence"  # the one whose surroundings best match the question
    all = "all"  # every one: the loss is of the sum of their probabilities


class Join(Enum):
    """Which texts of a corpus are joined into one context."""

    paragraph = "paragraph"  # none: as the file has them
    article = "article"  # paragraphs of an article; rows of SQuAD's form only


@dataclass
class HubConfig:
    """Which part of a Hub data set is read, and how its columns are named."""

    subset: str | None = None  # what the Hub calls a configuration, such as xquad.hi
    folder: str | None = None  # inside the data set, where a subset cannot be named
    split: str = "train"  # several: train+validation
    revision: str | None = None  # commit, tag or branch; None: the newest
    layout: HubLayout = HubLayout.squad
    columns: dict[str, str] = field(default_factory=dict)  # our name: theirs, where they differ


@dataclass
class CorpusConfig:
    """One corpus: where it is, how to read it, and what a reader should know of it."""

    format: CorpusFormat = MISSING
    path: str = MISSING  # file, or glob pattern of several; format hub: name there, or a folder
    language: str | None = None  # None: the file itself tells, row by row
    max_examples: int | None = (
        None  # read at most this many of the rows chosen by the settings below
    )
    languages: list[str] = field(default_factory=list)  # rows of others are left out; empty: all
    unanswerable: Unanswerable = Unanswerable.keep
    on_error: OnError = OnError["raise"]  # skip: faulty rows are counted; JSON lines and Hub only
    hub: HubConfig | None = None  # set where format is hub, and nowhere else
    keep_ids: str | None = None  # file of the ids to read, as scripts/filter_questions.py writes it
    join: Join = Join.paragraph
    first_match: bool = False  # move given answers to their first textual match, as chaii's are
    labels: Labels = Labels.first
    labels_file: str | None = None  # places as scripts/relabel.py writes them; wins over labels
    description: str = ""  # what the corpus is
    homepage: str = ""  # where the corpus is published
    licence: str = ""
    download: list[str] = field(default_factory=list)  # https://…, hf://datasets/…, kaggle:…
