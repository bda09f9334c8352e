"""Settings of the corpora as typed dataclasses; part of the schema in `chaii.config.schema`."""

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING


class CorpusFormat(Enum):
    """File formats that there is a reader for."""

    chaii_csv = "chaii_csv"
    squad_json = "squad_json"  # SQuAD, XQuAD, MLQA, TyDi QA gold passage
    tydi_primary = "tydi_primary"  # TyDi QA primary task: one JSON line per document
    natural_questions = "natural_questions"  # the simplified files, one JSON line per row
    hub = "hub"  # a data set of the Hugging Face Hub, or a folder of the same form


class HubLayout(Enum):
    """Layouts of the columns of a Hub data set."""

    squad = "squad"  # id, title, context, question, answers{text, answer_start}
    tydi_primary = "tydi_primary"  # as google-research-datasets/tydiqa, primary_task
    natural_questions = "natural_questions"  # as google-research-datasets/natural_questions


# Not a class body, since `raise` is a keyword.
OnError = Enum("OnError", {"raise": "raise", "skip": "skip"})


class Unanswerable(Enum):
    """How a question is treated that its context does not answer."""

    keep = "keep"  # as an example without answers
    drop = "drop"  # and count it in the report


class Labels(Enum):
    """Which occurrences of an answer a corpus is trained on; scores are by text alone.

    No choice is best everywhere. Of the answers that occur more than once and whose place people
    marked, `first` places .67, .94 and .78 correctly in XQuAD, SQuAD and TyDi QA gold passage,
    `evidence` .81, .71 and .67 (``benchmarks/labels.py``). Trained on XQuAD, none has a sure gain
    over `first` (study=recipe, study=confirmation).
    """

    first = "first"  # as given
    evidence = "evidence"  # the one whose surroundings best match the question
    all = "all"  # every one, their probabilities added in the loss


class Join(Enum):
    """Which texts of a corpus are joined into one context."""

    paragraph = "paragraph"  # none: as the file has them
    article = "article"  # paragraphs of an article; rows of SQuAD's form only


@dataclass
class HubConfig:
    """Which part of a Hub data set is read, and the names of its columns."""

    subset: str | None = None  # the Hub's configuration, such as xquad.hi
    folder: str | None = None  # inside the data set, where a subset cannot be named
    split: str = "train"  # several: train+validation
    revision: str | None = None  # commit, tag or branch; None: the newest
    layout: HubLayout = HubLayout.squad
    columns: dict[str, str] = field(default_factory=dict)  # our name of a column: theirs


@dataclass
class CorpusConfig:
    """One corpus: its files, how they are read, and where they come from."""

    format: CorpusFormat = MISSING
    path: str = MISSING  # file, or glob pattern; with format hub a name there, or a folder
    language: str | None = None  # None: the file names it in each row
    max_examples: int | None = None  # of the rows that the settings below choose, the first ones
    languages: list[str] = field(default_factory=list)  # those to read; empty: all
    unanswerable: Unanswerable = Unanswerable.keep
    on_error: OnError = OnError["raise"]  # skip counts faulty rows; only JSON lines and Hub
    hub: HubConfig | None = None  # only with format hub, and always there
    keep_ids: str | None = None  # file of ids to read, from scripts/filter_questions.py
    join: Join = Join.paragraph
    first_match: bool = False  # answers are moved to their first textual match, as in chaii
    labels: Labels = Labels.first
    labels_file: str | None = None  # from scripts/relabel.py; takes the place of labels
    description: str = ""  # what the corpus is
    homepage: str = ""  # where the corpus is published
    licence: str = ""
    download: list[str] = field(default_factory=list)  # https://…, hf://datasets/…, kaggle:…
