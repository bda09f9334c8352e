"""The out-of-fold table: answers to held-out examples, in one schema for runs and ensembles.

| columns | content |
| --- | --- |
| id, corpus, language, question, context, answer_text, answer_start | the example |
| prediction, score, start_char, end_char | its answer |
| jaccard | of the prediction and the best accepted answer |
| members | a list of {name, prediction, start_char, end_char}: empty for a run, and for an \
ensemble the answers of its voters, the best voter first |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from datasets import Dataset

from chaii.evaluation.metrics import best_jaccard
from chaii.files import reading, write_whole

Key = tuple[str, str]  # corpus and id: an id is unique inside its corpus alone

_EXAMPLE = ["id", "corpus", "language", "question", "context", "answer_text", "answer_start"]
_ANSWER = ["prediction", "score", "start_char", "end_char"]
OOF_COLUMNS = [*_EXAMPLE, *_ANSWER, "jaccard", "members"]


def example_keys(examples: Dataset) -> list[Key]:
    """The key of each example, equal across runs."""
    return list(zip(examples["corpus"], examples["id"], strict=True))


def make_oof_table(
    examples: Dataset, answers: pd.DataFrame, *, members: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Make the table of some examples, their answers, and the answers of each member.

    `answers` and the tables of `members`, the best first, have one row per example, in the order of
    `examples`, with the columns of `decode_answers`.
    """
    table = pd.DataFrame({name: examples[name][:] for name in _EXAMPLE})
    table = pd.concat([table, answers[_ANSWER].reset_index(drop=True)], axis=1)
    pairs = zip(table["prediction"], table["answer_text"], strict=True)
    table["jaccard"] = [best_jaccard(prediction, golds) for prediction, golds in pairs]
    listed: list[list[dict[str, object]]] = [[] for _ in range(len(table))]
    for name, given in (members or {}).items():
        columns = given[["prediction", "start_char", "end_char"]].assign(name=name)
        for row, answer in zip(listed, columns.to_dict("records"), strict=True):
            row.append({str(key): value for key, value in answer.items()})
    return table.assign(members=listed)


def write_oof_table(path: Path, table: pd.DataFrame) -> None:
    """Write the table as Parquet."""
    with write_whole(path) as building:
        table.to_parquet(building)


def read_oof_table(paths: Sequence[Path]) -> pd.DataFrame:
    """Read one table, or those of several folds as one.

    Raises:
        FileNotFoundError: there is no table, or one of the paths is no file.
        ValueError: a table is damaged, or lacks a column.
    """
    if not paths:
        raise FileNotFoundError("no out-of-fold table: no example was held out")
    tables = []
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such out-of-fold table")
        with reading(path):
            tables.append(pd.read_parquet(path))
        if absent := [name for name in OOF_COLUMNS if name not in tables[-1]]:
            raise ValueError(f"{path}: lacks the column {', '.join(absent)}")
    return pd.concat(tables, ignore_index=True)
