"""Average the logits of models that share a tokenizer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chaii.decoding.context_logits import ContextLogits, FloatArray


def average_logits(
    members: Sequence[ContextLogits], *, weights: Sequence[float] | None = None
) -> ContextLogits:
    """Take the weighted mean of the logits of several members, token by token.

    Members must stand on the same context tokens, so they share the tokenizer and the examples;
    the lengths and strides of their windows may differ. Weights are relative, all 1 where left out;
    a member of weight 0 is left out. The order of the members never changes a bit of the result,
    and one member returns as it is. Null logits are kept where all members have them.

    Raises:
        ValueError: no member, members on different tokens, or a weight that is negative, not
            finite, or missing; all weights zero.

    >>> low, high = (
    ...     ContextLogits(["q"], ["ab"], np.array([0, 1]), np.array([[0, 2]]), x, x, 30)
    ...     for x in np.array([[1], [4]], dtype=np.float32)
    ... )
    >>> average_logits([low, high], weights=[2, 1]).start
    array([2.], dtype=float32)
    """
    _check_members(members)
    shares = [1.0] * len(members) if weights is None else [float(weight) for weight in weights]
    check_weights(shares, len(members))
    kept = [(share, member) for share, member in zip(shares, members, strict=True) if share > 0]
    if len(kept) == 1:
        return kept[0][1]
    # Floating-point sums depend on their order, so the members are summed in an order that
    # depends on nothing but what they hold.
    kept.sort(key=lambda pair: (pair[0], _digest(pair[1])))
    total = math.fsum(shares)
    nulls = [(share / total, member.null) for share, member in kept if member.null is not None]
    return replace(
        members[0],
        start=_weighted_sum([(share / total, member.start) for share, member in kept]),
        end=_weighted_sum([(share / total, member.end) for share, member in kept]),
        null=_weighted_sum(nulls) if len(nulls) == len(kept) else None,
    )


def _weighted_sum(terms: Sequence[tuple[float, FloatArray]]) -> NDArray[np.float32]:
    result = np.zeros(len(terms[0][1]), dtype=np.float64)
    for share, logits in terms:
        result += share * logits.astype(np.float64)
    return result.astype(np.float32)


def _digest(member: ContextLogits) -> bytes:
    return hashlib.blake2b(member.start.tobytes() + member.end.tobytes()).digest()


def _check_members(members: Sequence[ContextLogits]) -> None:
    if not members:
        raise ValueError("cannot blend 0 members: at least one is needed")
    expected = members[0].row_start
    for position, member in enumerate(members):
        if not np.array_equal(member.row_start, expected):
            raise ValueError(
                f"cannot blend member {position} ({len(member.row_start) - 1} examples, "
                f"{member.row_start[-1]} context tokens) with member 0 ({len(expected) - 1} "
                f"examples, {expected[-1]} context tokens): members must share the tokenizer and "
                "the examples"
            )


def check_weights(weights: Sequence[float], members: int) -> None:
    """Make sure that relative weights make a mean.

    Raises:
        ValueError: they do not.
    """
    if len(weights) != members:
        raise ValueError(f"{len(weights)} weights for {members} members")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise ValueError(f"weights={list(weights)}: none may be negative, one must be positive")
