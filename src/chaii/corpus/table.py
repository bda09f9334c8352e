"""The table of examples: in memory, or streamed to an Arrow file and memory-mapped.

A stored table is found by a digest of all that it was made from: the files' names, sizes and
times, the settings, and the code of this package. So it cannot outlive a change of any of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, List, Value

from chaii.config.corpora import CorpusConfig
from chaii.corpus.reports import CorpusReport, dump_report, load_report

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
_BATCH_ROWS = 256
_BATCH_CHARACTERS = 4_000_000  # bounds memory, and stays far under Arrow's 2 GB a string column
_SETTLED = 2_000_000_000  # nanoseconds; no file system keeps coarser times
_DESCRIPTIVE = {
    "description",
    "homepage",
    "licence",
    "download",
    "path",
}  # the files stand for path


def build_table(rows: Iterable[dict[str, Any]]) -> Dataset:
    """The rows as a Dataset in memory, with the columns of `EXAMPLE_FEATURES`."""
    # Not Dataset.from_generator: its cache, keyed by the arguments, outlives a change of the file.
    table = pa.Table.from_batches(_iterate_batches(rows), schema=EXAMPLE_FEATURES.arrow_schema)
    return Dataset(table, info=DatasetInfo(features=EXAMPLE_FEATURES))


def fingerprint_source(name: str, corpus: CorpusConfig, files: Sequence[Path]) -> str:
    """Digest of everything that a corpus's table depends on, in hexadecimal."""
    settings = dataclasses.asdict(corpus)
    parts: list[object] = [name, _fingerprint_code()]
    parts += sorted((key, str(settings[key])) for key in settings if key not in _DESCRIPTIVE)
    for path in files:
        state = path.stat()
        parts.append((str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def find_table(path: Path, files: Sequence[Path]) -> bool:
    """Whether a table is stored at `path` and can be trusted.

    A file that changed just before its table was written may have changed again within one tick
    of the file system's clock, unseen: such a table is not trusted.
    """
    if not (path.is_file() and path.with_suffix(".json").is_file()):
        return False
    states = [file.stat() for file in files]
    newest = max(max(state.st_mtime_ns, state.st_ctime_ns) for state in states)
    return path.stat().st_mtime_ns - newest > _SETTLED


def write_table(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Stream the rows to an Arrow file beside `path`; `publish_table` moves it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        prefix=f".{path.stem}-", suffix=".part", dir=path.parent, delete=False
    ) as file:
        written = Path(file.name)
        try:
            with pa.ipc.new_stream(file, EXAMPLE_FEATURES.arrow_schema) as writer:
                for batch in _iterate_batches(rows):
                    writer.write_batch(batch)
        except BaseException:  # an interrupted run must not leave gigabytes behind either
            written.unlink()
            raise
    return written


def publish_table(written: Path, path: Path, report: CorpusReport) -> None:
    """Move a written table to `path`, its report beside it: what lies there is complete."""
    note = written.with_suffix(".json")
    note.write_text(dump_report(report), encoding="utf-8")
    note.replace(path.with_suffix(".json"))
    written.replace(path)


def open_table(path: Path) -> tuple[Dataset, CorpusReport]:
    """The stored table, memory-mapped, and its report."""
    report = load_report(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Dataset.from_file(str(path)), report


def _iterate_batches(rows: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    schema = EXAMPLE_FEATURES.arrow_schema
    batch: list[dict[str, Any]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row["context"])
        if len(batch) == _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield pa.RecordBatch.from_pylist(batch, schema=schema)
            batch, characters = [], 0
    if batch:
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


@cache
def _fingerprint_code() -> str:
    digest = hashlib.blake2b()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
