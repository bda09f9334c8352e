"""Score predicted answers: word-level Jaccard (the competition's metric), exact match and F1."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import regex

METRICS = ("jaccard", "exact", "f1")

_PUNCTUATION = regex.compile(r"[\p{P}$+<=>^`|~]")  # every category P*, and ASCII symbols
_HAN = regex.compile("[\u4e00-\u9fa5]")
_CODES = {"arabic": "ar", "chinese": "zh", "english": "en", "german": "de"}
_CODES |= {"spanish": "es", "vietnamese": "vi"}
_ARTICLES = {
    "ar": re.compile("ال"),
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": re.compile(r"\b(?:a|an|the)\b"),
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
}


def jaccard(prediction: str, gold: str) -> float:
    """Share of distinct lower-case words that two texts have in common, 0 to 1.

    Words are what `str.split` gives: punctuation stays. Two texts without words agree: 1.
    Source: the evaluation page of chaii - Hindi and Tamil Question Answering (Kaggle, 2021), which
    divides by zero on two empty texts.

    >>> jaccard("भारत की राजधानी", "भारत की")
    0.6666666666666666
    >>> jaccard("", " ")
    1.0
    """
    predicted, accepted = set(prediction.lower().split()), set(gold.lower().split())
    if not predicted and not accepted:
        return 1.0
    return len(predicted & accepted) / len(predicted | accepted)


def best_jaccard(prediction: str, golds: Sequence[str]) -> float:
    """The largest Jaccard with an accepted answer; no accepted answer means the empty one.

    >>> best_jaccard("नई दिल्ली", ["दिल्ली", "नई दिल्ली में"])
    0.6666666666666666
    """
    return max(jaccard(prediction, gold) for gold in list(golds) or [""])


def exact_match(prediction: str, gold: str, *, language: str) -> float:
    """1 where both texts are equal after normalisation (see `f1`), else 0.

    >>> exact_match("The cat.", "cat", language="english")
    1.0
    """
    return float(_normalise(prediction, language) == _normalise(gold, language))


def f1(prediction: str, gold: str, *, language: str) -> float:
    """Harmonic mean of the precision and recall of words, repeated words counted, 0 to 1.

    Both texts are put in lower case, stripped of punctuation and split at whitespace. Combining
    marks stay, so that Indic words stay whole. `language` is a name or a code: "english" or "en".
    Articles are left out in Arabic, English, German, Spanish and Vietnamese, and every character of
    Chinese is a word. Two texts without words agree: 1.

    Source: mlqa_evaluation_v1.py of MLQA; for English, evaluate-v1.1.py of SQuAD.

    >>> f1("नई दिल्ली।", "दिल्ली", language="hindi")
    0.6666666666666666
    """
    predicted = _normalise(prediction, language).split()
    accepted = _normalise(gold, language).split()
    if not predicted or not accepted:
        return float(predicted == accepted)
    shared = (Counter(predicted) & Counter(accepted)).total()
    return 2 * shared / (len(predicted) + len(accepted))


def score_rows(
    predictions: Sequence[str], golds: Sequence[Sequence[str]], languages: Sequence[str]
) -> pd.DataFrame:
    """Score every row: float columns jaccard, exact and f1, one row per prediction, in order.

    Each metric takes the accepted answer that it scores highest. An empty list of accepted answers
    means that the right answer is the empty text.

    Raises:
        ValueError: the three sequences differ in length.

    >>> score_rows(["Paris"], [["paris", "Paris, France"]], ["english"]).to_dict("records")
    [{'jaccard': 1.0, 'exact': 1.0, 'f1': 1.0}]
    """
    if not len(predictions) == len(golds) == len(languages):
        golden = f"{len(golds)} golds in {len(languages)} languages: the lengths must agree"
        raise ValueError(f"cannot score {len(predictions)} predictions against {golden}")
    rows = []
    for prediction, gold, language in zip(predictions, golds, languages, strict=True):
        accepted = list(gold) or [""]
        exact = max(exact_match(prediction, text, language=language) for text in accepted)
        best_f1 = max(f1(prediction, text, language=language) for text in accepted)
        rows.append((best_jaccard(prediction, accepted), exact, best_f1))
    return pd.DataFrame(rows, columns=list(METRICS), dtype="float64")


def score_answers(
    predictions: Sequence[str], golds: Sequence[Sequence[str]], languages: Sequence[str]
) -> dict[str, Any]:
    """Mean of every metric over all rows and, under "language", over the rows of each language.

    Scores are Python floats between 0 and 1 and "rows" is an int, ready for JSON. Languages are
    sorted by name. For `golds` see `score_rows`.

    Raises:
        ValueError: the sequences differ in length, or there is no row.

    >>> score_answers(["a b"], [["a"]], ["tamil"])["language"]["tamil"]["jaccard"]
    0.5
    """
    if not len(predictions):
        raise ValueError("cannot score 0 predictions: a mean needs at least one row")
    scores = score_rows(predictions, golds, languages)
    by_language = scores.groupby(pd.Series(list(languages), dtype="object"), sort=True)
    of_each = {str(language): _mean_scores(rows) for language, rows in by_language}
    return {**_mean_scores(scores), "language": of_each}


def format_scores(scores: Mapping[str, Any]) -> str:
    """Format the scores of one model, as `score_answers` gives them: all rows, each language."""
    rows = [{"rows of": "all", **scores}]
    rows += [{"rows of": language, **of} for language, of in scores["language"].items()]
    return format_table(pd.DataFrame(rows)[["rows of", "rows", *METRICS]])


def tabulate_scores(lines: Sequence[tuple[str, str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Make one row per (kind, name, scores): all metrics, then the Jaccard of each language.

    `scores` as `score_answers` gives them. The kinds are member, average, and those of a method.
    """
    rows = [
        {"kind": kind, "name": name, "rows": scores["rows"]}
        | {metric: scores[metric] for metric in METRICS}
        | {language: score["jaccard"] for language, score in scores["language"].items()}
        for kind, name, scores in lines
    ]
    return pd.DataFrame(rows, columns=None if rows else ["kind", "name", "rows", *METRICS])


def format_table(table: pd.DataFrame) -> str:
    """Format a table in Markdown, its scores with four decimals.

    >>> print(format_table(pd.DataFrame({"run": ["a"], "rows": [3], "f1": [0.5]})))
    | run   |   rows |     f1 |
    |-------|--------|--------|
    | a     |      3 | 0.5000 |
    """
    return str(table.to_markdown(index=False, tablefmt="github", floatfmt=".4f"))


def _mean_scores(scores: pd.DataFrame) -> dict[str, float | int]:
    means = {metric: float(scores[metric].mean()) for metric in METRICS}
    return {**means, "rows": len(scores)}


def _normalise(text: str, language: str) -> str:
    code = _CODES.get(language.lower(), language.lower())
    text = _PUNCTUATION.sub("", text.lower())
    if code in _ARTICLES:
        text = _ARTICLES[code].sub(" ", text)
    if code == "zh":
        text = _HAN.sub(r" \g<0> ", text)
    return " ".join(text.split())
