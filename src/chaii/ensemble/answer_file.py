"""Answer the questions of a file: csv, jsonl or parquet in, the same with answers out."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from chaii.config.errors import ConfigError
from chaii.corpus.records import decode_line, iterate_bytes, parse_json
from chaii.files import reading, write_whole, writing

_ROWS = 64  # answered, and then written, together
_FORMS = (".csv", ".jsonl", ".parquet")
_ADDED = ("score", "start", "end", "answer", "answers")

Row = dict[str, Any]


def answer_file(
    reader: Callable[..., Any],
    source: Path,
    target: Path,
    *,
    model: str,
    question: str,
    context: str,
    **options: Any,
) -> int:
    """Answer every row of `source` into `target` with a `chaii.Reader`; return the number of rows.

    `question` and `context` name the columns; all columns are kept, and ``score``, ``start``,
    ``end`` and ``answer`` of the best answer are added; with ``top_k`` above 1 also ``answers``,
    the list of all. The forms follow the names of the files. Answers are collected in a file beside
    `target` that ends with ``.part``, one line per row: when the work was interrupted, the next
    call with the same source, options and `model` (a text that names it) goes on after the last
    whole line. `target` itself appears when all rows are answered.

    Raises:
        ConfigError: the form of a file is unknown, or a row lacks a question or context or has a
            column of the answers already.
        ValueError: `source` cannot be read.
    """
    for path in (source, target):
        if path.suffix not in _FORMS:
            raise ConfigError(f"{path}: must end with one of {', '.join(_FORMS)}")
    file = source.stat()
    settings = (source, file.st_size, file.st_mtime_ns, model, question, context, options)
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=4).hexdigest()
    part = target.with_name(f"{target.name}.{digest}.part")
    done = _drop_half_a_line(part)
    rows = islice(enumerate(read_rows(source), start=1), done, None)
    with tqdm(initial=done, unit="row", delay=1) as progress:
        while chunk := list(islice(rows, _ROWS)):
            for number, row in chunk:
                where = f"{source}, row {number}"
                check_texts(row, where, names=(question, context))
                if clash := [name for name in _ADDED if name in row]:
                    rule = "which the answers need; rename it"
                    raise ConfigError(f"{where}: has a column {clash[0]}, {rule}")
            pairs = [{"question": row[question], "context": row[context]} for _, row in chunk]
            answers = reader(pairs, **options)
            with writing(part), part.open("a", encoding="utf-8") as lines:
                for (_, row), found in zip(chunk, answers, strict=True):
                    best = found[0] if isinstance(found, list) else found
                    every = {"answers": found} if isinstance(found, list) else {}
                    lines.write(json.dumps({**row, **best, **every}, ensure_ascii=False) + "\n")
            progress.update(len(chunk))
            done += len(chunk)
    if not done:
        raise ConfigError(f"{source}: holds no row")
    _convert(part, target)
    return done


def check_texts(row: Row, where: str, *, names: Sequence[str]) -> None:
    """Make sure that the columns of these names are text.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        if not isinstance(row.get(name), str):
            raise ConfigError(f"{where}: {name} must be text; the columns are {', '.join(row)}")


def read_rows(source: Path) -> Iterator[Row]:
    """Read the rows of a file, a few in memory at a time; the fields of a csv file are text."""
    if source.suffix == ".jsonl":
        for number, line in iterate_bytes(source):
            if line.strip():
                where = f"{source}, line {number}"
                row = parse_json(decode_line(line, where), where)
                if not isinstance(row, dict):
                    raise ConfigError(f"{where}: {type(row).__name__} where an object is needed")
                yield row
    elif source.suffix == ".csv":
        with reading(source):
            for table in pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=_ROWS):
                yield from table.to_dict("records")
    else:
        with reading(source):
            for batch in pq.ParquetFile(source).iter_batches(_ROWS):
                yield from batch.to_pylist()


def _drop_half_a_line(part: Path) -> int:
    """Cut off what follows the last line break; return the number of lines."""
    if not part.is_file():
        part.parent.mkdir(parents=True, exist_ok=True)
        return 0
    lines, end = 0, 0
    with part.open("rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
        file.truncate(end)
    return lines


def _convert(part: Path, target: Path) -> None:
    """Make `target` of all the lines of `part`, a few in memory at a time; remove `part`."""
    if target.suffix == ".jsonl":
        part.replace(target)
        return
    with write_whole(target) as building:
        if target.suffix == ".csv":
            names = dict.fromkeys(name for row in _read_lines(part) for name in row)
            with building.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(names))
                writer.writeheader()
                writer.writerows(_read_lines(part))
        else:
            schemas = [table.schema for table in _read_tables(part)]
            schema = pa.unify_schemas(schemas, promote_options="permissive")
            with pq.ParquetWriter(building, schema) as writer:
                for table in _read_tables(part, schema):
                    writer.write_table(table)
    part.unlink()


def _read_lines(part: Path) -> Iterator[Row]:
    with part.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _read_tables(part: Path, schema: pa.Schema | None = None) -> Iterator[pa.Table]:
    """Read the lines as tables of a few rows; without a schema each has that of its own rows."""
    lines = _read_lines(part)
    while rows := list(islice(lines, _ROWS)):
        names = dict.fromkeys(name for row in rows for name in row)
        every = [dict.fromkeys(names) | row for row in rows]
        yield pa.Table.from_pylist(every, schema=schema)
