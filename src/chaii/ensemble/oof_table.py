"""Tables of held-out rows: scores of all that answered them, and the answers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from datasets import Dataset

from chaii.config.ensemble import MethodConfig
from chaii.ensemble.methods import MemberPredictions
from chaii.evaluation.metrics import METRICS, best_jaccard

Key = tuple[str, str]  # corpus and id: ids are unique inside a corpus alone
_EXAMPLE = ["id", "corpus", "language", "question", "context", "answer_text", "answer_start"]
_ANSWER = ["prediction", "score", "start_char", "end_char"]
_MEMBER = ["prediction", "start_char", "end_char"]


def example_keys(examples: Dataset) -> list[Key]:
    """What identifies each example across runs."""
    return list(zip(examples["corpus"], examples["id"], strict=True))


def tabulate_scores(lines: Sequence[tuple[str, str, Mapping[str, Any]]]) -> pd.DataFrame:
    """One row for each (kind, name, scores): all metrics, then the Jaccard of each language."""
    rows = [
        {"kind": kind, "name": name, "rows": scores["rows"]}
        | {metric: scores[metric] for metric in METRICS}
        | {language: score["jaccard"] for language, score in scores["language"].items()}
        for kind, name, scores in lines
    ]
    return pd.DataFrame(rows, columns=None if rows else ["kind", "name", "rows", *METRICS])


def tabulate_oof(
    examples: Dataset, answers: pd.DataFrame, predictions: MemberPredictions, method: MethodConfig
) -> pd.DataFrame:
    """Held-out rows with their answers and what each voter said, for an error report.

    Columns: those of an example; prediction, score, start_char, end_char; jaccard; and members, a
    list of {name, prediction, start_char, end_char}, the voter ranked first at its head.
    """
    table = pd.DataFrame({name: examples[name][:] for name in _EXAMPLE})
    table = pd.concat([table, answers[_ANSWER].reset_index(drop=True)], axis=1)
    pairs = zip(table["prediction"], table["answer_text"], strict=True)
    table["jaccard"] = [best_jaccard(prediction, golds) for prediction, golds in pairs]
    ranked = sorted(predictions.voters, key=(method.ranking or predictions.voters).index)
    said = [
        [
            {"name": name, **row}
            for row in predictions.answer_alone(name, method)[_MEMBER].to_dict("records")
        ]
        for name in ranked
    ]
    table["members"] = [list(row) for row in zip(*said, strict=True)]
    return table
