"""Methods: what they ask of the vote and of the fusion."""

import numpy as np
import pytest

from chaii.config.ensemble import MethodConfig, MethodKind
from chaii.decoding.context_logits import ContextLogits
from chaii.ensemble.methods import MemberPredictions


def prefer(word):
    """Logits of a voter that answers one of two words."""
    logits = np.where(np.arange(2) == word, 3.0, 0.0).astype(np.float32)
    offsets = np.array([[0, 4], [5, 9]], dtype=np.int32)
    null, row_start = np.zeros(1), np.array([0, 2])
    return ContextLogits(["a"], ["Rana Mira"], row_start, offsets, logits, logits, null, 1)


@pytest.mark.parametrize("kind", [MethodKind.vote, MethodKind.fusion])
@pytest.mark.parametrize(("weights", "answer"), [({"one": 3}, "Rana"), ({"two": 3}, "Mira")])
def test_the_voter_of_more_weight_is_followed(kind, weights, answer):
    groups = {"one": prefer(0), "two": prefer(1)}
    predictions = MemberPredictions(lambda _: groups, voters=list(groups))
    method = MethodConfig(kind=kind, weights=weights)
    assert predictions.answer(method)["prediction"].to_list() == [answer]
