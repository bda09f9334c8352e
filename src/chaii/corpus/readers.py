"""Readers: one generator of rows per file format, and the one function that makes a Dataset.

A new format is one more generator and one more line in `_READERS`. Text is never stripped or
normalised, because answer offsets count every code point (U+FEFF and joiners too).
"""

from __future__ import annotations

import codecs
import csv
import glob
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, List, Value

from chaii.config import CorpusConfig, CorpusFormat
from chaii.corpus.checks import CorpusReport, Row, Tally

EXAMPLE_FEATURES = Features(
    {
        "id": Value("string"),
        "corpus": Value("string"),
        "article": Value("string"),  # title of the document, or a digest of the context
        "language": Value("string"),
        "question": Value("string"),
        "context": Value("string"),
        "answer_text": List(Value("string")),
        "answer_start": List(Value("int32")),  # code points
    }
)
_BATCH_ROWS = 256  # of a million characters each they stay under Arrow's 2 GB a string column
_TYDI_ID = re.compile(r"([a-z]+)--?\d+-\d+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_T = TypeVar("_T")
_Rows = Iterator[tuple[str, Row]]  # each with its file and place, for messages


class CorpusError(ValueError):
    """A corpus file that cannot be read; the message names the file, the place and the rule."""


def read_corpus(name: str, corpus: CorpusConfig) -> tuple[Dataset, CorpusReport]:
    """Reads, checks and counts one corpus.

    Returns an in-memory Dataset with the columns of `EXAMPLE_FEATURES` and the report of what was
    repaired and dropped. `corpus.limit` counts rows read, before any is dropped.

    Raises:
        CorpusError: no file, an unreadable or malformed one, or an id that stands twice.
    """
    if corpus.limit is not None and corpus.limit < 1:
        raise CorpusError(f"corpus {name}: limit {corpus.limit} must be at least 1, or null")
    tally = Tally(name)
    rows = islice(_read_files(name, corpus), corpus.limit)
    checked = map(tally.check, _reject_duplicates(rows))
    examples = _to_dataset({**row, "corpus": name} for row in checked if row is not None)
    return examples, tally.report()


def _read_files(name: str, corpus: CorpusConfig) -> _Rows:
    for path in find_files(name, corpus.path):
        row = None
        for row in _READERS[corpus.format](path, corpus.language):
            yield row
        if row is None:
            raise CorpusError(f"{path}, row 1: the file holds no question")


def find_files(name: str, pattern: str) -> list[Path]:
    """Files of a corpus: the one that `pattern` names, or all that it matches, in sorted order.

    Raises:
        CorpusError: there is none.
    """
    if Path(pattern).is_file():  # first, since a file's own name may hold [ or *
        return [Path(pattern)]
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (absolute)
    if paths := [path for path in matches if path.is_file()]:
        return paths
    raise CorpusError(f"corpus {name}: no file matches path '{pattern}'")


def _reject_duplicates(rows: _Rows) -> Iterator[Row]:
    places: dict[str, str] = {}
    for where, row in rows:
        earlier = places.setdefault(row["id"], where)
        if earlier != where:
            raise CorpusError(
                f"{where}: id '{row['id']}' already stands in {earlier}; ids are unique in a corpus"
            )
        yield row


def _to_dataset(rows: Iterable[dict[str, Any]]) -> Dataset:
    # Not Dataset.from_generator: its cache, keyed by the arguments, outlives a change of the file.
    schema = EXAMPLE_FEATURES.arrow_schema
    stream, batches = iter(rows), []
    while batch := list(islice(stream, _BATCH_ROWS)):
        batches.append(pa.RecordBatch.from_pylist(batch, schema=schema))
    table = pa.Table.from_batches(batches, schema=schema)
    return Dataset(table, info=DatasetInfo(features=EXAMPLE_FEATURES))


def _read_chaii_csv(path: Path, language: str | None) -> _Rows:
    """The competition's CSV; a file without answer columns (test.csv) gives no answers."""
    for where, cells in _read_cells(path, language):
        answered = "answer_text" in cells
        row: Row = {
            "id": _require_text(cells["id"], "id", where),
            "article": _digest(cells["context"]),
            "language": language or _require_text(cells["language"], "language", where),
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
    reader = csv.reader(_read_lines(path), strict=True)
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


def _read_squad_json(path: Path, language: str | None) -> _Rows:
    """SQuAD 1.1 and 2.0, XQuAD, MLQA, TyDi gold passage: data, paragraphs, qas."""
    text = "".join(_read_lines(path))
    try:
        root = json.loads(text)
    except ValueError as error:
        raise CorpusError(f"{path}: not readable as JSON: {error}") from error
    for at_article, article in _iterate(root, "data", f"{path}, $"):
        for at_paragraph, paragraph in _iterate(article, "paragraphs", at_article):
            context = _take(paragraph, "context", str, at_paragraph)
            title = _take(article, "title", str, at_article) if "title" in article else ""
            for where, question in _iterate(paragraph, "qas", at_paragraph):
                identity = _require_text(_take(question, "id", str, where), "id", where)
                texts, starts = _take_answers(question, where)
                row: Row = {
                    "id": identity,
                    "article": title or _digest(context),
                    "language": language or _guess_language(identity, where),
                    "question": _take(question, "question", str, where),
                    "context": context,
                    "answer_text": texts,
                    "answer_start": starts,
                }
                yield where, row


def _take_answers(question: dict[str, Any], where: str) -> tuple[list[str], list[int]]:
    answers = list(_iterate(question, "answers", where))
    if question.get("is_impossible"):
        answers = []  # SQuAD 2: what stands there is no answer
    texts = [_take(answer, "text", str, at) for at, answer in answers]
    return texts, [_take(answer, "answer_start", int, at) for at, answer in answers]


def _iterate(holder: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """The members of a list, each with its place in the file: `$.data[0].paragraphs[3]`."""
    for number, item in enumerate(_take(holder, key, list, where)):
        yield f"{where}.{key}[{number}]", item


def _take(holder: Any, key: str, kind: type[_T], where: str) -> _T:
    if not isinstance(holder, dict):
        raise CorpusError(f"{where}: {type(holder).__name__} where an object is needed")
    if key not in holder:
        raise CorpusError(f"{where}: no key '{key}'; it has {sorted(holder)}")
    value = holder[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CorpusError(f"{where}: {key} must be {kind.__name__}, not {type(value).__name__}")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise CorpusError(f"{where}: {key} holds half a surrogate pair, which is no character")
    return value


def _guess_language(identity: str, where: str) -> str:
    match = _TYDI_ID.fullmatch(identity)
    if match is None:
        rule = "set the corpus's language, or use TyDi ids such as 'telugu--123-0'"
        raise CorpusError(f"{where}: id '{identity}' tells no language; {rule}")
    return match[1]


def _require_text(value: str, field: str, where: str) -> str:
    if not value.strip():
        raise CorpusError(f"{where}: {field} is empty; every row needs one")
    return value


def _digest(context: str) -> str:
    return hashlib.blake2b(context.encode(), digest_size=8).hexdigest()


def _read_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends as they are; a quoted CSV field may span several."""
    if not path.stat().st_size:
        raise CorpusError(f"{path}, row 1: the file is empty")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                raise CorpusError(f"{path}, row 1: UTF-8 byte order mark; save it without BOM")
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise CorpusError(f"{path}, line {number}: not UTF-8: {error}") from error
            yield text


_READERS: dict[CorpusFormat, Callable[[Path, str | None], _Rows]] = {
    CorpusFormat.chaii_csv: _read_chaii_csv,
    CorpusFormat.squad_json: _read_squad_json,
}
