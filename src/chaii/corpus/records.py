"""Records: rows that stand alone, as a JSON line does, so that a faulty one can be skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chaii.config.corpora import CorpusConfig, OnError
from chaii.corpus.checks import UNREAD, Row, Tally
from chaii.corpus.fields import parse_json
from chaii.corpus.files import CorpusError, decode_line, iterate_bytes

Rows = Iterator[tuple[str, Row]]  # each with its file and place, for messages
ParseRecord = Callable[[str, Any, Tally], Row | None]  # place and record; None: counted, left out


def read_json_lines(path: Path, corpus: CorpusConfig, tally: Tally, *, parse: ParseRecord) -> Rows:
    """The rows of a file that holds a JSON object a line; blank lines are none.

    With `on_error: skip` a faulty line is counted in the tally. A gzip stream that is cut short
    then gives the rows before the cut, and counts once.

    Raises:
        CorpusError: a fault, with the number of its line, or a file that holds no line at all.
    """

    def load_line(where: str, line: bytes, tally: Tally) -> Row | None:
        record = parse_json(decode_line(line, where), where)
        return parse(f"{where}, $", record, tally)

    return read_records(_iterate_places(path), corpus, tally, parse=load_line)


def read_records(
    records: Iterator[tuple[str, Any]], corpus: CorpusConfig, tally: Tally, *, parse: ParseRecord
) -> Rows:
    """The rows of records, each given with its place.

    Raises:
        CorpusError: a faulty record, or the source of the records; not with `on_error: skip`.
    """
    ended = False
    while not ended:
        try:
            where, record = next(records, ("", None))
            ended = not where  # a source that failed is exhausted too
            row = None if ended else parse(where, record, tally)
        except CorpusError as error:
            if corpus.on_error is not OnError.skip:
                raise
            tally.drop(UNREAD, str(error), error.reason)
            continue
        if row is not None:
            yield where, row


def _iterate_places(path: Path) -> Iterator[tuple[str, bytes]]:
    found = False
    for number, line in iterate_bytes(path):
        if line.strip():
            found = True
            yield f"{path}, line {number}", line
    if not found:
        raise CorpusError(f"{path}, row 1: the file holds no question", reason="empty file")
