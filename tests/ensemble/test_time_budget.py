"""The budget: what is taken, what is left, and what is allowed."""

import pytest

from chaii.ensemble.time_budget import Budget


@pytest.fixture
def clock(monkeypatch):
    """A clock that stops until it is set: `clock.append(seconds)`."""
    seconds = [100.0]
    monkeypatch.setattr("chaii.ensemble.time_budget.time.monotonic", lambda: seconds[-1])
    return seconds


def test_what_is_taken_and_left_is_counted_from_the_beginning(clock):
    budget = Budget(2)
    clock.append(130.0)
    assert (budget.seconds_taken, budget.seconds_left) == (30, 90)
    assert Budget(None).seconds_left == float("inf")


@pytest.mark.usefixtures("clock")
def test_work_is_allowed_that_ends_in_time_with_a_tenth_to_spare():
    budget = Budget(1.1)  # 66 seconds
    assert budget.allows(59.9)
    assert not budget.allows(60.1)


@pytest.mark.usefixtures("clock")
def test_slower_work_than_estimated_raises_later_estimates():
    budget = Budget(1.1)
    budget.learn(10, 20)
    assert budget.allows(29.9)
    assert not budget.allows(30.1)
    budget.learn(10, 5)  # quicker work does not lower them
    budget.learn(0, 5)
    assert not budget.allows(30.1)
