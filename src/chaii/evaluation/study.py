"""The arms of a study: results in their folder, effects paired by seed and held-out row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import t as student_t

from chaii.config.errors import ConfigError
from chaii.config.schema import TrainConfig
from chaii.config.settings import digest_settings
from chaii.config.study import StudyConfig, StudyRun
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.oof_table import read_oof_table
from chaii.files import claim, read_json, save_json, save_text, write_whole
from chaii.run_folder import Prediction, RunFolder, plain_settings

Records = Sequence[Mapping[str, Any]]  # of runs: arm, seed, fold and costs

LEVEL = 0.95
_RUN = ["seed", "fold"]  # what a run has in common with the reference's that it is paired with
_KEY = ["arm", "seed", "fold"]
_COLUMNS = ["study", *_KEY, "corpus", "id", "article", *METRICS]


def compare_arms(
    rows: pd.DataFrame, *, reference: str, rounds: int = 10_000, seed: int = 2021
) -> pd.DataFrame:
    """Compare every arm with the reference, over the runs that both have.

    Args:
        rows: scored held-out rows of all runs, with the columns arm, seed, fold, id, article,
            jaccard, exact and f1.
        rounds: of the bootstrap, see `bootstrap_errors`.

    Returns:
        One row per arm, the reference first: ``arm``, ``runs``, ``wins`` (runs with a better
        Jaccard than the reference's), for each metric its mean, the difference to the reference's
        mean on the same runs with the ends of its interval (``jaccard``, ``jaccard_effect``,
        ``jaccard_low``, ``jaccard_high``), and ``p``: that of the Jaccard's effect, by Holm's
        correction for the number of arms. Intervals and ``p``, missing with one run, are those of
        Student's t with runs - 1 degrees of freedom: few runs estimate their own spread poorly.

    Raises:
        ValueError: an arm has no run in common with the reference, or other held-out rows in one.
    """
    arms = {str(arm): part for arm, part in rows.groupby("arm", sort=False)}
    if reference not in arms:
        raise ValueError(f"study: the reference arm {reference!r} has no finished run")
    base = arms.pop(reference)
    means = base.groupby(_RUN)[list(METRICS)].mean()
    compared: list[dict[str, Any]] = [{"arm": reference, "runs": len(means), **means.mean()}]
    for arm, part in arms.items():
        paired = _pair(part, base, arm)
        runs = paired.groupby(_RUN)[list(METRICS)].mean()
        line: dict[str, Any] = {"arm": arm, "runs": len(runs), "wins": sum(runs["jaccard"] > 0)}
        errors = bootstrap_errors(paired, rounds=rounds, seed=seed)
        distribution = student_t(len(runs) - 1)
        for metric in METRICS:
            effect = line[f"{metric}_effect"] = runs[metric].mean()
            line[metric] = part.groupby(_RUN)[metric].mean().mean()
            if errors is not None:
                half = distribution.ppf((1 + LEVEL) / 2) * errors[metric]
                line[f"{metric}_low"], line[f"{metric}_high"] = effect - half, effect + half
        if errors is not None:
            effect, error = line["jaccard_effect"], errors["jaccard"]
            line["p"] = 2 * distribution.sf(abs(effect) / error) if error else float(effect == 0)
        compared.append(line)
    columns = [f"{metric}{end}" for metric in METRICS for end in ("", "_effect", "_low", "_high")]
    table = pd.DataFrame(compared, columns=["arm", "runs", "wins", *columns, "p"])
    table["p"] = correct_holm(table["p"].to_numpy(float))
    return table


def bootstrap_errors(
    differences: pd.DataFrame, *, rounds: int, seed: int
) -> dict[str, float] | None:
    """Estimate the standard error of the mean difference in each metric; None with one run.

    In each round runs are drawn with replacement, and inside each drawn run its articles: a run
    carries the chance of its seed, and questions on one article succeed and fail together. The
    deviation of the drawn means is widened by sqrt(runs / (runs - 1)), since a bootstrap of few
    runs underestimates the spread between them.

    Args:
        differences: paired rows with the columns seed, fold, article and the metrics.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), sections 2.4, 3.8.
    """
    runs = [part for _, part in differences.groupby(_RUN)]
    if len(runs) < 2:
        return None
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(runs), size=(rounds, len(runs)))
    sums = np.zeros((rounds, len(METRICS)))
    for number, run in enumerate(runs):
        groups = run.groupby("article")
        total, size = groups[list(METRICS)].sum().to_numpy(), groups.size().to_numpy()
        rounds_of = np.nonzero(drawn == number)[0]  # a round as often as it drew this run
        articles = generator.integers(len(size), size=(len(rounds_of), len(size)))
        means = total[articles].sum(axis=1) / size[articles].sum(axis=1)[:, None]
        np.add.at(sums, rounds_of, means)
    deviations = sums.std(axis=0) / len(runs) * np.sqrt(len(runs) / (len(runs) - 1))
    return dict(zip(METRICS, deviations.tolist(), strict=True))


def correct_holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for their number by Holm's step-down rule; missing ones stay missing.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).

    >>> correct_holm(np.array([0.01, np.nan, 0.04, 0.03])).tolist()
    [0.03, nan, 0.06, 0.06]
    """
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    adjusted = np.full(len(p_values), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def format_effects(
    effects: pd.DataFrame, runs: Records, *, changes: Mapping[str, str] | None = None
) -> str:
    """Format the comparison as a GitHub table in points (hundredths) with costs, and a verdict.

    ``wins`` counts the runs with a better Jaccard than the reference's of the same seed. Costs are
    means per run: millions of tokens trained, and minutes of CPU time; hours are of all runs.

    Args:
        effects: as `compare_arms` gives them.
        runs: records of all runs, with arm, tokens and cpu_seconds.
        changes: what an arm changes, in words.
    """
    records = pd.DataFrame(runs).astype({"cpu_seconds": float})
    costs = records.groupby("arm")[["tokens", "cpu_seconds"]].mean()
    lines = []
    for number, row in enumerate(effects.to_dict("records")):
        shown = {
            metric: f"{100 * row[metric]:.1f}" if number == 0 else _format_effect(row, metric)
            for metric in METRICS
        }
        tokens, seconds = costs.loc[row["arm"]]
        lines.append(
            {"arm": row["arm"]}
            | ({"change": changes.get(row["arm"], "")} if changes else {})
            | shown
            | {"p": "" if np.isnan(row["p"]) else f"{row['p']:.3f}"}
            | {"wins": f"{row['wins']:.0f}/{row['runs']}" if number else ""}
            | {"Mtok": f"{tokens / 1e6:.2f}"}
            | {"min": "" if np.isnan(seconds) else f"{seconds / 60:.1f}"}
        )
    table = pd.DataFrame(lines).to_markdown(index=False, tablefmt="github", disable_numparse=True)
    hours = (costs["cpu_seconds"][effects["arm"]].to_numpy() * effects["runs"]).sum() / 3600
    ends = " to ".join(str(end) for end in sorted({effects["runs"].min(), effects["runs"].max()}))
    return f"{table}\n\nRuns per arm: {ends}; {hours:.3g} CPU hours. {_state_verdict(effects)}"


def state_effects(effects: pd.DataFrame, *, changes: Mapping[str, str]) -> list[str]:
    """State the effect of each arm in a sentence; without an interval there is no verdict.

    An effect is called better or worse only where it is significant after Holm's correction.
    """
    sentences = []
    for row in effects[1:].to_dict("records"):
        change = changes.get(row["arm"], "")
        side = "better" if row["jaccard_effect"] > 0 else "worse"
        found = f"{side} than `{effects['arm'][0]}`" if row["p"] < 1 - LEVEL else "no finding"
        finding = f"{found}, p = {row['p']:.3f}" if row["p"] >= 0 else "no verdict from one run"
        effect = _format_effect(row, "jaccard")
        sentences.append(f"`{row['arm']}` ({change}): {effect} points of Jaccard; {finding}.")
    return sentences


def state_missing(effects: pd.DataFrame, study: StudyConfig) -> list[str]:
    """Name the arms without a run to compare in a sentence; an empty list if there is none."""
    missing = [arm for arm in study.arms if arm not in set(effects["arm"])]
    return [f"Not run yet: {', '.join(missing)}."] if missing else []


def draw_effects(effects: pd.DataFrame) -> Figure:
    """Forest plot: effect of each arm on each metric with its interval, the largest on top.

    Arms whose effect on Jaccard stays significant after Holm's correction are blue.
    """
    shown = effects[1:].sort_values("jaccard_effect", ascending=False)
    places = np.arange(len(shown))
    sure = (shown["p"] < 1 - LEVEL).to_numpy()
    style = {"axes.spines.right": False, "axes.spines.top": False, "font.size": 9}
    with rc_context(style):
        figure = Figure(figsize=(9, 1 + 0.24 * len(shown)), layout="constrained", dpi=110)
        axes = figure.subplots(1, len(METRICS), sharey=True)
        for axis, metric in zip(axes, METRICS, strict=True):
            ends = [shown[f"{metric}_{name}"].to_numpy(float) for name in ("effect", "low", "high")]
            effect, low, high = (100 * end for end in ends)
            for chosen, colour in ((sure, "#0072B2"), (~sure, "0.55")):
                axis.plot(effect[chosen], places[chosen], "o", color=colour, markersize=4)
                axis.hlines(places[chosen], low[chosen], high[chosen], color=colour)
            axis.axvline(0, color="black", linewidth=1)
            axis.grid(axis="x", alpha=0.3)
            axis.set(xlabel=f"effect on {metric}, points")
        meaning = f"blue: effect on jaccard, p < {1 - LEVEL:.2f} after Holm's correction"
        figure.suptitle(meaning, fontsize=9)
        axes[0].set_yticks(places, shown["arm"])
        axes[0].invert_yaxis()
    return figure


def _pair(part: pd.DataFrame, base: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Differences of an arm to the reference, row by row, over the runs that both have."""
    ours, theirs = (rows.set_index([*_RUN, "id"]).sort_index() for rows in (part, base))
    shared = ours.index.droplevel("id").unique().intersection(theirs.index.droplevel("id").unique())
    if not len(shared):
        raise ValueError(f"study: arm {arm!r} has no seed and fold in common with the reference")
    ours, theirs = (rows[rows.index.droplevel("id").isin(shared)] for rows in (ours, theirs))
    if not ours.index.equals(theirs.index):
        raise ValueError(f"study: arm {arm!r} was scored on other rows than the reference")
    metrics = list(METRICS)
    return ours.assign(**(ours[metrics] - theirs[metrics])).reset_index()


def _format_effect(row: Mapping[str, Any], metric: str) -> str:
    effect = f"{100 * row[f'{metric}_effect']:+.1f}"
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    return effect if np.isnan(low) else f"{effect} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _state_verdict(effects: pd.DataFrame) -> str:
    if not np.isfinite(effects["p"]).any():
        return "With one run there is no interval, hence no verdict."
    sure = effects[effects["p"] < 1 - LEVEL].set_index("arm")["jaccard_effect"]
    found = {"better": sure.index[sure > 0], "worse": sure.index[sure < 0]}
    named = "; ".join(f"{word}: {', '.join(arms) or 'none'}" for word, arms in found.items())
    number = np.isfinite(effects["p"]).sum()
    return (
        f"Jaccard against `{effects['arm'][0]}`, p < {1 - LEVEL:.2f} after Holm's correction for "
        f"{number} arms: {named}. The study shows nothing about the others."
    )


@dataclass(frozen=True)
class StudyFolder:
    """Raw rows and costs of all finished runs of a study, and what follows from them."""

    path: Path

    def read_runs(self) -> list[dict[str, Any]]:
        """Read the record of every finished run: arm, seed, fold, settings and costs."""
        file = self.path / "runs.json"
        return read_json(file, list) if file.is_file() else []

    def read_rows(self) -> pd.DataFrame:
        """Read the scored held-out rows of all finished runs."""
        file = self.path / "rows.parquet"
        return pd.read_parquet(file) if file.is_file() else pd.DataFrame(columns=_COLUMNS)

    @contextmanager
    def claim(self, run: StudyRun) -> Iterator[bool]:
        """Hold a run for this process; yields False where another process holds it."""
        with claim(self.path / ".locks" / f"{run.name}_fold{run.fold}") as is_ours:
            yield is_ours

    def holds(self, run: StudyRun, config: TrainConfig) -> bool:
        """Tell whether the results of `run` are here.

        Raises:
            ConfigError: they are, and were made with other settings than `config`.
        """
        stored = {_key(record): record for record in self.read_runs()}
        record = stored.get((run.arm, run.seed, run.fold))
        if record and record["settings"] != digest_settings(plain_settings(config)):
            raise ConfigError(
                f"{self.path}/runs.json: arm {run.arm}, seed {run.seed} was run with other "
                f"settings, {record['overrides']} at {record['commit']}; give the arm another name"
            )
        return record is not None

    def add(
        self,
        run: StudyRun,
        folder: RunFolder,
        *,
        overrides: Sequence[str],
        cpu_seconds: float | None,
    ) -> None:
        """Take the scored rows and the costs of a finished run; several processes may add.

        `cpu_seconds` is None where another process trained the run before, at least in part.
        """
        metrics, environment = folder.read_metrics(), folder.read_environment()
        record = {
            **{name: getattr(run, name) for name in _KEY},
            "overrides": list(overrides),
            "settings": digest_settings(plain_settings(folder.read_config())),
            **{name: metrics[name] for name in (*METRICS, "windows", "tokens", "seconds")},
            "cpu_seconds": cpu_seconds and round(cpu_seconds, 1),
            **{name: environment[name] for name in ("commit", "hardware", "threads", "versions")},
        }
        with FileLock(self.path / ".locks" / "results"):
            runs = [old for old in self.read_runs() if _key(old) != _key(record)]
            kept = self.read_rows().set_index(_KEY).drop(index=_key(record), errors="ignore")
            rows = pd.concat([kept.reset_index(), _score(run, folder)], ignore_index=True)
            with write_whole(self.path / "rows.parquet") as building:
                order = [*_KEY[1:], "arm"]
                rows = rows[_COLUMNS].sort_values(order, kind="stable", ignore_index=True)
                rows.to_parquet(building, compression="zstd")
            save_json(self.path / "runs.json", [*runs, record], indent=1)

    def compare(self, study: StudyConfig, *, rounds: int) -> pd.DataFrame | None:
        """Compare the study's arms, as `compare_arms`; None if the reference has no finished run.

        A run is compared once the reference's run of its seed and fold is finished as well.
        """
        rank = {arm: number for number, arm in enumerate(study.arms)}
        rows = self.read_rows()
        compared = rows.loc[rows["arm"] == study.reference, _KEY[1:]].drop_duplicates()
        if compared.empty:
            return None
        rows = rows[rows["arm"].isin(rank)].merge(compared)
        rows = rows.sort_values("arm", key=lambda names: names.map(rank), kind="stable")
        return compare_arms(rows, reference=study.reference, rounds=rounds)

    def report(self, study: StudyConfig, *, rounds: int) -> str:
        """Compare the study's arms; write the table and the forest plot, return the table."""
        effects = self.compare(study, rounds=rounds)
        if effects is None:
            return f"the reference arm {study.reference} has no finished run yet: compared nothing"
        table = format_effects(effects, self.read_runs(), changes=study.changes)
        text = " ".join([table, *state_missing(effects, study)])
        save_text(self.path / "effects.md", text + "\n")
        with write_whole(self.path / "effects.png") as building:
            draw_effects(effects).savefig(building, format="png")
        return text


def _key(record: Mapping[str, Any]) -> tuple[str, int, str]:
    return record["arm"], record["seed"], record["fold"]


def _score(run: StudyRun, folder: RunFolder) -> pd.DataFrame:
    """Score the run's held-out rows."""
    oof = read_oof_table([folder.oof])
    examples = Prediction.load(folder.logits).examples
    article = dict(zip(examples["id"], examples["article"], strict=True))
    scores = score_rows(oof["prediction"], oof["answer_text"], oof["language"])
    rows = oof[["corpus", "id"]].assign(article=oof["id"].map(article))
    return pd.concat([rows, scores], axis="columns").assign(**run._asdict())
