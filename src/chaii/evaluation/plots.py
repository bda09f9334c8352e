"""Figures of the write-up: corpora, the plan, training histories, scores, and gains of methods."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F")
_BESIDE = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
_STYLE = {"axes.axisbelow": True, "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False}
_STYLE |= {"axes.spines.right": False, "axes.spines.top": False, "font.size": 9}
_STYLE |= {"figure.constrained_layout.use": True, "figure.dpi": 110}


def draw_corpora(examples: pd.DataFrame) -> Figure:
    """Draw how many questions each corpus has, by language, and how long its contexts are.

    Args:
        examples: one row per question, with the columns ``corpus``, ``language`` and
            ``characters``, those of its context.
    """
    counts = pd.crosstab(examples["corpus"], examples["language"])
    counts = counts.loc[counts.sum(axis=1).sort_values().index]
    lengths = [examples.loc[examples["corpus"] == name, "characters"] for name in counts.index]
    rows = np.arange(len(counts))
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 1 + 0.3 * len(counts)))
        left, right = figure.subplots(1, 2, sharey=True)
        before = np.zeros(len(counts))
        for language, colour in zip(counts, cycle(_COLOURS), strict=False):
            left.barh(rows, counts[language], left=before, color=colour, label=language)
            before += counts[language].to_numpy()
        left.set_yticks(rows, counts.index)
        left.set(xlabel="questions")
        right.legend(*left.get_legend_handles_labels(), **_BESIDE)
        right.boxplot(lengths, positions=rows, orientation="horizontal", whis=(1, 99), sym="")
        right.set(xlabel="characters per context (box: middle half; line: 98 %)", xscale="log")
        right.xaxis.set_major_formatter("{x:,.0f}")
        right.xaxis.set_minor_formatter("")
        right.set_yticks(rows, counts.index)
    return figure


def draw_plan(plan: pd.DataFrame, *, effective_batch_size: int, slices: int = 40) -> Figure:
    """Draw the corpora, window lengths and share of windows with the answer, by optimiser step.

    Args:
        plan: the windows table in training order, with its columns ``stage`` and ``corpus``.
        effective_batch_size: windows per optimiser step.
        slices: parts of about equal size, each averaged; a new stage begins a new one.
    """
    stages = plan["stage"].drop_duplicates()  # indexed by their first row
    if not plan["stage"].is_monotonic_increasing:
        stages = stages[:0]  # the stages of a mixed recipe have no borders
    cuts = np.linspace(0, len(plan), slices + 1).astype(int)
    borders = np.array([0, *stages.index, len(plan)])
    far = np.abs(cuts[:, None] - borders).min(axis=1) > len(plan) / slices / 2
    cuts = np.union1d(cuts[far], borders)
    part = np.searchsorted(cuts, np.arange(len(plan)), side="right")
    edges = cuts / effective_batch_size
    mix = pd.crosstab(part, plan["corpus"].astype(str), normalize="index").cumsum(axis="columns")
    low, middle, high = (plan["length"].groupby(part).quantile(at) for at in (0.1, 0.5, 0.9))
    answered = (plan["start_token"] >= 0).groupby(part).mean()

    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 5))
        axes = figure.subplots(3, sharex=True, height_ratios=(2, 1.3, 1))
        for corpus, colour in reversed(list(zip(mix, cycle(_COLOURS), strict=False))):
            axes[0].stairs(mix[corpus], edges, fill=True, color=colour, label=corpus)
        axes[1].stairs(high, edges, baseline=low, fill=True, color="0.8", label="80% of windows")
        axes[1].stairs(middle, edges, baseline=None, color="black", label="median")
        axes[2].stairs(answered, edges, baseline=None, color="black")
        for row, stage in stages.items():
            axes[0].text(row / effective_batch_size, 1.03, f"stage {stage}")
            for axis in axes:
                axis.axvline(row / effective_batch_size, color="black", linestyle=":", linewidth=1)
        axes[0].set(ylabel="share of windows", xlim=(0, edges[-1]), ylim=(0, 1))
        axes[1].set(ylabel="tokens per window", ylim=(0, None))
        axes[2].set(ylabel="share with\nthe answer", ylim=(0, 1.05), xlabel="optimiser step")
        axes[0].legend(**_BESIDE)
        axes[1].legend(**_BESIDE)
        figure.align_ylabels()
    return figure


def draw_history(histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Figure:
    """Draw training loss and held-out Jaccard by step, from the log of each fold of each run."""
    curves = {"loss": "training loss", "eval_jaccard": "held-out Jaccard"}
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.8))
        axes = figure.subplots(1, 2, sharex=True)
        for axis, (key, label) in zip(axes, curves.items(), strict=True):
            for (run, folds), colour in zip(histories.items(), cycle(_COLOURS), strict=False):
                for fold, history in enumerate(folds):
                    log = pd.DataFrame(history).reindex(columns=["step", key]).dropna()
                    name = None if fold else run
                    axis.plot(log["step"], log[key], "o-", color=colour, markersize=3, label=name)
            axis.set(xlabel="optimiser step", ylabel=label, ylim=(0, None))
        axes[0].set_xlim(0)
        axes[1].legend(**_BESIDE)
    return figure


def draw_scores(scores: pd.DataFrame, *, languages: Sequence[str]) -> Figure:
    """Draw the held-out Jaccard of every line of the score table: all rows and each language."""
    rows = range(len(scores))
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 0.8 + 0.25 * len(scores)))
        axis = figure.subplots()
        for language, colour in zip(languages, cycle(_COLOURS), strict=False):
            axis.scatter(scores[language], rows, color=colour, s=28, label=language)
        axis.scatter(scores["jaccard"], rows, color="black", marker="|", s=120, label="all rows")
        axis.set_yticks(rows, scores["kind"] + "  " + scores["name"])
        axis.set(xlabel="held-out Jaccard", xlim=(0, 1))
        axis.invert_yaxis()
        axis.legend(**_BESIDE)
    return figure


def draw_gains(trials: pd.DataFrame, *, most: int = 20) -> Figure:
    """Draw the gain of each method over the default with its 95 % interval, the best on top.

    `trials` are those of `choose_method`. The nested folds and the default are always shown. An
    interval that crosses zero is grey.
    """
    shown = trials[(trials.index < most) | (trials["method"] == "auto, nested")]
    shown = pd.concat([shown, trials[trials["gain_low"] == trials["gain_high"]]])
    shown = shown.drop_duplicates("method").sort_values("gain", ascending=False, kind="stable")
    sure = (shown["gain_low"] > 0) | (shown["gain_high"] < 0)
    rows = np.arange(len(shown))
    with rc_context(_STYLE):
        figure = Figure(figsize=(8, 0.8 + 0.22 * len(shown)))
        axis = figure.subplots()
        for chosen, colour in ((sure, _COLOURS[0]), (~sure, "0.6")):
            part = shown[chosen]
            around = np.stack([part["gain"] - part["gain_low"], part["gain_high"] - part["gain"]])
            axis.errorbar(
                part["gain"], rows[chosen], xerr=around, fmt="o", color=colour, markersize=4
            )
        axis.axvline(0, color="black", linewidth=1)
        axis.set_yticks(rows, shown["method"])
        axis.set(xlabel="gain in held-out Jaccard over the default, 95 % interval")
        axis.invert_yaxis()
    return figure
