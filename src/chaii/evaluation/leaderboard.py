"""The leaderboard: published results of runs, kept in a CSV file, and all on this machine."""

import re
from collections.abc import Sequence
from html import escape
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from chaii.config.errors import ConfigError
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.oof_table import read_oof_table
from chaii.evaluation.slices import describe_scores
from chaii.files import reading, save_text, write_whole
from chaii.run_folder import RunFolder, find_runs, list_runs

_COLUMNS = (
    *("run", "folds", "held-out rows", *METRICS),
    *("windows per fold", "minutes per fold", "hardware", "commit"),
)
RESULT_COLUMNS = (
    *("name", "folds", "rows", "jaccard", "low", "high", "exact", "f1"),
    *("minutes", "MB", "ms", "commit"),
)
_LESS_IS_BETTER = ("name", "minutes", "MB", "ms", "commit")


def describe_run(root: Path, name: str) -> dict[str, str]:
    """The line of a run: mean scores of its folds, weighted by their rows, and what they took.

    Raises:
        FileNotFoundError: no fold of the run is finished, or none held out any row.
        ValueError: a file of the run folder cannot be read or lacks a value.
    """
    folds = [run for run in find_runs(root, name) if run.read_metrics().get("rows")]
    if not folds:
        raise FileNotFoundError(f"{root / name}: no fold of run {name!r} held out any row")
    metrics = pd.DataFrame([run.read_metrics() for run in folds])
    environment = folds[0].read_environment()
    try:
        rows = metrics["rows"]
        means = (metrics[list(METRICS)].mul(rows, axis=0).sum() / rows.sum()).map("{:.3f}".format)
        windows, minutes = metrics["windows"].mean(), metrics["seconds"].mean() / 60
        hardware, threads = environment["hardware"], environment["threads"]
        device = ", ".join(hardware["gpus"]) or f"{hardware['cpu']}, {threads} thread(s)"
        commit = environment["commit"] or ""
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folds[0].path}: its metrics or environment lack {error}") from error
    line = (name, len(folds), rows.sum(), *means, round(windows), f"{minutes:.1f}", device)
    return dict(zip(_COLUMNS, map(str, (*line, commit[:7])), strict=True))


def read_results(path: Path) -> pd.DataFrame:
    """Published results, one row per run; all columns are text.

    Raises:
        ValueError: the file is no CSV or has other columns.
    """
    if not path.exists():
        return pd.DataFrame(columns=list(_COLUMNS))
    with reading(path):
        results = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(results.columns) != _COLUMNS:
        raise ValueError(f"{path}: its columns must be {','.join(_COLUMNS)}")
    return results


def add_results(path: Path, lines: Sequence[dict[str, str]], *, replace: bool) -> None:
    """Add runs to the published results; no other row changes.

    Raises:
        ValueError: a run is published already with another result, and `replace` is not set.
    """
    results = {line["run"]: line for line in read_results(path).to_dict("records")}
    for line in lines:
        if results.get(line["run"], line) != line and not replace:
            raise ValueError(f"{path}: {line['run']} is published already; --replace replaces it")
        results[line["run"]] = line
    table = pd.DataFrame(results.values(), columns=list(_COLUMNS)).sort_values("run")
    with write_whole(path) as building:
        table.to_csv(building, index=False, lineterminator="\n")


def render_table(results: pd.DataFrame) -> str:
    """The results as a Markdown table, each cell escaped."""
    escaped = results.map(escape_markdown)
    return str(escaped.to_markdown(index=False, tablefmt="github", disable_numparse=True))


def escape_markdown(text: str) -> str:
    r"""Escape what could be read as Markdown or HTML, in one line.

    >>> print(escape_markdown("EPYC | <b>\n# 7"))
    EPYC \| &lt;b&gt; # 7
    """
    return re.sub(r"([\\`*\[\]|])", r"\\\1", escape(" ".join(text.split()), quote=False))


def insert_table(page: Path, table: str, *, name: str = "leaderboard") -> str:
    """Read a page, and put the table between the markers of `name`, in place of an earlier one.

    The markers are ``<!-- name -->`` and ``<!-- /name -->``.

    Raises:
        ValueError: the page lacks the markers, or is not UTF-8.
    """
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    with reading(page):
        head, begin, rest = page.read_text(encoding="utf-8").partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{page}: must hold {first} and {last}, in this order")
    return f"{head}{first}\n{table}\n{last}{tail}"


def write_table(page: Path, table: str, *, name: str = "leaderboard") -> None:
    """Write the page that `insert_table` returns."""
    save_text(page, insert_table(page, table, name=name))


def tabulate_results(root: Path, submissions: Path) -> tuple[pd.DataFrame, list[str]]:
    """Describe each finished run in `root` and each ensemble whose results are in `submissions`.

    Returns the table, with `RESULT_COLUMNS`, and for each that cannot be read why it is left out.
    """
    lines, faults = [], []
    ensembles = sorted(submissions.glob("*_oof.parquet"))
    subjects: list[str | Path] = [*list_runs(root), *ensembles]
    for subject in subjects:
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
    scores = score_rows(rows["prediction"], rows["answer_text"], rows["language"])
    scores = scores.assign(cluster=pd.factorize(rows["context"])[0])
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
