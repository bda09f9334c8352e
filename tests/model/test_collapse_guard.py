"""The collapse guard: what counts as a collapse, and how training goes on."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import TrainerControl

from chaii.model.collapse_guard import CollapseError, CollapseGuard, find_collapse


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
    "a low first loss": [1.0, 8.0, 8.0, *([1.0] * 45), *([6.0] * 5)],
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


OVERFLOW = {"step": 210, "loss": 1.0, "grad_norm": math.inf}


def test_an_overflow_in_fp16_is_no_collapse_unless_it_stays():
    calm = log_of(LEARNING[:20])
    after = [line | {"step": line["step"] + 210} for line in calm]
    assert find_collapse([*calm, OVERFLOW], overflows=4) is None
    assert find_collapse([*calm, OVERFLOW, *after], overflows=4) is None
    broken = [OVERFLOW | {"step": 210 + i} for i in range(5)]
    assert find_collapse([*calm, *broken], overflows=4).onset == 200


@pytest.mark.parametrize(
    ("fp16", "overflows", "stops"), [(True, 4, False), (True, 5, True), (False, 1, True)]
)
def test_the_guard_bears_four_overflows_in_a_row_in_fp16_alone(fp16, overflows, stops):
    guard, control = CollapseGuard(), TrainerControl()
    state = SimpleNamespace(log_history=[*log_of(LEARNING[:20]), *[OVERFLOW] * overflows])
    guard.on_log(SimpleNamespace(fp16=fp16), state, control)
    assert control.should_training_stop == stops


@pytest.mark.parametrize("due", [("save",), ("evaluate",), ("save", "evaluate")])
def test_broken_weights_are_neither_scored_nor_saved(due):
    model = torch.nn.Linear(2, 2)
    model.weight.data[0, 0] = math.nan
    guard = CollapseGuard()
    control = TrainerControl(**{f"should_{what}": True for what in due})
    guard.on_step_end(None, SimpleNamespace(global_step=8), control, model=model)
    assert control.should_training_stop
    assert not control.should_save
    assert not control.should_evaluate
    assert (guard.collapse.step, guard.collapse.onset) == (8, 7)


def test_lines_without_a_loss_do_not_count():
    lines = [*log_of(LEARNING[:20]), {"step": 200, "eval_jaccard": 0.5}]
    assert find_collapse(lines) is None


@pytest.fixture
def collapse_once(monkeypatch):
    """Let the loss be NaN once, at the sixth batch."""
    from chaii.model import trainer

    calls, span_loss = [], trainer.span_loss

    def collapsing(*arguments):
        calls.append(1)
        return span_loss(*arguments) * (math.nan if len(calls) == 6 else 1.0)

    monkeypatch.setattr(trainer, "span_loss", collapsing)


OPTIONS = ("trainer.logging_steps=1", "trainer.num_evaluations=4")


@pytest.mark.usefixtures("collapse_once")
def test_a_collapse_stops_the_run_and_keeps_the_last_good_checkpoint(train_demo, tmp_path):
    with pytest.raises(CollapseError, match=r"set trainer\.restarts=1"):
        train_demo(tmp_path, *OPTIONS)
    checkpoints = [path.name for path in tmp_path.rglob("checkpoint-*")]
    assert sorted(checkpoints) == ["checkpoint-2", "checkpoint-4"]


@pytest.mark.usefixtures("collapse_once")
def test_a_collapse_that_no_log_shows_is_met_before_it_is_scored(train_demo, tmp_path):
    with pytest.raises(CollapseError, match="step 6: a weight is not finite"):
        train_demo(tmp_path, "trainer.logging_steps=100", "trainer.num_evaluations=4")
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


def test_a_first_loss_that_is_not_finite_has_its_onset_at_the_beginning():
    assert find_collapse([{"step": 7, "loss": float("nan")}]).onset == 0
