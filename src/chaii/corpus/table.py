"""The table of examples: in memory, or streamed to an Arrow file and memory-mapped.

A stored table is found by a digest of all that it was made from: the files' names, sizes and
times, the settings, and the code of this package. So it cannot outlive a change of any of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, List, Value
from datasets.exceptions import DatasetGenerationError

from chaii.config.corpora import CorpusConfig
from chaii.corpus.reports import CorpusReport, dump_report, load_report
from chaii.files import write_whole

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
_BATCH_ROWS = 256  # bounds memory, and stays far under Arrow's 2 GB per string column
_SETTLED = 2_000_000_000  # nanoseconds; no file system has coarser times
# The files represent the path.
_DESCRIPTIVE = {"description", "homepage", "licence", "download", "path"}


def build_table(rows: Iterable[dict[str, Any]]) -> Dataset:
    """The rows as a Dataset in memory, with the columns of `EXAMPLE_FEATURES`."""
    schema, stream = EXAMPLE_FEATURES.arrow_schema, iter(rows)
    batches = iter(lambda: list(islice(stream, _BATCH_ROWS)), [])
    table = pa.Table.from_batches(
        (pa.RecordBatch.from_pylist(batch, schema=schema) for batch in batches), schema=schema
    )
    return Dataset(table, info=DatasetInfo(features=EXAMPLE_FEATURES))


def store_table(
    folder: Path,
    key: str,
    rows: Callable[[], Iterator[dict[str, Any]]],
    *,
    report: Callable[[], CorpusReport],
) -> tuple[Dataset, CorpusReport]:
    """Open the table stored under `folder`; where there is none, stream `rows` to it.

    `report` is called when the rows have ended, and stored beside them.
    """
    note = folder / f"{key}.json"

    def write() -> Iterator[dict[str, Any]]:
        yield from rows()
        with write_whole(note) as building:
            building.write_text(dump_report(report()), encoding="utf-8")

    try:  # the library streams, memory-maps and locks
        table = Dataset.from_generator(
            write,
            features=EXAMPLE_FEATURES,
            cache_dir=str(folder),
            fingerprint=key,
            writer_batch_size=_BATCH_ROWS,
        )
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    return table, load_report(note.read_text(encoding="utf-8"))


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
