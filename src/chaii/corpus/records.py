"""Files of a corpus, plain or gzip, and the records inside: JSON, fields by name and type.

Each fault is reported with its place: the file with the line, then the path inside the record, as
`$.data[0].paragraphs[3]`.
"""

import codecs
import csv
import glob
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from chaii.config.corpora import CorpusConfig, OnError
from chaii.corpus.checks import UNREAD, Row, Tally
from chaii.files import reading, write_whole

_T = TypeVar("_T")
PlacedRows = Iterator[tuple[str, Row]]  # each with its place in the file, for messages
ParseRecord = Callable[[str, Any, Tally], Row | None]  # place and record; None: counted, left out
_GZIP = b"\x1f\x8b"


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names the file, the place and the rule.

    `reason` is the rule alone, under which faulty rows are counted where they are skipped.
    """

    def __init__(self, message: str, *, reason: str = "malformed row") -> None:
        super().__init__(message)
        self.reason = reason


def find_files(name: str, pattern: str) -> list[Path]:
    """Files of a corpus: the one that `pattern` names, or all that it matches, in sorted order.

    Raises:
        CorpusError: there is none.
    """
    if Path(pattern).is_file():  # first, since a file's own name may contain [ or *
        return [Path(pattern)]
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (absolute)
    if paths := [path for path in matches if path.is_file()]:
        return paths
    raise CorpusError(f"corpus {name}: no file matches path '{pattern}'")


def iterate_bytes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; gzip is recognised by its first bytes, not by the name.

    A UTF-8 byte order mark at the beginning is left out.

    Raises:
        CorpusError: an empty file, or a gzip stream that is cut short or damaged. All lines before
            the damage have been yielded by then.
    """
    number = 0
    with path.open("rb") as raw:
        head = raw.read(len(_GZIP))
        if not head:
            raise CorpusError(f"{path}, row 1: the file is empty", reason="empty file")
        raw.seek(0)
        try:
            lines = gzip.GzipFile(fileobj=raw) if head == _GZIP else raw
            for number, line in enumerate(lines, start=1):
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        except EOFError as error:
            rule = "the gzip stream ends too early; fetch the file again"
            fault = f"{path}, after line {number}: {rule}"
            raise CorpusError(fault, reason="file cut short") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            fault = f"{path}, after line {number}: damaged gzip stream: {error}"
            raise CorpusError(fault, reason="damaged file") from error


def decode_line(line: bytes, where: str) -> str:
    """The text of a line, its end as it is.

    Raises:
        CorpusError: it is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where}: not UTF-8: {error}", reason="not UTF-8") from error


def iterate_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends as they are; a quoted CSV field may span several.

    Raises:
        CorpusError: as `iterate_bytes` and `decode_line`.
    """
    for number, line in iterate_bytes(path):
        yield decode_line(line, f"{path}, line {number}")


def read_json_lines(
    path: Path, corpus: CorpusConfig, tally: Tally, *, parse: ParseRecord
) -> PlacedRows:
    """The rows of a file with one JSON object per line; lines of whitespace are skipped.

    With `on_error: skip` a faulty line is counted in the tally. A gzip stream that is cut short
    then gives the rows before the cut, and counts once.

    Raises:
        CorpusError: a fault, with the number of its line, or a file without any record.
    """

    def iterate_records() -> Iterator[tuple[str, bytes]]:
        found = False
        for number, line in iterate_bytes(path):
            if line.strip():
                found = True
                yield f"{path}, line {number}", line
        if not found:
            raise CorpusError(f"{path}, row 1: the file holds no question", reason="empty file")

    def parse_line(where: str, line: bytes, tally: Tally) -> Row | None:
        return parse(f"{where}, $", parse_json(decode_line(line, where), where), tally)

    return read_records(iterate_records(), corpus, tally, parse=parse_line)


