"""The score table: members, blends and the vote, all out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from datasets import Dataset

from chaii.answer.metrics import METRICS, score_answers
from chaii.answer.voting import vote

Key = tuple[str, str]  # corpus and id: ids are unique inside a corpus alone


@dataclass(frozen=True)
class Answered:
    """Examples and somebody's answers to them, row by row."""

    examples: Dataset
    answers: pd.DataFrame  # as made by `decode_answers` or `vote`

    def select(self, rows: Sequence[int]) -> Answered:
        """Some of the rows, in the order of `rows`."""
        answers = self.answers.iloc[list(rows)].reset_index(drop=True)
        return Answered(self.examples.select(rows), answers)

    def scores(self) -> dict[str, Any]:
        """What `score_answers` says of them."""
        return score_answers(
            list(self.answers["prediction"]),
            list(self.examples["answer_text"]),
            list(self.examples["language"]),
        )


def example_keys(examples: Dataset) -> list[Key]:
    """What identifies each example across runs."""
    return list(zip(examples["corpus"], examples["id"], strict=True))


def vote_shared(blends: Mapping[str, Answered]) -> Answered | None:
    """Let backbones vote on the rows that all of them have held out; None where there is none.

    They are ranked by their Jaccard on these very rows.
    """
    places = {
        name: {key: row for row, key in enumerate(example_keys(answered.examples))}
        for name, answered in blends.items()
    }
    shared = sorted(set.intersection(*(set(known) for known in places.values())))
    if not shared:
        return None
    parts = {
        name: blends[name].select([known[k] for k in shared]) for name, known in places.items()
    }
    jaccard = {name: part.scores()["jaccard"] for name, part in parts.items()}
    examples = next(iter(parts.values())).examples
    voted = vote(
        {name: part.answers for name, part in parts.items()},
        contexts=list(examples["context"]),
        ranking=sorted(jaccard, key=lambda name: -jaccard[name]),
    )
    return Answered(examples, voted)


def tabulate_scores(lines: Sequence[tuple[str, str, Mapping[str, Any]]]) -> pd.DataFrame:
    """One row for each (kind, name, scores): all metrics, then the Jaccard of each language."""
    rows = [
        {"kind": kind, "name": name, "rows": scores["rows"]}
        | {metric: scores[metric] for metric in METRICS}
        | {language: score["jaccard"] for language, score in scores["language"].items()}
        for kind, name, scores in lines
    ]
    return pd.DataFrame(rows, columns=None if rows else ["kind", "name", "rows", *METRICS])
