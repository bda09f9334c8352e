from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from chaii.decoding.context_logits import ContextLogits
from chaii.ensemble.average import average_logits


def random_member(seed: int, *, row_start: tuple[int, ...] = (0, 40, 40, 300)) -> ContextLogits:
    rng = np.random.default_rng(seed)
    start, end = rng.normal(size=(2, row_start[-1])) * 10.0 ** rng.integers(-6, 6)
    return member_of(start, end, row_start)


def member_of(start: ArrayLike, end: ArrayLike, row_start: Sequence[int]) -> ContextLogits:
    rows = [str(row) for row in range(len(row_start) - 1)]
    start, end = np.array(start, np.float32), np.array(end, np.float32)
    offsets = np.zeros((len(start), 2), np.int32)
    return ContextLogits(rows, rows, np.array(row_start), offsets, start, end, 30)


def testaverage_is_the_weighted_mean() -> None:
    members = [random_member(seed) for seed in range(3)]
    average = average_logits(members, weights=[1, 2, 5])
    for side in ("start", "end"):
        parts = [getattr(member, side) for member in members]
        np.testing.assert_allclose(
            getattr(average, side), np.average(parts, axis=0, weights=[1, 2, 5]), rtol=1e-5
        )


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 0.7]])
def test_order_of_members_never_changes_a_bit(weights: list[float] | None) -> None:
    small, huge, other = (random_member(seed) for seed in range(3))
    huge, opposite = (
        replace(huge, start=huge.start * sign, end=huge.end * sign)
        for sign in (np.float32(1e25), np.float32(-1e25))
    )
    members = [small, huge, other, opposite]  # a plain sum loses bits, and which depends on order
    averages = {
        (average.start.tobytes(), average.end.tobytes())
        for order in permutations(range(4))
        for average in [
            average_logits(
                [members[i] for i in order], weights=weights and [weights[i] for i in order]
            )
        ]
    }
    assert len(averages) == 1


@pytest.mark.parametrize("weight", [0.1, 1.0, 3.0])
def test_one_member_returns_as_it_is(weight: float) -> None:
    member, other = random_member(0), random_member(1)
    for average in (
        average_logits([member], weights=[weight]),
        average_logits([other, member], weights=[0, weight]),
        average_logits([member] * 3),
    ):
        assert average.start.tobytes() == member.start.tobytes()
        assert average.end.tobytes() == member.end.tobytes()


def test_a_token_one_member_does_not_cover_stays_impossible() -> None:
    member = member_of([1, -np.inf], [1, -np.inf], [0, 2])
    other = member_of([1, 1], [1, -np.inf], [0, 2])
    assert average_logits([member, other]).start.tolist() == [1, -np.inf]


def test_members_on_other_tokens_are_refused() -> None:
    members = [random_member(0), random_member(1, row_start=(0, 40, 41, 300))]
    with pytest.raises(ValueError, match=r"member 1 .3 examples, 300 .* share the tokenizer"):
        average_logits(members)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "1 weights for 2 members"),
        ([1, -1], "none may be negative"),
        ([1, np.nan], "none may be negative"),
        ([0, 0], "one must be positive"),
    ],
)
def test_weights_that_make_no_mean_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        average_logits([random_member(0), random_member(1)], weights=weights)


def test_no_member_is_refused() -> None:
    with pytest.raises(ValueError, match="0 members"):
        average_logits([])
