"""Write the competition's submission file, or refuse to."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from chaii.files import write_whole

# Line breaks as in str.splitlines, NUL, and half surrogate pairs, which UTF-8 cannot hold.
_UNWRITABLE = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\0\ud800-\udfff]")
_SHOWN = 3


class SubmissionError(ValueError):
    """Answers that would make a wrong submission."""


def flatten_whitespace(text: str) -> str:
    """Replace every run of whitespace, line breaks included, by one space, and trim both ends.

    No score changes: the metric splits words at the same places.

    >>> flatten_whitespace(" 15 अगस्त\\n1947 ")
    '15 अगस्त 1947'
    """
    return " ".join(text.split())


def write_submission(path: Path, answers: pd.DataFrame, *, expected_ids: Sequence[str]) -> Path:
    """Write `id,PredictionString`, one row per expected id and in their order.

    The file is UTF-8 with "\\n" at line ends and quotes around every field, so that an empty answer
    or "NA" is read back as text by `pandas.read_csv(path, keep_default_na=False)`.

    Raises:
        SubmissionError: `answers` (id, prediction) lacks an expected id, has an id twice or an
            unexpected one, or has a prediction that is not text or that breaks a line (see
            `flatten_whitespace`). Nothing is written then.
    """
    ids, predictions = answers["id"].to_list(), answers["prediction"].to_list()
    rows = dict(zip(ids, predictions, strict=True))
    expected = set(expected_ids)
    texts = {row_id: text for row_id, text in rows.items() if isinstance(text, str)}
    faults = {
        "missing id": [row_id for row_id in expected_ids if row_id not in rows],
        "extra id": [row_id for row_id in ids if row_id not in expected],
        "duplicate id": [row_id for row_id, count in Counter(ids).items() if count > 1],
        "duplicate expected id": [name for name, n in Counter(expected_ids).items() if n > 1],
        "prediction that is no text (NaN, None)": [name for name in rows if name not in texts],
        "prediction with a line break": [name for name in texts if _UNWRITABLE.search(texts[name])],
    }
    messages = [
        f"{len(found)} x {fault}: {', '.join(found[:_SHOWN])}{', …' * (len(found) > _SHOWN)}"
        for fault, found in faults.items()
        if found
    ]
    if messages:
        raise SubmissionError(f"{path}: not written: {'; '.join(messages)}")
    with write_whole(path) as building, building.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["id", "PredictionString"])
        writer.writerows([row_id, rows[row_id]] for row_id in expected_ids)
    return path
