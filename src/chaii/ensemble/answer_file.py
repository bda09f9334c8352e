"""Answer the questions of a file: csv, jsonl or parquet in, the same with answers out."""

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from tqdm import tqdm

from chaii.config.errors import ConfigError
from chaii.files import write_whole

_ROWS = 64  # answered, and then written, together
_FORMS = (".csv", ".jsonl", ".parquet")


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

    `question` and `context` name the columns; all columns are kept, and ``answer``, ``score``,
    ``start`` and ``end`` of the best answer are added; with ``top_k`` above 1 also ``answers``, the
    list of all. The forms follow the names of the files. Answers are collected in a file beside
    `target` that ends with ``.part``, one line per row: when the work was interrupted, the next
    call with the same source, options and `model` (a text that names it) goes on after the last
    whole line. `target` itself appears when all rows are answered.

    Raises:
        ConfigError: the form of a file is unknown, or a column is missing.
    """
    for path in (source, target):
        if path.suffix not in _FORMS:
            raise ConfigError(f"{path}: must end with one of {', '.join(_FORMS)}")
    file = source.stat()
    settings = (source, file.st_size, file.st_mtime_ns, model, question, context, options)
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=4).hexdigest()
    part = target.with_name(f"{target.name}.{digest}.part")
    done = _drop_half_a_line(part)
    rows = islice(_read_rows(source), done, None)
    with part.open("a", encoding="utf-8") as lines, tqdm(initial=done, unit="row") as progress:
        while chunk := list(islice(rows, _ROWS)):
            if missing := {question, context} - set(chunk[0]):
                raise ConfigError(f"{source}: no column {', '.join(sorted(missing))}")
            pairs = [{"question": row[question], "context": row[context]} for row in chunk]
            for row, found in zip(chunk, reader(pairs, **options), strict=True):
                best = found[0] if isinstance(found, list) else found
                every = {"answers": found} if isinstance(found, list) else {}
                lines.write(json.dumps({**row, **best, **every}, ensure_ascii=False) + "\n")
            lines.flush()
            progress.update(len(chunk))
            done += len(chunk)
    if target.suffix == ".jsonl":
        part.replace(target)
        return done
    table = pd.read_json(part, lines=True, dtype=False, convert_dates=False)
    with write_whole(target) as building:
        if target.suffix == ".csv":
            table.to_csv(building, index=False)
        else:
            table.to_parquet(building, index=False)
    part.unlink()
    return done


def _read_rows(source: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a file, a few in memory at a time; the fields of a csv file are text."""
    if source.suffix == ".jsonl":
        with source.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    elif source.suffix == ".csv":
        for table in pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=_ROWS):
            yield from table.to_dict("records")
    else:
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
