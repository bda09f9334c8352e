"""The competition's CSV files; one without answer columns (test.csv) gives no answers."""

import csv
from pathlib import Path

from chaii.config.corpora import CorpusConfig
from chaii.corpus import records
from chaii.corpus.checks import Row, Tally
from chaii.corpus.records import CorpusError, PlacedRows

_ANSWER = {"answer_text", "answer_start"}


def read_chaii_csv(path: Path, corpus: CorpusConfig, _tally: Tally) -> PlacedRows:
    """Rows of train.csv or test.csv; the header is row 1, as in a spreadsheet.

    Raises:
        CorpusError: no readable CSV, or a column that is missing or malformed, with the row.
    """
    # The limit is the process's own; it is only ever raised. A C long has 32 bits on Windows.
    csv.field_size_limit(2**31 - 1)
    needed = {"id", "context", "question"} | (set() if corpus.language else {"language"})
    number = 0
    reader = csv.reader(records.iterate_lines(path), strict=True)
    try:
        columns = next(reader, [])
        if missing := (needed | (_ANSWER if _ANSWER & set(columns) else set())) - set(columns):
            rule = f"no column {sorted(missing)}; the header has {columns}"
            raise CorpusError(f"{path}, row 1: {rule}")
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise CorpusError(f"{path}, row 1: column {twice} occurs twice")
        for number, cells in enumerate(reader, start=2):
            where = f"{path}, row {number}"
            if len(cells) not in (0, len(columns)):
                raise CorpusError(f"{where}: {len(cells)} cells under {len(columns)} columns")
            if cells:  # an empty line has none
                yield where, _parse_cells(dict(zip(columns, cells, strict=True)), where, corpus)
    except csv.Error as error:
        place = f"after row {number}" if number else "row 1"
        raise CorpusError(f"{path}, {place}: not readable as CSV: {error}") from error


def _parse_cells(cells: dict[str, str], where: str, corpus: CorpusConfig) -> Row:
    texts, starts = [], []
    if "answer_text" in cells:
        texts = [cells["answer_text"]]
        # the checks drop an empty answer, whatever its start
        starts = [records.take_start(cells, "answer_start", where) if texts[0].strip() else -1]
    return {
        "id": records.take_text(cells, "id", where),
        "article": records.digest_text(cells["context"]),
        "language": corpus.language or records.take_text(cells, "language", where),
        "question": cells["question"],
        "context": cells["context"],
        "answer_text": texts,
        "answer_start": starts,
    }
