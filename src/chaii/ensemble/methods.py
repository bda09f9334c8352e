"""Several voices on the same examples, made into one answer by any method."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from chaii.config.ensemble import DecodeConfig, MethodConfig, MethodKind
from chaii.decoding.cleaning import clean_answers
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers
from chaii.ensemble.fusion import fuse_characters
from chaii.ensemble.vote import vote

FUSION = "fusion"  # what the answers of all voters together are called where rules are chosen


class Panel:
    """Voices that answer the same examples; `voters` are those who vote and are fused.

    Whatever several methods share is worked out once.

    Raises:
        ValueError: a voter that is no voice, or voices with other examples than the first.
    """

    def __init__(self, voices: Mapping[str, ContextLogits], *, voters: Sequence[str]) -> None:
        unknown = sorted(set(voters) - set(voices))
        if unknown or not voters:
            raise ValueError(f"voters={list(voters)}: must be some of {sorted(voices)}")
        expected = list(voices[voters[0]].ids)
        for name, voice in voices.items():
            if list(voice.ids) != expected:
                raise ValueError(f"voice {name!r} answers other examples than {voters[0]!r}")
        self.voices = dict(voices)
        self.voters = list(voters)
        self.contexts = list(voices[voters[0]].contexts)
        self._known: dict[Hashable, pd.DataFrame] = {}

    def answer(self, method: MethodConfig) -> pd.DataFrame:
        """Answers by one method, ``auto`` excepted: columns as made by `decode_answers`, or `vote`.

        Raises:
            ValueError: a voice or rule that is not there, or weights that make no mean.
        """
        if method.kind is MethodKind.vote:
            return self._vote(method)
        source = FUSION if method.kind is MethodKind.fusion else method.voice
        return self.hear(str(source), method)

    def hear(self, source: str, method: MethodConfig) -> pd.DataFrame:
        """Cleaned answers of one voice, or of all voters fused, as `method` decodes them."""
        raw = self._hear_raw(source, method)
        rules = method.cleaning.get(source, [])
        if not rules:
            return raw
        key = ("clean", source, *rules, _freeze(method.decode), *_shares(source, method))
        if key not in self._known:
            self._known[key] = clean_answers(raw, self.contexts, rules=rules)
        return self._known[key]

    def _hear_raw(self, source: str, method: MethodConfig) -> pd.DataFrame:
        key = ("raw", source, _freeze(method.decode), *_shares(source, method))
        if key not in self._known:
            self._known[key] = (
                fuse_characters(
                    {name: self.voices[name] for name in self.voters},
                    decoding=method.decode,
                    weights={name: method.weights.get(name, 1.0) for name in self.voters},
                )
                if source == FUSION
                else decode_answers(self._find(source), decoding=method.decode)
            )
        return self._known[key]

    def _vote(self, method: MethodConfig) -> pd.DataFrame:
        unranked = [name for name in self.voters if name not in method.ranking]
        ranking = [name for name in method.ranking if name in self.voters] + unranked
        key = ("vote", str(replace(method, ranking=ranking)))
        if key not in self._known:
            self._known[key] = vote(
                {name: self.hear(name, method) for name in self.voters},
                contexts=self.contexts,
                ranking=ranking,
                weights={name: method.weights.get(name, 1.0) for name in self.voters},
                tie=method.tie.value,
                contiguous=method.contiguous,
            )
        return self._known[key]

    def _find(self, name: str) -> ContextLogits:
        if name not in self.voices:
            raise ValueError(f"method.voice={name}: must be one of {', '.join(self.voices)}")
        return self.voices[name]


def _freeze(decoding: DecodeConfig) -> str:
    return repr(decoding)


def _shares(source: str, method: MethodConfig) -> tuple[Any, ...]:
    """What else the answers of a source depend on."""
    return tuple(sorted(method.weights.items())) if source == FUSION else ()
