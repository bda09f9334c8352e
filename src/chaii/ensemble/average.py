"""Average the logits of models that share a tokenizer."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from chaii.decoding.context_logits import ContextLogits


def average_logits(
    members: Sequence[ContextLogits], weights: Sequence[float] | None = None
) -> ContextLogits:
    """Take the weighted mean of the logits of several members, token by token.

    The members must share the tokenizer and the examples; their windows may differ if the logits
    are merged. Weights are positive and relative, 1 each by default. The order of the members does
    not change a bit of the result.

    Raises:
        ValueError: two members differ in their context tokens.

    >>> low, high = (
    ...     ContextLogits(["q"], ["ab"], np.array([0, 1]), np.array([[0, 2]]), x, x, x, 30)
    ...     for x in np.array([[1], [4]], dtype=np.float32)
    ... )
    >>> average_logits([low, high], weights=[2, 1]).start
    array([2.], dtype=float32)
    """
    first = members[0]
    for member in members[1:]:
        same_rows = np.array_equal(member.row_start, first.row_start)
        if not (same_rows and np.array_equal(member.offsets, first.offsets)):
            raise ValueError(
                f"cannot average logits of {len(first)} and {len(member)} examples with "
                f"{len(first.start)} and {len(member.start)} context tokens: members of a group "
                "must share the tokenizer and the examples, and with merge=none the windows"
            )
    if len(members) == 1:
        return first
    # A sum of floats depends on its order, so the order depends only on what is summed.
    digests = [hashlib.blake2b(one.start.tobytes() + one.end.tobytes()).digest() for one in members]
    given = zip(weights or [1.0] * len(members), digests, members, strict=True)
    terms = sorted(given, key=itemgetter(0, 1))
    total = math.fsum(weight for weight, *_ in terms)

    def mean(name: str) -> NDArray[np.float32]:
        parts = (w / total * getattr(member, name).astype(float) for w, _, member in terms)
        return np.asarray(sum(parts), dtype=np.float32)

    return replace(first, start=mean("start"), end=mean("end"), null=mean("null"))
