"""Scores by slice of the rows: language, kind of answer, context length, answer position."""

import numpy as np
import pandas as pd
import regex

from chaii.evaluation.bootstrap import bootstrap_interval

ANSWER_KINDS = {
    "date": "a year or a span of years, or a digit beside a month or an era",
    "number": "begins with a digit or with the sign of a currency",
    "one word": "",
    "short phrase": "2 to 4 words",
    "long": "5 words or more",
    "none": "no accepted answer",
}
_FEWEST_CLUSTERS = 10  # too few to draw from
_FIFTHS = ["first fifth", "second fifth", "third fifth", "fourth fifth", "last fifth", "none"]

# One of these words, in Hindi, Tamil or English, and a digit make a date. Suffixes may follow a
# month in Hindi and Tamil; only the words that begin other words must end at a word's end.
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
    """Classify an answer by its letters and digits, of any script: a key of `ANSWER_KINDS`.

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
    """Number of rows, mean of a metric and its 95 % bootstrap interval: rows, mean, low, high.

    Rows are drawn by their column `cluster`. With fewer than 10 clusters the interval is NaN.

    >>> table = pd.DataFrame({"cluster": range(20), "jaccard": 0.5})
    >>> describe_scores(table, "jaccard", seed=0)
    {'rows': 20, 'mean': 0.5, 'low': 0.5, 'high': 0.5}
    """
    clusters = rows["cluster"].to_list()
    mean, low, high = bootstrap_interval(rows[metric], clusters=clusters, seed=seed)
    if len(set(clusters)) < _FEWEST_CLUSTERS:
        low = high = float("nan")
    return {"rows": len(rows), "mean": mean, "low": low, "high": high}


def tabulate_slices(rows: pd.DataFrame, *, seed: int) -> dict[str, pd.DataFrame]:
    """Jaccard of the rows of each language, kind of answer, context length and answer position.

    `rows` has the columns language, context, answer_text and answer_start (lists, whose first item
    counts), cluster and jaccard. Each table has the columns rows, mean, low, high and label (see
    `describe_scores`), without labels that no row has.
    """
    kinds = [classify_answer(next(iter(texts), "")) for texts in rows["answer_text"]]
    fifths = [
        min(5 * int(starts[0]) // max(len(context), 1), 4) if len(starts) else 5
        for context, starts in zip(rows["context"], rows["answer_start"], strict=True)
    ]
    slices = {
        "language": rows["language"],
        "answer": pd.Categorical(kinds, list(ANSWER_KINDS)),
        "context length": _name_quarters(rows["context"].str.len()),
        "answer position": pd.Categorical.from_codes(fifths, _FIFTHS),
    }
    return {
        title: pd.DataFrame(
            describe_scores(part, "jaccard", seed=seed) | {"label": label}
            for label, part in rows.groupby(labels, observed=True)
        )
        for title, labels in slices.items()
    }


def _name_quarters(lengths: pd.Series) -> pd.Categorical:
    """Name the quarter of each length by its shortest and longest; equal lengths stay together."""
    cuts = np.unique(np.quantile(lengths, [0.25, 0.5, 0.75]))
    quarters = lengths.groupby(np.searchsorted(cuts, lengths))
    shortest, longest = quarters.transform("min"), quarters.transform("max")
    names = [f"{low:,}–{high:,}" for low, high in zip(shortest, longest, strict=True)]
    return pd.Categorical(names, [names[row] for row in np.unique(shortest, return_index=True)[1]])
