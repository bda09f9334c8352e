"""Tables of scores for people: of one model by language, and of many models side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from chaii.evaluation.metrics import METRICS


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
