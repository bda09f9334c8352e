"""All results on this machine, runs and ensembles, as one table that is sorted and filtered."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from chaii.config.errors import ConfigError
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.oof_table import read_oof_table
from chaii.evaluation.slices import describe_scores
from chaii.files import reading
from chaii.run_folder import RunFolder, find_runs

RESULT_COLUMNS = (
    *("name", "folds", "rows", "jaccard", "low", "high", "exact", "f1"),
    *("minutes", "MB", "ms", "commit"),
)
_LESS_IS_BETTER = ("name", "minutes", "MB", "ms", "commit")


def tabulate_results(root: Path, submissions: Path) -> tuple[pd.DataFrame, list[str]]:
    """Describe each finished run in `root` and each ensemble whose results are in `submissions`.

    Returns the table, with `RESULT_COLUMNS`, and for each that cannot be read why it is left out.
    """
    lines, faults = [], []
    subjects: list[str | Path]  # runs by their names, ensembles by their files
    subjects = [*sorted({path.parents[1].name for path in root.glob("*/fold*/metrics.json")})]
    for subject in [*subjects, *sorted(submissions.glob("*_oof.parquet"))]:
        try:
            if isinstance(subject, Path):
                name, tables = subject.name.removesuffix("_oof.parquet"), [subject]
                folds = _list_members(subject.with_name(f"{name}_scores.csv"), root)
            else:
                name, folds = subject, find_runs(root, subject)
                tables = [run.oof for run in folds if run.oof.is_file()]
            lines.append(describe_result(name, tables, folds))
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
    return pd.DataFrame(lines, columns=list(RESULT_COLUMNS)), faults


def describe_result(
    name: str, tables: Sequence[Path], folds: Sequence[RunFolder]
) -> dict[str, Any]:
    """Score the out-of-fold tables of a run or an ensemble, and add up what its folds cost.

    ``low`` and ``high`` are the 95 % bootstrap interval of the Jaccard. ``minutes`` of training,
    ``MB`` of weights and ``ms`` to answer a held-out question are sums over all folds, since they
    answer together; NaN where a fold does not tell.

    Raises:
        FileNotFoundError: no row was held out, or the folder of a fold is gone.
        ValueError: a file cannot be read.
    """
    rows = read_oof_table(tables)
    answers = (rows[column].to_list() for column in ("prediction", "answer_text", "language"))
    scores = score_rows(*answers).assign(cluster=pd.factorize(rows["context"])[0])
    interval = describe_scores(scores, "jaccard", seed=2021)
    metrics = [run.read_metrics() for run in folds]
    weights = [file.stat().st_size for run in folds for file in run.model.glob("*.safetensors")]
    commits = {str(run.read_environment().get("commit"))[:7] for run in folds}
    return {
        **interval,
        **scores[list(METRICS)].mean(),
        "name": name,
        "folds": len(folds),
        "minutes": sum(found.get("seconds", nan) for found in metrics) / 60,
        "MB": sum(weights) / 1e6,
        "ms": sum(found.get("resources", {}).get("answer_ms", nan) for found in metrics),
        "commit": ", ".join(sorted(commits)),
    }


def select_results(results: pd.DataFrame, *, sort: str, condition: str | None) -> pd.DataFrame:
    """Select the lines that meet a condition on the columns, in pandas' form; the best first.

    Raises:
        ConfigError: the condition is none, or names another column.

    >>> results = pd.DataFrame({"name": ["a", "b", "c"], "jaccard": [0.5, 0.7, 0.9]})
    >>> list(select_results(results, sort="jaccard", condition="jaccard < 0.8")["name"])
    ['b', 'a']
    """
    try:
        kept = results.query(condition, engine="python") if condition else results
        return kept.sort_values(sort, ascending=sort in _LESS_IS_BETTER)
    except Exception as error:  # the library raises nearly every kind
        columns = ", ".join(RESULT_COLUMNS)
        rule = f"must be a condition such as 'jaccard > 0.5 and MB < 100' on {columns}"
        raise ConfigError(f"--filter {condition}: {rule}") from error


def _list_members(scores: Path, root: Path) -> list[RunFolder]:
    """List the folds of an ensemble, as its score table names them: run/fold."""
    with reading(scores):
        table = pd.read_csv(scores, dtype=str)
        names = table.loc[table["kind"] == "member", "name"].str.rsplit("/", n=1)
    return [RunFolder(root, run, fold) for run, fold in names]
