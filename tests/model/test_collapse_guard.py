"""The collapse guard: what counts as a collapse, and how training goes on."""

import math

import numpy as np
import pytest

from chaii.model.collapse_guard import CollapseError, find_collapse


def log_of(losses, **extra):
    return [{"step": 10 * i, "loss": float(loss)} | extra for i, loss in enumerate(losses, start=1)]


GENERATOR = np.random.default_rng(0)
LEARNING = 5 * np.exp(-np.arange(60) / 15) + 0.5 + 0.1 * GENERATOR.random(60)

CALM = {
    "learning": LEARNING,
    "one spike": [*LEARNING, 5.0, *LEARNING[-6:]],
    "a harder stage": [*LEARNING, *([4.5] * 20)],
    "never learned": [5.5] * 60,
    "too short to tell": [1.0] * 8 + [6.0] * 6,
}
COLLAPSED = {
    "back to the start": ([*LEARNING, *([5.6] * 5)], 600),
    "not a number": ([*LEARNING[:30], math.nan], 300),
    "infinite": ([*LEARNING[:30], math.inf], 300),
    "at once": ([math.nan], 0),
}


@pytest.mark.parametrize("losses", CALM.values(), ids=CALM)
def test_a_calm_training_goes_on(losses):
    assert all(find_collapse(log_of(losses[:n])) is None for n in range(len(losses) + 1))


@pytest.mark.parametrize(("losses", "onset"), COLLAPSED.values(), ids=COLLAPSED)
def test_a_collapse_is_seen_with_its_last_good_step(losses, onset):
    collapse = find_collapse(log_of(losses))
    assert collapse.onset == onset
    assert collapse.step == 10 * len(losses)


def test_a_gradient_that_is_not_finite_is_a_collapse():
    lines = [*log_of(LEARNING[:20]), {"step": 210, "loss": 1.0, "grad_norm": math.nan}]
    assert find_collapse(lines).onset == 200


def test_lines_without_a_loss_do_not_count():
    lines = [*log_of(LEARNING[:20]), {"step": 200, "eval_jaccard": 0.5}]
    assert find_collapse(lines) is None


@pytest.fixture
def collapse_once(monkeypatch):
    """Let the loss be NaN once, at the sixth batch."""
    from chaii.model import trainer

    calls, span_loss = [], trainer.span_loss

    def collapsing(output, batch):
        calls.append(1)
        return span_loss(output, batch) * (math.nan if len(calls) == 6 else 1.0)

    monkeypatch.setattr(trainer, "span_loss", collapsing)


OPTIONS = ("trainer.logging_steps=1", "trainer.num_evaluations=4")


@pytest.mark.usefixtures("collapse_once")
def test_a_collapse_stops_the_run_and_keeps_the_last_good_checkpoint(train_demo, tmp_path):
    with pytest.raises(CollapseError, match=r"set trainer\.restarts=1"):
        train_demo(tmp_path, *OPTIONS)
    checkpoints = [path.name for path in tmp_path.rglob("checkpoint-*")]
    assert sorted(checkpoints) == ["checkpoint-2", "checkpoint-4"]


@pytest.mark.usefixtures("collapse_once")
def test_a_restart_goes_on_at_half_the_rate_and_is_recorded(train_demo, tmp_path):
    run = train_demo(tmp_path, *OPTIONS, "trainer.restarts=1", "trainer.lr_scheduler_type=constant")
    metrics = run.read_metrics()
    assert [(restart["step"], restart["from"]) for restart in metrics["restarts"]] == [(6, 5)]
    rates = {line["step"]: line["learning_rate"] for line in metrics["history"] if "loss" in line}
    assert sorted(rates) == list(range(1, 9))
    assert rates[6] == rates[8] == pytest.approx(rates[4] / 2)
