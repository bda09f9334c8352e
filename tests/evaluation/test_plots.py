"""Figures show what the tables of the package hold."""

import numpy as np
import pandas as pd

from chaii.evaluation.plots import draw_corpora, draw_gains, draw_history, draw_plan, draw_scores


def read_labels(figure):
    axes = [axis for axis in figure.axes if axis.get_legend()]
    return {text.get_text() for axis in axes for text in axis.get_legend().get_texts()}


def test_corpora_show_each_language_and_name():
    examples = pd.DataFrame({"corpus": ["chaii", "chaii", "squad"], "characters": [900, 90, 50]})
    figure = draw_corpora(examples.assign(language=["hindi", "tamil", "english"]))
    assert read_labels(figure) == {"hindi", "tamil", "english"}
    widths = sorted(bar.get_width() for bar in figure.axes[0].patches)
    assert widths == [0, 0, 0, 1, 1, 1]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["squad", "chaii"]


def test_the_plan_names_its_corpora_and_stages():
    stage = np.repeat([0, 1], 50)
    plan = pd.DataFrame({"stage": stage, "corpus": np.where(stage, "chaii", "squad")})
    plan = plan.assign(length=100, start_token=np.where(stage, 3, -1))
    figure = draw_plan(plan, effective_batch_size=10)
    assert {"chaii", "squad"} <= read_labels(figure)
    assert {text.get_text() for text in figure.axes[0].texts} == {"stage 0", "stage 1"}


def test_the_history_names_each_run_once():
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "eval_jaccard": 0.5}]
    assert read_labels(draw_history({"muril": [log, log], "xlmr": [log]})) == {"muril", "xlmr"}


def test_scores_show_each_line_and_language():
    scores = pd.DataFrame(
        {"kind": ["member", "vote"], "name": ["run/0", "vote"], "jaccard": 0.5, "hindi": 0.6}
    )
    figure = draw_scores(scores, languages=["hindi"])
    assert read_labels(figure) == {"hindi", "all rows"}
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks == ["member  run/0", "vote  vote"]


def test_the_default_is_always_among_the_gains():
    gain, half = np.array([0.3, 0.2, 0.0]), np.array([0.1, 0.3, 0])
    trials = pd.DataFrame({"method": ["a", "b", "vote"], "gain": gain, "jaccard": 0.5})
    trials = trials.assign(gain_low=gain - half, gain_high=gain + half)
    ticks = draw_gains(trials, most=1).axes[0].get_yticklabels()
    assert [label.get_text() for label in ticks] == ["a", "vote"]
