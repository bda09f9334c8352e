"""Label repair: which occurrences of its answer an example is trained on.

An `answer_start` that is always the first textual match points at the wrong place wherever another
occurrence answers the question. Texts stay as they are, so no score depends on a label.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from chaii.config.corpora import CorpusConfig, Labels
from chaii.corpus.checks import Row
from chaii.corpus.id_files import LABELS
from chaii.corpus.occurrences import choose_occurrence, find_occurrences, score_occurrences
from chaii.corpus.records import CorpusError

_AROUND = 40  # characters of a snippet on each side of the answer
_REPORT_COLUMNS = (
    *("id", "language", "answer", "occurrences", "given_start", "chosen_start"),
    *("given_score", "chosen_score", "given_snippet", "chosen_snippet"),
)


def relabel_rows(rows: Iterable[Row], corpus: CorpusConfig) -> Iterator[Row]:
    """The rows with their answers moved or multiplied, as `labels` and `labels_file` set.

    With `evidence` every answer of a row moves to its likeliest occurrence; with `all` every answer
    is followed by its other occurrences. A row that the file names takes the place of its first
    answer from the file instead.

    Raises:
        CorpusError: the file names a place without the answer, or no row of the corpus (not
            checked where the corpus is limited); or see `read_labels`.
    """
    labels = read_labels(Path(corpus.labels_file)) if corpus.labels_file else {}
    used = False
    for row in rows:
        answers = list(zip(row["answer_text"], row["answer_start"], strict=True))
        if row["id"] in labels:
            used = True
            start_char, where = labels[row["id"]]
            if not answers:
                raise CorpusError(f"{where}: row '{row['id']}' of the corpus has no answer")
            text = answers[0][0]
            if not row["context"].startswith(text, start_char):
                rule = f"the answer '{text}' does not begin there"
                raise CorpusError(f"{where}: answer_start {start_char} of id '{row['id']}': {rule}")
            answers[0] = text, start_char
        else:
            places = [(text, relabel(row, text, given, corpus.labels)) for text, given in answers]
            answers = [(text, at) for text, starts in places for at in starts]
        kept = dict.fromkeys(answers)
        texts, starts = [text for text, _ in kept], [start for _, start in kept]
        yield {**row, "answer_text": texts, "answer_start": starts}
    if labels and not used and corpus.max_examples is None:
        raise CorpusError(f"{corpus.labels_file}: none of its ids is in the corpus")


def relabel(row: Row, text: str, given: int, labels: Labels) -> list[int]:
    """The start characters at which one answer is trained on, the main one first."""
    if labels is Labels.evidence:
        return [choose_occurrence(row["question"], row["context"], text, given)]
    if labels is Labels.all:
        # the given one is not among them where it is part of a longer number
        return sorted(find_occurrences(row["context"], text, given), key=lambda at: at != given)
    return [given]


def read_labels(path: Path) -> dict[str, tuple[int, str]]:
    """The start characters that a labels file gives, by id, each with its row for messages.

    Raises:
        CorpusError: the file is not a labels file, or a place is not a number from 0.
    """
    labels = LABELS.read(path)
    for start_char, where in labels.values():
        if not start_char.isdecimal():
            raise CorpusError(f"{where}: answer_start '{start_char}' must be a number from 0")
    return {identity: (int(start_char), where) for identity, (start_char, where) in labels.items()}


def report_labels(examples: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The effect of `labels: evidence` on first answers: one row per example that has one.

    Columns: id, language, answer, occurrences, given_start and chosen_start (characters, equal
    where nothing would change), given_score and chosen_score (see `score_occurrences`), and
    given_snippet and chosen_snippet, with the answer in brackets.
    """
    rows = []
    for example in examples:
        if not example["answer_start"]:
            continue
        question, context = example["question"], example["context"]
        text, given = example["answer_text"][0], example["answer_start"][0]
        chosen = choose_occurrence(question, context, text, given)
        snippets = []
        for at in (given, chosen):
            end = at + len(text)
            before, after = context[max(0, at - _AROUND) : at], context[end : end + _AROUND]
            snippets.append(" ".join(f"{before}[{text}]{after}".split()))
        number = len(find_occurrences(context, text, given))
        scores = score_occurrences(question, context, text, [given, chosen])
        places = (number, given, chosen, *scores.tolist())
        rows.append((example["id"], example["language"], text, *places, *snippets))
    return pd.DataFrame(rows, columns=_REPORT_COLUMNS)