def read_records(
    records: Iterator[tuple[str, Any]], corpus: CorpusConfig, tally: Tally, *, parse: ParseRecord
) -> PlacedRows:
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


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text.

    Raises:
        CorpusError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        rule = "not readable as JSON"
        raise CorpusError(f"{where}: {rule}: {error}", reason=rule) from error


def take(holder: Any, key: str, kind: type[_T], where: str) -> _T:
    """The value of a key, of the type it must have.

    Raises:
        CorpusError: no object, no such key, another type, or a text that is not valid Unicode.
    """
    if not isinstance(holder, dict):
        raise CorpusError(f"{where}: {type(holder).__name__} where an object is needed")
    if key not in holder:
        raise CorpusError(f"{where}: no key '{key}'; it has {sorted(holder)}")
    value = holder[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CorpusError(f"{where}: {key} must be {kind.__name__}, not {type(value).__name__}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            rule = f"{key} holds half a surrogate pair, which is no character"
            raise CorpusError(f"{where}: {rule}") from error
    return value


def take_text(holder: Any, key: str, where: str) -> str:
    """A text that must not be only whitespace.

    Raises:
        CorpusError: as `take`, or it is only whitespace.
    """
    value = take(holder, key, str, where)
    if not value.strip():
        raise CorpusError(f"{where}: {key} is empty; every row needs one")
    return value


def take_identity(holder: Any, key: str, where: str) -> str:
    """An id that is written as a number or as a text."""
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        return take_text(holder, key, where)
    return str(take(holder, key, int, where))


def take_start(holder: Any, key: str, where: str) -> int:
    """A start character: an integer, also where it is written as `29.0` or `"29"`.

    Raises:
        CorpusError: as `take`, or it is another number or text.

    >>> [take_start({"start": value}, "start", "row 2") for value in (29, 29.0, "29", " 29.0")]
    [29, 29, 29, 29]
    """
    if not isinstance(holder, dict) or not isinstance(holder.get(key), str | float):
        return take(holder, key, int, where)
    value = holder[key]
    try:
        number = float(value)
    except ValueError:
        number = nan
    if not number.is_integer():
        raise CorpusError(f"{where}: {key} must be an integer, not {value!r}")
    return int(number)


def iterate(holder: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """The members of a list, each with its place."""
    for number, item in enumerate(take(holder, key, list, where)):
        yield f"{where}.{key}[{number}]", item


def digest_text(text: str) -> str:
    """A short name for a text: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class IdFile:
    """A kind of file with the columns id and `column`; `writer` is the script that writes it."""

    column: str
    delimiter: str
    writer: str

    def read(self, path: Path) -> dict[str, tuple[str, str]]:
        """Of each id, in the order of the file: its value, and the row for messages.

        Raises:
            CorpusError: there is no such file, it has other columns, or an id twice.
        """
        if not path.is_file():
            raise CorpusError(f"{path}: no such file; {self.writer} writes it")
        with reading(path), path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file, delimiter=self.delimiter)) or [[]]
        columns = ["id", self.column]
        if header != columns:
            found = header or "none: the file is empty"
            raise CorpusError(f"{path}, row 1: the columns must be {columns}, not {found}")
        values: dict[str, tuple[str, str]] = {}
        for number, cells in enumerate(rows, start=2):
            where = f"{path}, row {number}"
            if len(cells) != len(columns):
                raise CorpusError(f"{where}: {len(cells)} cells, not {len(columns)}")
            if cells[0] in values:
                raise CorpusError(f"{where}: id '{cells[0]}' occurs twice")
            values[cells[0]] = cells[1], where
        return values

    def write(self, path: Path, rows: Iterable[tuple[str, object]]) -> None:
        """Write pairs of an id and its value."""
        table = pd.DataFrame(rows, columns=["id", self.column], dtype=object)
        with write_whole(path) as building:
            table.to_csv(building, sep=self.delimiter, index=False, lineterminator="\n")


LABELS = IdFile("answer_start", ",", "scripts/relabel.py")
KEPT_IDS = IdFile("score", "\t", "scripts/filter_questions.py")
