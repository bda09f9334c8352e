"""The table of examples: in memory, or streamed to an Arrow file and memory-mapped.

A stored table is found by a digest of all that it was made from: the files' names, sizes and
times, the settings, and the code of this package. So it cannot outlive a change of any of them.
`Dataset.from_generator` streams too, but it wraps every error, does not check a table that it
opens, and has no place for the report.
"""

import dataclasses
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, List, Value
from numpy.typing import NDArray

from chaii.config.corpora import CorpusConfig
from chaii.corpus.checks import CorpusReport, load_report
from chaii.files import open_or_make, save_json

Corpora = Mapping[str, Dataset]  # by their names
RowNumbers = Mapping[str, NDArray[np.int64]]  # by the names of their corpora
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
_TABLE, _REPORT = "examples.arrow", "report.json"
_BATCH_ROWS = 256  # bounds memory, and stays far under Arrow's 2 GB per string column
_SETTLED = 2_000_000_000  # nanoseconds; no file system has coarser times
# The files represent the path.
_DESCRIPTIVE = {"description", "homepage", "licence", "download", "path"}


def build_table(rows: Iterable[dict[str, Any]]) -> Dataset:
    """The rows as a Dataset in memory, with the columns of `EXAMPLE_FEATURES`."""
    table = pa.Table.from_batches(_batches(rows), schema=EXAMPLE_FEATURES.arrow_schema)
    return Dataset(table, info=DatasetInfo(features=EXAMPLE_FEATURES))


def open_table(
    home: Path, rows: Callable[[], Iterable[dict[str, Any]]], *, report: Callable[[], CorpusReport]
) -> tuple[Dataset, CorpusReport]:
    """Open the table in the folder `home`; if it is missing or damaged, stream `rows` to it first.

    `report` is called when the rows have ended, and stored beside them. Processes that start
    together build the table once.
    """

    def make(building: Path) -> None:
        building.mkdir()
        path = building / _TABLE
        with (
            path.open("wb") as file,
            pa.ipc.new_stream(file, EXAMPLE_FEATURES.arrow_schema) as writer,
        ):
            for batch in _batches(rows()):
                writer.write_batch(batch)
        note = {"checksum": _checksum(path), "report": dataclasses.asdict(report())}
        save_json(building / _REPORT, note, indent=1)

    return open_or_make(home, lambda: _open_whole(home), make, remedy="its corpus is read again")


def _open_whole(home: Path) -> tuple[Dataset, CorpusReport] | None:
    """The memory-mapped table and its report; None if a part is missing or damaged."""
    try:
        note = json.loads((home / _REPORT).read_text(encoding="utf-8"))
        if _checksum(home / _TABLE) != note["checksum"]:
            return None
        return Dataset.from_file(str(home / _TABLE)), load_report(note["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksum(path: Path) -> int:
    """CRC-32 of a file: a second for 1.5 GB."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    stream = iter(rows)
    while batch := list(islice(stream, _BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(batch, schema=EXAMPLE_FEATURES.arrow_schema)


def is_settled(files: Sequence[Path]) -> bool:
    """Whether the files' times are old enough to tell whether the files changed.

    A file that changed just now may change again within one tick of the file system's clock,
    unnoticed: its rows must not be stored.
    """
    states = [file.stat() for file in files]
    newest = max(max(state.st_mtime_ns, state.st_ctime_ns) for state in states)
    return time.time_ns() - newest > _SETTLED


def fingerprint_source(name: str, corpus: CorpusConfig, files: Sequence[Path]) -> str:
    """Digest of everything that a corpus's table depends on, in hexadecimal."""
    settings = dataclasses.asdict(corpus)
    parts: list[object] = [name, fingerprint_code()]
    parts += sorted((key, str(settings[key])) for key in settings if key not in _DESCRIPTIVE)
    for path in files:
        state = path.stat()
        parts.append((str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


@cache
def fingerprint_code() -> str:
    """Digest of the code of this package."""
    digest = hashlib.blake2b()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
