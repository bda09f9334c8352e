"""Write the competition's submission file, or refuse to."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

# Line breaks as str.splitlines knows them, NUL, and half surrogate pairs, which UTF-8 cannot hold.
_UNWRITABLE = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\0\ud800-\udfff]")
_SHOWN = 3


class SubmissionError(ValueError):
    """Answers that would make a wrong submission."""


def flatten_whitespace(text: str) -> str:
    """Put one blank for every run of whitespace, line breaks among it, and none at the ends.

    No score changes: the metric splits words at the same places.

    >>> flatten_whitespace(" 15 अगस्त\\n1947 ")
    '15 अगस्त 1947'
    """
    return " ".join(text.split())


def write_submission(
    path: Path | str, answers: pd.DataFrame, *, expected_ids: Sequence[str]
) -> Path:
    """Write `id,PredictionString`, one row an expected id and in their order.

    UTF-8, "\\n" at line ends, every field quoted, so that an empty answer or "NA" comes back as
    text from `pandas.read_csv(path, keep_default_na=False)`. The file appears whole or not at all;
    missing folders are made.

    Raises:
        SubmissionError: `answers` (id, prediction) lacks a column or an expected id, holds an id
            twice or one too many, or a prediction that is no text or breaks a line (see
            `flatten_whitespace`). Nothing is written then.
    """
    path = Path(path)
    absent = [column for column in ("id", "prediction") if column not in answers.columns]
    if absent:
        raise SubmissionError(f"{path}: not written: answers lack the column {', '.join(absent)}")
    ids, predictions = answers["id"].to_list(), answers["prediction"].to_list()
    faults = _find_faults(ids, predictions, expected_ids)
    if faults:
        raise SubmissionError(f"{path}: not written: {'; '.join(faults)}")
    prediction_of = dict(zip(ids, predictions, strict=True))
    content = io.StringIO(newline="")
    writer = csv.writer(content, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["id", "PredictionString"])
    writer.writerows([row_id, prediction_of[row_id]] for row_id in expected_ids)
    _write_whole(path, content.getvalue().encode("utf-8"))
    return path


def _find_faults(
    ids: Sequence[str], predictions: Sequence[object], expected_ids: Sequence[str]
) -> list[str]:
    given, expected = set(ids), set(expected_ids)
    rows = list(zip(ids, predictions, strict=True))
    offending = {
        "missing id": [row_id for row_id in expected_ids if row_id not in given],
        "extra id": [row_id for row_id in ids if row_id not in expected],
        "duplicate id": _repeated(ids),
        "duplicate expected id": _repeated(expected_ids),
        "prediction that is no text (NaN, None)": [
            row_id for row_id, text in rows if not isinstance(text, str)
        ],
        "prediction with a line break": [
            row_id for row_id, text in rows if isinstance(text, str) and _UNWRITABLE.search(text)
        ],
    }
    return [_describe(fault, found) for fault, found in offending.items() if found]


def _repeated(ids: Sequence[str]) -> list[str]:
    return [row_id for row_id, count in Counter(ids).items() if count > 1]


def _describe(fault: str, ids: Sequence[str]) -> str:
    shown = ", ".join(str(row_id) for row_id in ids[:_SHOWN])
    return f"{len(ids)} x {fault}: {shown}{', …' if len(ids) > _SHOWN else ''}"


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
