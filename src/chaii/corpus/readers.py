"""Readers: one generator of rows per format, and the one function that makes a Dataset.

A new format is one more generator and one more line in `_READERS`. Text is never stripped or
normalised, because answer offsets count every code point (U+FEFF and joiners too).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from datasets import Dataset

from chaii.config.corpora import (
    CorpusConfig,
    CorpusFormat,
    HubLayout,
    Join,
    Labels,
    OnError,
    Unanswerable,
)
from chaii.corpus.chaii_csv import read_chaii_csv
from chaii.corpus.checks import UNREAD, CorpusReport, Row, Tally
from chaii.corpus.hub import find_hub_files, read_hub
from chaii.corpus.label_repair import read_labels, relabel_rows
from chaii.corpus.natural_questions import read_natural_questions
from chaii.corpus.records import KEPT_IDS, CorpusError, PlacedRows, find_files
from chaii.corpus.squad import read_squad_json
from chaii.corpus.table import build_table, fingerprint_source, is_settled, open_table
from chaii.corpus.tydi import read_tydi_primary

_GAP = "\n\n"  # between paragraphs
_WHOLE_FILES = {CorpusFormat.chaii_csv, CorpusFormat.squad_json}  # a faulty row spoils the file
_READERS: dict[CorpusFormat, Callable[[Path, CorpusConfig, Tally], PlacedRows]] = {
    CorpusFormat.chaii_csv: read_chaii_csv,
    CorpusFormat.squad_json: read_squad_json,
    CorpusFormat.tydi_primary: read_tydi_primary,
    CorpusFormat.natural_questions: read_natural_questions,
    CorpusFormat.hub: read_hub,
}


def read_corpus(
    name: str, corpus: CorpusConfig, *, cache: Path | None = None, keep_all: bool = False
) -> tuple[Dataset, CorpusReport]:
    """Read, check and count one corpus.

    Returns a Dataset with the columns of `EXAMPLE_FEATURES`, and the report of the answers repaired
    and the rows dropped. With a folder `cache` the rows are streamed to a memory-mapped file there,
    which is opened at once the next time unless anything changed. Without one, or if a file was
    written in the last two seconds, the Dataset is in memory. With `keep_all`, a row with faulty
    answers is kept without them: rows to be answered need every id.

    Raises:
        CorpusError: no file, an unreadable or malformed one, an id of two rows, a setting
            that does not go with the format, a wanted language without rows, or a file of kept ids
            or labels that is not of this corpus.
    """
    files = find_sources(name, corpus)
    tally = Tally(name, corpus.languages, keep_all=keep_all)
    inputs = [*files, *(Path(file) for file in (corpus.keep_ids, corpus.labels_file) if file)]
    if cache is None or not is_settled(inputs):
        return build_table(_read_examples(name, corpus, files, tally)), tally.report()
    key = fingerprint_source(name, corpus, inputs)

    def read() -> Iterator[dict[str, Any]]:
        yield from _read_examples(name, corpus, files, tally)
        if fingerprint_source(name, corpus, inputs) != key:
            raise CorpusError(f"corpus {name}: a file changed while it was read; start again")

    suffix = "-all" if keep_all else ""
    return open_table(cache / f"{name}-{key}{suffix}", read, report=tally.report)


def find_sources(name: str, corpus: CorpusConfig) -> list[Path]:
    """Files that a corpus is read from; one of the Hub is fetched for that.

    Raises:
        CorpusError: there is none, a setting does not go with the format, or the file of kept ids
            or labels cannot be read.
    """
    form = corpus.format.name
    if corpus.max_examples is not None and corpus.max_examples < 1:
        rule = "must be at least 1, or null"
        raise CorpusError(f"corpus {name}: max_examples {corpus.max_examples} {rule}")
    if (corpus.format is CorpusFormat.hub) != (corpus.hub is not None):
        raise CorpusError(f"corpus {name}: hub must be set with format hub, and only there")
    if corpus.on_error is OnError.skip and corpus.format in _WHOLE_FILES:
        raise CorpusError(f"corpus {name}: on_error skip is not possible with format {form}")
    squad = corpus.format in _WHOLE_FILES or (corpus.hub and corpus.hub.layout is HubLayout.squad)
    if corpus.join is Join.article and (corpus.format is CorpusFormat.chaii_csv or not squad):
        raise CorpusError(f"corpus {name}: join article does not go with format {form}")
    if corpus.language and not squad:
        rule = "its rows give their language, to be chosen by languages"
        raise CorpusError(f"corpus {name}: language does not go with format {form}: {rule}")
    if corpus.keep_ids:
        KEPT_IDS.read(Path(corpus.keep_ids))
    if corpus.labels_file:
        read_labels(Path(corpus.labels_file))
    if corpus.format is CorpusFormat.hub:
        return find_hub_files(name, corpus)
    return find_files(name, corpus.path)


def _read_examples(
    name: str, corpus: CorpusConfig, files: list[Path], tally: Tally
) -> Iterator[dict[str, Any]]:
    """Chosen, checked rows that know their corpus."""
    chosen = map(tally.check, _choose_rows(corpus, files, tally))
    checked: Iterator[Row] = (row for row in chosen if row is not None)
    if corpus.first_match:
        checked = move_to_first_match(checked)
    if corpus.labels is not Labels.first or corpus.labels_file:
        checked = relabel_rows(checked, corpus)
    for row in checked:
        yield {**row, "corpus": name}

    report = tally.report()
    if UNREAD in report.languages and not report.rows:
        first = next(iter(report.languages[UNREAD].samples.values()))[0]
        raise CorpusError(f"corpus {name}: no row could be read; the first fault: {first}")
    if corpus.keep_ids and not report.rows:
        raise CorpusError(f"corpus {name}: none of its rows is in {corpus.keep_ids}")
    missing = sorted(set(corpus.languages) - tally.languages)
    if missing and corpus.max_examples is None:
        found = sorted(tally.languages)
        raise CorpusError(f"corpus {name}: no row is in languages {missing}, but in {found}")


def _choose_rows(corpus: CorpusConfig, files: list[Path], tally: Tally) -> Iterator[Row]:
    """The first `max_examples` rows of those that the settings choose, equal rows once."""
    kept = KEPT_IDS.read(Path(corpus.keep_ids)) if corpus.keep_ids else None
    places: dict[str, tuple[str, int]] = {}  # of each id: its place, and a hash of its content
    count = 0
    for path in files:
        found = False
        rows = _READERS[corpus.format](path, corpus, tally)
        for where, row in join_articles(rows) if corpus.join is Join.article else rows:
            found = True
            if not tally.wants(row["language"]) or (kept is not None and row["id"] not in kept):
                continue
            if not row["answer_text"] and corpus.unanswerable is Unanswerable.drop:
                tally.drop(row["language"], row["id"], "unanswerable")
                continue
            parts = row["question"], row["context"], *row["answer_text"], *row["answer_start"]
            content = hash(parts)
            earlier, known = places.setdefault(row["id"], (where, content))
            if earlier == where:
                yield row
            elif known == content:
                tally.drop(row["language"], row["id"], "equal to an earlier row")
                continue
            else:
                rule = f"id '{row['id']}' is already in {earlier}, with another content"
                fault = CorpusError(f"{where}: {rule}", reason="id occurs twice")
                if corpus.on_error is not OnError.skip:
                    raise fault
                tally.drop(UNREAD, str(fault), fault.reason)
            count += 1
            if count == corpus.max_examples:
                return
        if not found and corpus.format in _WHOLE_FILES:
            raise CorpusError(f"{path}, row 1: the file holds no question")


def join_articles(rows: PlacedRows) -> PlacedRows:
    """Join the paragraphs of each article into one context, which all its questions share.

    Rows of one article must follow each other, as they do in SQuAD's files. Paragraphs keep their
    order, equal ones are taken once, and answers move with their paragraph.

    >>> row = {"article": "Goa", "context": "It is old.", "answer_start": [6]}
    >>> rows = [("a", row), ("b", row | {"context": "It is warm.", "answer_start": [6]})]
    >>> [(row["context"], row["answer_start"]) for _, row in join_articles(rows)][1]
    ('It is old.\\n\\nIt is warm.', [18])
    """
    for _, group in groupby(rows, key=lambda placed: placed[1]["article"]):
        members = list(group)
        starts: dict[str, int] = {}  # first character of each paragraph
        length = 0
        for _, row in members:
            if row["context"] not in starts:
                starts[row["context"]] = length
                length += len(row["context"]) + len(_GAP)
        context = _GAP.join(starts)
        for where, row in members:
            start_chars = [starts[row["context"]] + start for start in row["answer_start"]]
            yield where, {**row, "context": context, "answer_start": start_chars}


def move_to_first_match(rows: Iterable[Row]) -> Iterator[Row]:
    """Move every answer to the first place in the context where its text occurs.

    Source: in the competition's train.csv every `answer_start` is the first textual match.

    >>> row = {"context": "Pune or Goa? Goa", "answer_text": ["Goa"], "answer_start": [13]}
    >>> next(move_to_first_match([row]))["answer_start"]
    [8]
    """
    for row in rows:
        yield {**row, "answer_start": [row["context"].find(text) for text in row["answer_text"]]}
