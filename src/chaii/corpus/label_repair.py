"""Label repair: which occurrences of its answer an example is trained on.

An `answer_start` that is always the first textual match points at the wrong place wherever the
first mention is not the evidence. Texts stay as they are, so no score depends on a label.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from chaii.config.corpora import CorpusConfig, Labels
from chaii.corpus.checks import Row
from chaii.corpus.files import CorpusError
from chaii.corpus.occurrences import choose_occurrence, find_occurrences, score_occurrences

_COLUMNS = ["id", "answer_start"]
_AROUND = 40  # characters of a snippet on each side of the answer
_REPORT_COLUMNS = [
    "id",
    "language",
    "answer",
    "occurrences",
    "given_start",
    "chosen_start",
    "given_score",
    "chosen_score",
    "given_snippet",
    "chosen_snippet",
]
_Answers = list[tuple[str, int]]


class Label(NamedTuple):
    """The place that a labels file gives for one answer, and where in the file it says so."""

    start_char: int
    where: str


def relabel_rows(rows: Iterable[Row], corpus: CorpusConfig) -> Iterator[Row]:
    """The rows with their answers moved or multiplied, as `labels` and `labels_file` ask.

    With `evidence` every answer of a row moves to its likeliest occurrence; with `all` every answer
    is followed by its other occurrences. A row that the file names takes the place of its first
    answer from there instead.

    Raises:
        CorpusError: the file names a place at which the answer does not stand, or no row of the
            corpus (not checked where the corpus is limited); or see `read_labels`.
    """
    labels = read_labels(Path(corpus.labels_file)) if corpus.labels_file else {}
    used = False
    for row in rows:
        label = labels.get(row["id"])
        used = used or label is not None
        given = list(zip(row["answer_text"], row["answer_start"], strict=True))
        answers = _place_first(row, given, label) if label else _relabel(row, given, corpus.labels)
        kept = list(dict.fromkeys(answers))
        yield {
            **row,
            "answer_text": [text for text, _ in kept],
            "answer_start": [start_char for _, start_char in kept],
        }
    if labels and not used and corpus.max_examples is None:
        raise CorpusError(f"{corpus.labels_file}: none of its ids is in the corpus")


def read_labels(path: Path) -> Mapping[str, Label]:
    """The places that a labels file gives, by id: a CSV with the columns id and answer_start.

    Raises:
        CorpusError: there is no such file, it has other columns, an id twice, or a place that is
            not a number from 0; names the file and the row, the header being row 1.
    """
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; scripts/relabel.py writes it")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != _COLUMNS:
        found = rows[0] if rows else "none: the file is empty"
        raise CorpusError(f"{path}, row 1: the columns must be {_COLUMNS}, not {found}")
    labels: dict[str, Label] = {}
    for number, cells in enumerate(rows[1:], start=2):
        where = f"{path}, row {number}"
        if len(cells) != len(_COLUMNS):
            raise CorpusError(f"{where}: {len(cells)} cells, not {len(_COLUMNS)}")
        identity, start_char = cells
        if identity in labels:
            raise CorpusError(f"{where}: id '{identity}' stands twice")
        if not start_char.isdecimal():
            raise CorpusError(f"{where}: answer_start '{start_char}' must be a number from 0")
        labels[identity] = Label(int(start_char), where)
    return labels


def write_labels(path: Path, ids: Sequence[str], start_chars: Sequence[int]) -> None:
    """Write a labels file; it appears under its name when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(path.name + ".part")
    with building.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(zip(ids, start_chars, strict=True))
    building.replace(path)


def report_labels(examples: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """What `evidence` would make of first answers: one row for each example that has one.

    Columns: id, language, answer, occurrences, given_start and chosen_start (characters, equal
    where nothing would change), given_score and chosen_score (see `score_occurrences`), and
    given_snippet and chosen_snippet, with the answer in brackets.
    """
    rows = [_compare(example) for example in examples if example["answer_start"]]
    return pd.DataFrame(rows, columns=_REPORT_COLUMNS)


def _compare(example: Mapping[str, Any]) -> tuple[Any, ...]:
    question, context = example["question"], example["context"]
    text, given = example["answer_text"][0], example["answer_start"][0]
    chosen = choose_occurrence(question, context, text, given)
    scores = score_occurrences(question, context, text, [given, chosen])
    return (
        example["id"],
        example["language"],
        text,
        len(find_occurrences(context, text, given)),
        given,
        chosen,
        *scores.tolist(),
        *(_cut_snippet(context, at, at + len(text)) for at in (given, chosen)),
    )


def _cut_snippet(context: str, start_char: int, end_char: int) -> str:
    before = context[max(0, start_char - _AROUND) : start_char]
    after = context[end_char : end_char + _AROUND]
    return " ".join(f"{before}[{context[start_char:end_char]}]{after}".split())


def _relabel(row: Row, answers: _Answers, labels: Labels) -> Iterator[tuple[str, int]]:
    question, context = row["question"], row["context"]
    for text, given in answers:
        if labels is Labels.evidence:
            yield text, choose_occurrence(question, context, text, given)
        elif labels is Labels.all:
            places = find_occurrences(context, text, given)
            # the given one is not among them where it is part of a longer number
            yield from ((text, at) for at in sorted(places, key=lambda at: at != given))
        else:
            yield text, given


def _place_first(row: Row, answers: _Answers, label: Label) -> _Answers:
    identity, start_char = row["id"], label.start_char
    if not answers:
        raise CorpusError(f"{label.where}: row '{identity}' of the corpus has no answer")
    text = answers[0][0]
    if not row["context"].startswith(text, start_char):
        raise CorpusError(
            f"{label.where}: answer_start {start_char} of id '{identity}': the answer '{text}' "
            "does not stand there"
        )
    return [(text, start_char), *answers[1:]]
