"""The leaderboard: published results of runs, kept in a CSV file, and the table made from it."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from chaii.files import reading, save_text, write_whole
from chaii.run_folder import find_runs

_METRICS = ("jaccard", "exact", "f1")
_COLUMNS = (
    *("run", "folds", "held-out rows", *_METRICS),
    *("windows per fold", "minutes per fold", "hardware", "commit"),
)


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
        means = (metrics[list(_METRICS)].mul(rows, axis=0).sum() / rows.sum()).map("{:.3f}".format)
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
