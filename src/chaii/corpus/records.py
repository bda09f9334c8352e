"""JSON records: read one per line, their fields taken by name and type, each fault with its place.

A place is the file with the line, then the path inside the record: `$.data[0].paragraphs[3]`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from math import nan
from pathlib import Path
from typing import Any, TypeVar

from chaii.config.corpora import CorpusConfig, OnError
from chaii.corpus.checks import UNREAD, Row, Tally
from chaii.corpus.files import CorpusError, decode_line, iterate_bytes

_T = TypeVar("_T")
Rows = Iterator[tuple[str, Row]]  # each with its place, for messages
ParseRecord = Callable[[str, Any, Tally], Row | None]  # place and record; None: counted, left out


def read_json_lines(path: Path, corpus: CorpusConfig, tally: Tally, *, parse: ParseRecord) -> Rows:
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
