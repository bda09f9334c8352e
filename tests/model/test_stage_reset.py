"""A fresh optimiser and schedule for every stage."""

import pandas as pd
import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from chaii.model.stage_reset import find_borders, restart_schedule


def test_each_stage_has_the_schedule_of_a_training_of_its_own():
    schedule = restart_schedule([20], steps=50, warmup_ratio=0.1)
    expected = [*library_rates(20, warmup=2), *library_rates(30, warmup=3)]
    assert [schedule(step) for step in range(50)] == pytest.approx(expected)


def library_rates(steps, *, warmup):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    for _ in range(steps):
        yield scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()


def test_the_schedule_ends_at_zero():
    assert restart_schedule([3], steps=7, warmup_ratio=0.0)(7) == 0


def test_a_step_of_two_stages_belongs_to_the_earlier():
    plan = pd.DataFrame({"stage": [0] * 17 + [1] * 16 + [2] * 3})
    assert find_borders(plan, effective_batch_size=16) == [2, 3]


def test_a_reset_changes_the_training_from_the_border_on(train_demo, tmp_path):
    losses = {}
    for reset in ("false", "true"):
        run = train_demo(
            tmp_path / reset,
            f"recipe.reset_optimizer={reset}",
            "recipe.max_tokens=12000",
            "trainer.max_steps=null",
            "trainer.num_evaluations=0",
            "trainer.logging_steps=1",
        )
        metrics = run.read_metrics()
        losses[reset] = [line["learning_rate"] for line in metrics["history"] if "loss" in line]
    plan = pd.read_parquet(run.plan)
    borders = find_borders(plan, effective_batch_size=8)
    rates = losses["true"]
    assert len(rates) == -(-len(plan) // 8)
    assert all(rates[border] == 0 for border in borders)
    assert max(rates[borders[-1] :]) > max(losses["false"][borders[-1] :])


@pytest.mark.parametrize("warmup_ratio", [0.0, 0.5, 0.9])
def test_a_stage_of_one_step_has_a_rate_too(warmup_ratio):
    schedule = restart_schedule([1, 2], steps=3, warmup_ratio=warmup_ratio)
    expected = 0.0 if warmup_ratio else 1.0
    assert [schedule(step) for step in range(4)] == [expected] * 3 + [0.0]
