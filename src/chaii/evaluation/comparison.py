"""What differs between two runs: settings, environment, data, scores, answers."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from chaii.config.settings import flatten_settings, list_changes
from chaii.evaluation.bootstrap import bootstrap_interval
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.oof_table import read_oof_table
from chaii.run_folder import RunFolder

_KEY = ["corpus", "id"]
_SHOWN = ["corpus", "id", "language", "question", "answer_text"]
_DATA = ("data", "fingerprints", "plan")


def compare_records(old: Sequence[RunFolder], new: Sequence[RunFolder]) -> dict[str, pd.DataFrame]:
    """List what differs in the settings, the environment and the data of two runs.

    A fold that both have is compared, else the first of each. Each table has the columns key, old
    and new; None where one of the folds does not tell.
    """
    shared = ((one, other) for one in old for other in new if one.fold == other.fold)
    told = []
    for run in next(shared, (old[0], new[0])):
        environment = run.read_environment() | {"plan": run.read_metrics().get("plan")}
        data = {name: environment.pop(name, None) for name in _DATA}
        environment.pop("command", None)  # it follows from the name
        settings: Any = OmegaConf.to_container(run.read_config())
        settings["name"] = None
        told.append({"settings": settings, "environment": environment, "data": data})
    pairs = {part: [flatten_settings(one[part]) for one in told] for part in told[0]}
    columns = ["key", "old", "new"]
    changes = {part: list_changes(*pair) for part, pair in pairs.items()}
    return {part: pd.DataFrame(lines, columns=columns) for part, lines in changes.items()}


def pair_rows(old: Sequence[RunFolder], new: Sequence[RunFolder]) -> pd.DataFrame:
    """Pair the answers of two runs to the rows that both held out.

    Returns the columns of a row, ``old`` and ``new`` answer, and their scores ``<metric>_old`` and
    ``<metric>_new``.

    Raises:
        FileNotFoundError: a run held out no row.
        ValueError: they share no row.
    """
    scored = []
    for runs in (old, new):
        rows = read_oof_table([run.oof for run in runs if run.oof.is_file()])
        scores = score_rows(rows["prediction"], rows["answer_text"], rows["language"])
        scored.append(rows.assign(exact=scores["exact"], f1=scores["f1"]))
    columns = ["prediction", *METRICS]
    pairs = scored[0].merge(scored[1][_KEY + columns], on=_KEY, suffixes=("_old", "_new"))
    if pairs.empty:
        names = f"{old[0].name} and {new[0].name}"
        raise ValueError(f"{names}: no row was held out by both; compare runs on the same corpus")
    return pairs.rename(columns={"prediction_old": "old", "prediction_new": "new"})


def compare_scores(pairs: pd.DataFrame, *, seed: int = 2021) -> pd.DataFrame:
    """Mean of each metric over the pairs, and the mean difference with its 95 % interval.

    Rows on one context are drawn together.
    """
    lines = []
    for metric in METRICS:
        before, after = pairs[f"{metric}_old"], pairs[f"{metric}_new"]
        gain = bootstrap_interval(after - before, clusters=pairs["context"].to_list(), seed=seed)
        means = {"metric": metric, "old": before.mean(), "new": after.mean()}
        lines.append(means | {"gain": gain.mean, "low": gain.low, "high": gain.high})
    return pd.DataFrame(lines)


def list_changed(pairs: pd.DataFrame) -> pd.DataFrame:
    """List the rows whose answers differ in a word, with their gain in Jaccard, the worst first."""
    changed = pairs[pairs["old"].str.split() != pairs["new"].str.split()]
    changed = changed.assign(gain=changed["jaccard_new"] - changed["jaccard_old"])
    changed = changed.assign(answer_text=changed["answer_text"].map(" | ".join))
    return changed.sort_values("gain", kind="stable")[[*_SHOWN, "old", "new", "gain"]]
