"""Methods: the predictions of several groups of members made into one answer."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pandas as pd

from chaii.config.ensemble import Merge, MethodConfig, MethodKind
from chaii.decoding.cleaning import clean_answers
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers
from chaii.ensemble.fusion import fuse_characters
from chaii.ensemble.vote import vote

FUSION = "fusion"  # names the fused answers where rules are set by group


class MemberPredictions:
    """Averaged logits of all groups of members for the same examples.

    `load` returns them for either way to merge windows. `voters` are the groups that vote and are
    fused. What several methods share is computed once.
    """

    def __init__(
        self, load: Callable[[Merge], Mapping[str, ContextLogits]], *, voters: Sequence[str]
    ) -> None:
        self.groups = cache(load)
        self.voters = voters
        self._known: dict[Hashable, pd.DataFrame] = {}

    def answer(self, method: MethodConfig) -> pd.DataFrame:
        """Answer all examples by one method, which is not ``auto``.

        Returns the columns of `decode_answers`, and those of `vote` where the method is a vote.
        """
        if method.kind is not MethodKind.vote:
            source = FUSION if method.kind is MethodKind.fusion else method.group
            return self.answer_alone(str(source), method)
        others = [name for name in self.voters if name not in method.ranking]
        ranking = [*(name for name in method.ranking if name in self.voters), *others]
        key = ("vote", repr(replace(method, ranking=ranking)))
        if key not in self._known:
            self._known[key] = vote(
                {name: self.answer_alone(name, method) for name in self.voters},
                contexts=self.groups(method.decode.merge)[ranking[0]].contexts,
                ranking=ranking,
                weights=method.weights,
                by=method.vote_by,
                tie=method.tie,
                contiguous=method.contiguous,
            )
        return self._known[key]

    def answer_alone(self, source: str, method: MethodConfig) -> pd.DataFrame:
        """Cleaned answers of one group, or of all voters where `source` is "fusion"."""
        groups = self.groups(method.decode.merge)
        given = sorted(method.weights.items()) if source == FUSION else ()
        key = (source, repr(method.decode), *given)
        if key not in self._known:
            if source == FUSION:
                voters, weights = {name: groups[name] for name in self.voters}, method.weights
                answers = fuse_characters(voters, decoding=method.decode, weights=weights)
            else:
                answers = decode_answers(groups[source], decoding=method.decode)
            self._known[key] = answers
        rules = method.cleaning.get(source, [])
        if not rules:
            return self._known[key]
        cleaned = ("cleaned", *key, *rules)
        if cleaned not in self._known:
            contexts = groups[self.voters[0]].contexts
            self._known[cleaned] = clean_answers(self._known[key], contexts, rules=rules)
        return self._known[cleaned]
