"""Scores of rows that are alike: by language, kind of answer, context length, answer position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import regex
from numpy.typing import NDArray

from chaii.evaluation.bootstrap import bootstrap_interval

ANSWER_KINDS = {
    "date": "a year or a span of years, or a digit beside a month or an era",
    "number": "begins with a digit or with the sign of a currency",
    "one word": "",
    "short phrase": "2 to 4 words",
    "long": "5 words or more",
    "none": "no accepted answer",
}
_FEWEST_GROUPS = 10  # an interval of fewer says nothing
_FIFTHS = ["first fifth", "second fifth", "third fifth", "fourth fifth", "last fifth", "none"]

# A word of one of these, in Hindi, Tamil or English, next to a digit makes a date. Suffixes may
# follow a month in Hindi and Tamil, so only what is short enough to begin other words is closed.
_MONTHS = (
    "जनवरी फरवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर सितम्बर अक्टूबर अक्तूबर नवंबर नवम्बर दिसंबर दिसम्बर "
    "ஜனவரி பிப்ரவரி மார்ச் ஏப்ரல் ஜூன் ஜூலை ஆகஸ்ட் ஆகஸ்டு செப்டம்பர் செப்டெம்பர் அக்டோபர் நவம்பர் டிசம்பர் "
    "january february march april june july august september october november december"
)
_DATE_WORD = regex.compile(
    rf"\b(?:{'|'.join(_MONTHS.split())}|(?:may|மே|bc|bce|ad|ce|सन|सन्|ईस्वी|ईसवी|ईसा)\b"
    r"|ई\.|கி\.\s?(?:பி|மு)|b\.c|a\.d)",
    regex.IGNORECASE,
)
_YEARS = regex.compile(r"(?:1\d|20)\d\d(?:\s?[-–—/]\s?\d{2,4})?")
_NUMBER = regex.compile(r"[\p{P}~+]*(?:\d|\p{Sc}|(?:US|Rs|रु)\W*[\d\p{Sc}])")


def classify_answer(text: str) -> str:
    """Key of `ANSWER_KINDS` whose rule an answer meets first, by its letters and digits alone.

    Digits of every script count.

    >>> [classify_answer(text) for text in ("१५ अगस्त १९४७", "2,525 किमी", "நியூ யார்க்")]
    ['date', 'number', 'short phrase']
    """
    text = "".join(str(int(char)) if char.isdecimal() else char for char in text.strip())
    if _YEARS.fullmatch(text.strip(" .,।")):
        return "date"
    if regex.search(r"\d", text) and _DATE_WORD.search(text):
        return "date"
    if _NUMBER.match(text):
        return "number"
    words = len(text.split())
    if words < 2:
        return "one word" if words else "none"
    return "short phrase" if words <= 4 else "long"


def describe_scores(rows: pd.DataFrame, metric: str, *, seed: int) -> dict[str, float]:
    """Count, mean and its 95 % bootstrap interval: rows, mean, low, high.

    Rows with the same value in the column group are drawn together. With fewer than 10 groups the
    interval is NaN.

    >>> table = pd.DataFrame({"group": range(20), "jaccard": 0.5})
    >>> describe_scores(table, "jaccard", seed=0)
    {'rows': 20, 'mean': 0.5, 'low': 0.5, 'high': 0.5}
    """
    groups = rows["group"].to_list()
    mean, low, high = bootstrap_interval(rows[metric], groups=groups, seed=seed)
    if len(set(groups)) < _FEWEST_GROUPS:
        low = high = float("nan")
    return {"rows": len(rows), "mean": mean, "low": low, "high": high}


def tabulate_slices(rows: pd.DataFrame, *, seed: int) -> dict[str, pd.DataFrame]:
    """Jaccard of the rows of each language, kind of answer, context length and answer position.

    `rows` has the columns language, context, answer_text and answer_start (lists, the first
    counts), group and jaccard. Each table has the columns label, rows, mean, low and high (see
    `describe_scores`), without labels that no row has.
    """
    texts = [next(iter(texts), "") for texts in rows["answer_text"]]
    kinds = list(map(classify_answer, texts))
    slices = {
        "language": (rows["language"], sorted(rows["language"].unique())),
        "answer": (kinds, list(ANSWER_KINDS)),
        "context length": _label_quarters(rows["context"].str.len().to_numpy()),
        "answer position": (_place_answers(rows), _FIFTHS),
    }
    return {
        title: _tabulate(rows, labels, order, seed) for title, (labels, order) in slices.items()
    }


def _tabulate(
    rows: pd.DataFrame, labels: Sequence[str], order: Sequence[str], seed: int
) -> pd.DataFrame:
    groups = dict(list(rows.groupby(pd.Series(list(labels), index=rows.index))))
    present = [label for label in order if label in groups]
    scores = [describe_scores(groups[label], "jaccard", seed=seed) for label in present]
    return pd.DataFrame(scores).assign(label=present)


def _label_quarters(lengths: NDArray[np.int64]) -> tuple[list[str], list[str]]:
    """Name the quarter each length lies in by its shortest and longest; equal lengths stay one."""
    cuts = np.unique(np.quantile(lengths, [0.25, 0.5, 0.75]))
    quarter = np.searchsorted(cuts, lengths)
    names = {}
    for number in np.unique(quarter):
        inside = lengths[quarter == number]
        names[number] = f"{inside.min():,}–{inside.max():,}"
    return [names[number] for number in quarter], list(names.values())


def _place_answers(rows: pd.DataFrame) -> list[str]:
    """Fifth of the context that the first accepted answer begins in."""
    return [
        _FIFTHS[min(5 * int(starts[0]) // max(len(context), 1), 4)] if len(starts) else "none"
        for context, starts in zip(rows["context"], rows["answer_start"], strict=True)
    ]
