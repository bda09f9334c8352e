"""The competition's CSV files; one without answer columns (test.csv) gives no answers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from chaii.config.corpora import CorpusConfig
from chaii.corpus.checks import Row, Tally
from chaii.corpus.fields import digest_text, require_text
from chaii.corpus.files import CorpusError, iterate_lines
from chaii.corpus.records import Rows


def read_chaii_csv(path: Path, corpus: CorpusConfig, _tally: Tally) -> Rows:
    """Rows of train.csv or test.csv.

    Raises:
        CorpusError: no readable CSV, or a column that is missing or malformed, with the row.
    """
    for where, cells in _read_cells(path, corpus.language):
        answered = "answer_text" in cells
        row: Row = {
            "id": require_text(cells["id"], "id", where),
            "article": digest_text(cells["context"]),
            "language": corpus.language or require_text(cells["language"], "language", where),
            "question": cells["question"],
            "context": cells["context"],
            "answer_text": [cells["answer_text"]] if answered else [],
            "answer_start": [_parse_start(cells, where)] if answered else [],
        }
        yield where, row


def _read_cells(path: Path, language: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file by column name; the header is row 1, as a spreadsheet counts."""
    # The limit is the process's own; it is only ever raised. A C long has 32 bits on Windows.
    csv.field_size_limit(2**31 - 1)
    number = 0
    reader = csv.reader(iterate_lines(path), strict=True)
    try:
        columns = _check_columns(next(reader, []), f"{path}, row 1", language)
        for number, cells in enumerate(reader, start=2):
            where = f"{path}, row {number}"
            if len(cells) not in (0, len(columns)):
                raise CorpusError(f"{where}: {len(cells)} cells under {len(columns)} columns")
            if cells:  # a blank line has none
                yield where, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        place = f"after row {number}" if number else "row 1"
        raise CorpusError(f"{path}, {place}: not readable as CSV: {error}") from error


def _check_columns(columns: list[str], where: str, language: str | None) -> list[str]:
    needed = {"id", "context", "question"} | (set() if language else {"language"})
    answers = {"answer_text", "answer_start"}
    if answers & set(columns):
        needed |= answers
    if missing := needed - set(columns):
        raise CorpusError(f"{where}: no column {sorted(missing)}; the header has {columns}")
    return columns


def _parse_start(cells: dict[str, str], where: str) -> int:
    if not cells["answer_text"].strip():
        return -1  # the checks drop an empty answer, wherever it points
    try:
        return int(cells["answer_start"])
    except ValueError as error:
        raise CorpusError(f"{where}: answer_start must be an integer: {error}") from error
