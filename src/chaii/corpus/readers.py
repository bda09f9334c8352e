"""Readers: one generator of rows per format, and the one function that makes a Dataset.

A new format is one more generator and one more line in `_READERS`. Text is never stripped or
normalised, because answer offsets count every code point (U+FEFF and joiners too).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset

from chaii.config.corpora import (
    CorpusConfig,
    CorpusFormat,
    HubLayout,
    Labels,
    OnError,
    Unanswerable,
)
from chaii.corpus.chaii_csv import read_chaii_csv
from chaii.corpus.checks import UNREAD, Row, Tally
from chaii.corpus.files import CorpusError, find_files
from chaii.corpus.hub import find_hub_files, read_hub
from chaii.corpus.label_repair import read_labels, relabel_rows
from chaii.corpus.natural_questions import read_natural_questions
from chaii.corpus.question_filter import read_kept_ids
from chaii.corpus.records import Rows
from chaii.corpus.reports import CorpusReport
from chaii.corpus.squad import read_squad_json
from chaii.corpus.table import (
    EXAMPLE_FEATURES,
    build_table,
    find_table,
    fingerprint_source,
    open_table,
    publish_table,
    write_table,
)
from chaii.corpus.tydi import read_tydi_primary

__all__ = ["EXAMPLE_FEATURES", "CorpusError", "find_files", "find_sources", "read_corpus"]

_WHOLE_FILES = {CorpusFormat.chaii_csv, CorpusFormat.squad_json}  # no row stands alone in them


def read_corpus(
    name: str, corpus: CorpusConfig, *, cache: Path | None = None
) -> tuple[Dataset, CorpusReport]:
    """Reads, checks and counts one corpus.

    Returns a Dataset with the columns of `EXAMPLE_FEATURES` and the report of what was repaired
    and dropped. With a folder `cache` the rows are streamed to a file there, which is
    memory-mapped, and opened at once the next time unless anything changed; without one, the
    Dataset is in memory.

    Raises:
        CorpusError: no file, an unreadable or malformed one, an id that stands twice, a setting
            that does not go with the format, a wanted language that no row is in, or a labels
            file that is not of this corpus.
        ValueError: the file of `keep_ids` cannot be read.
    """
    files = find_sources(name, corpus)
    tally = Tally(name, corpus.languages)
    rows = _read_examples(name, corpus, files, tally)
    if cache is None:
        return build_table(rows), tally.report()
    inputs = [*files, *(Path(file) for file in (corpus.keep_ids, corpus.labels_file) if file)]
    key = fingerprint_source(name, corpus, inputs)
    path = cache / f"{name}-{key}.arrow"
    if not find_table(path, inputs):
        written = write_table(path, rows)
        if fingerprint_source(name, corpus, inputs) != key:
            written.unlink()
            raise CorpusError(f"corpus {name}: a file changed while it was read; start again")
        publish_table(written, path, tally.report())
    return open_table(path)


def find_sources(name: str, corpus: CorpusConfig) -> list[Path]:
    """Files that a corpus is read from; one of the Hub is fetched for that.

    Raises:
        CorpusError: there is none, or a setting does not go with the format.
        ValueError: the file of `keep_ids` cannot be read.
    """
    _check_settings(name, corpus)
    if corpus.keep_ids:
        read_kept_ids(Path(corpus.keep_ids))
    if corpus.labels_file:
        read_labels(Path(corpus.labels_file))
    if corpus.format is CorpusFormat.hub:
        return find_hub_files(name, corpus)
    return find_files(name, corpus.path)


def _check_settings(name: str, corpus: CorpusConfig) -> None:
    form = corpus.format.name
    if corpus.max_examples is not None and corpus.max_examples < 1:
        raise CorpusError(
            f"corpus {name}: max_examples {corpus.max_examples} must be at least 1, or null"
        )
    if (corpus.format is CorpusFormat.hub) != (corpus.hub is not None):
        raise CorpusError(f"corpus {name}: hub must be set with format hub, and only there")
    if corpus.on_error is OnError.skip and corpus.format in _WHOLE_FILES:
        raise CorpusError(f"corpus {name}: on_error skip cannot be had with format {form}")
    squad = corpus.format in _WHOLE_FILES or (corpus.hub and corpus.hub.layout is HubLayout.squad)
    if corpus.language and not squad:
        rule = "its rows tell their language, to be chosen by languages"
        raise CorpusError(f"corpus {name}: language does not go with format {form}: {rule}")


def _read_examples(
    name: str, corpus: CorpusConfig, files: list[Path], tally: Tally
) -> Iterator[dict[str, Any]]:
    """Chosen, checked rows that know their corpus."""
    chosen = _choose_rows(_read_files(corpus, files, tally), corpus, tally)
    rows = _reject_duplicates(islice(chosen, corpus.max_examples), corpus, tally)
    checked: Iterator[Row] = (row for row in map(tally.check, rows) if row is not None)
    if corpus.labels is not Labels.first or corpus.labels_file:
        checked = relabel_rows(checked, corpus)
    for row in checked:
        yield {**row, "corpus": name}
    _check_outcome(name, corpus, tally)


def _check_outcome(name: str, corpus: CorpusConfig, tally: Tally) -> None:
    report = tally.report()
    if UNREAD in report.languages and not report.rows:
        first = next(iter(report.languages[UNREAD].samples.values()))[0]
        raise CorpusError(f"corpus {name}: no row could be read; the first fault: {first}")
    missing = set(corpus.languages) - tally.languages
    if missing and corpus.max_examples is None:
        held = sorted(tally.languages)
        raise CorpusError(f"corpus {name}: no row is in languages {sorted(missing)}, but in {held}")


def _read_files(corpus: CorpusConfig, files: list[Path], tally: Tally) -> Rows:
    for path in files:
        found = False
        for place in _READERS[corpus.format](path, corpus, tally):
            found = True
            yield place
        if not found and corpus.format in _WHOLE_FILES:
            raise CorpusError(f"{path}, row 1: the file holds no question")


def _choose_rows(rows: Rows, corpus: CorpusConfig, tally: Tally) -> Rows:
    kept = read_kept_ids(Path(corpus.keep_ids)) if corpus.keep_ids else None
    for where, row in rows:
        if not tally.wants(row["language"]) or (kept is not None and row["id"] not in kept):
            continue
        if not row["answer_text"] and corpus.unanswerable is Unanswerable.drop:
            tally.drop(row["language"], row["id"], "unanswerable")
        else:
            yield where, row


def _reject_duplicates(rows: Rows, corpus: CorpusConfig, tally: Tally) -> Iterator[Row]:
    places: dict[str, str] = {}
    for where, row in rows:
        earlier = places.setdefault(row["id"], where)
        if earlier == where:
            yield row
            continue
        fault = CorpusError(
            f"{where}: id '{row['id']}' already stands in {earlier}; ids are unique in a corpus",
            reason="id stands twice",
        )
        if corpus.on_error is not OnError.skip:
            raise fault
        tally.drop(UNREAD, str(fault), fault.reason)


_READERS: dict[CorpusFormat, Callable[[Path, CorpusConfig, Tally], Rows]] = {
    CorpusFormat.chaii_csv: read_chaii_csv,
    CorpusFormat.squad_json: read_squad_json,
    CorpusFormat.tydi_primary: read_tydi_primary,
    CorpusFormat.natural_questions: read_natural_questions,
    CorpusFormat.hub: read_hub,
}
