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
    return make_member(start, end, row_start)


def make_member(start: ArrayLike, end: ArrayLike, row_start: Sequence[int]) -> ContextLogits:
    """Logits of examples that are told apart by their number alone."""
    rows = [str(row) for row in range(len(row_start) - 1)]
    start, end = (np.asarray(side, dtype=np.float32) for side in (start, end))
    offsets = np.zeros((len(start), 2), dtype=np.int32)
    return ContextLogits(
        rows, rows, np.array(row_start), offsets, start, end, np.zeros(len(rows)), 30
    )


def test_average_is_the_weighted_mean() -> None:
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
        make_member(huge.start * sign, huge.end * sign, huge.row_start.tolist())
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
    member = random_member(0)
    for average in (average_logits([member], weights=[weight]), average_logits([member] * 3)):
        assert average.start.tobytes() == member.start.tobytes()
        assert average.end.tobytes() == member.end.tobytes()


def test_a_token_one_member_does_not_cover_stays_impossible() -> None:
    member = make_member([1, -np.inf], [1, -np.inf], (0, 2))
    other = make_member([1, 1], [1, -np.inf], (0, 2))
    assert average_logits([member, other]).start.tolist() == [1, -np.inf]


def test_members_on_other_tokens_are_refused() -> None:
    members = [random_member(0), random_member(1, row_start=(0, 40, 41, 300))]
    with pytest.raises(ValueError, match=r"of 3 and 3 examples with 300 .* share the tokenizer"):
        average_logits(members)


def test_unmerged_members_of_other_windows_are_refused() -> None:
    member = random_member(0)
    shifted = replace(member, offsets=member.offsets + 1)
    with pytest.raises(ValueError, match="with merge=none the windows"):
        average_logits([member, shifted])


def test_null_logits_are_averaged_too() -> None:
    low, high = (
        replace(random_member(0), null=np.full(3, value, dtype=np.float32)) for value in (1, 4)
    )
    assert average_logits([low, high], weights=[2, 1]).null.tolist() == [2, 2, 2]
