"""Choose how to answer on held-out rows, and judge the choice on rows it was not made on."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import MethodConfig, MethodKind, SearchConfig, SpanScore
from chaii.decoding.decode import ANSWER_COLUMNS
from chaii.ensemble.methods import FUSION, Panel
from chaii.evaluation.bootstrap import Interval, bootstrap_interval
from chaii.evaluation.metrics import best_jaccard

_Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Truth:
    """What the answers of a panel are judged by, row by row."""

    golds: Sequence[Sequence[str]]  # accepted answers
    groups: Sequence[Hashable]  # rows of one group, as of one context, are drawn together

    def jaccard(self, answers: pd.DataFrame) -> NDArray[np.float64]:
        """Jaccard of every row, ``(rows,)``."""
        pairs = zip(answers["prediction"], self.golds, strict=True)
        return np.array([best_jaccard(prediction, golds) for prediction, golds in pairs])


class Selection(NamedTuple):
    """What was chosen, and why."""

    method: MethodConfig
    trials: pd.DataFrame  # one row a method: see `choose_method`
    rules: pd.DataFrame  # one row a cleaning rule and voice
    nested: pd.DataFrame | None  # answers of each row by the method chosen without it


def choose_method(
    panel: Panel, truth: Truth, *, base: MethodConfig, search: SearchConfig
) -> Selection:
    """Compare all methods out of fold, and judge the choice itself by nested folds.

    A cleaning rule is kept for a voice where the paired bootstrap interval of its gain lies above
    zero. The best method takes the place of the default, `base` as a plain vote (of a single voter:
    its own answers), where the interval of its gain over it lies above zero: the wider interval
    that lets all comparisons together err 1 time in 20 (Bonferroni). All that is chosen - ranking,
    rules, weights, score, method - is chosen again without each of `search.folds` parts of the
    rows, to answer that part: the score of these answers was never tuned on. With fewer than
    `search.min_rows` rows the default is kept untried.

    Returns the method; `trials` with columns method, jaccard, low, high, gain, gain_low, gain_high
    (against the default; low and high bound a 95 % interval), best first, the nested answers as
    "auto, nested"; `rules` with columns voice, rule, changed (rows), gain, low, high, kept.
    """
    desk = _Desk(panel, truth, base, search)
    every = np.arange(len(truth.golds))
    default = desk.default(every)
    if len(every) < search.min_rows:
        return Selection(default, desk.tabulate([default], default), pd.DataFrame(), None)
    final = desk.choose(every)
    nested = panel.answer(default)[ANSWER_COLUMNS].copy()
    for part in _part_rows(truth.groups, folds=search.folds, seed=search.seed):
        chosen = desk.choose(np.setdiff1d(every, part)).method
        nested.iloc[part] = panel.answer(chosen)[ANSWER_COLUMNS].iloc[part]
    trials = desk.tabulate([default, *final.tried], default, nested=nested)
    return Selection(final.method, trials, pd.DataFrame(final.rules), nested)


def describe_method(method: MethodConfig) -> str:
    """A method in a few words.

    >>> describe_method(MethodConfig(kind=MethodKind.vote, weights={"muril": 2.0}))
    'vote, sum, 2 x muril'
    """
    name = str(method.voice) if method.kind is MethodKind.single else method.kind.value
    words = [name, method.decode.score.value]
    words += ["contiguous"] if method.contiguous else []
    words += [f"{weight:g} x {voter}" for voter, weight in method.weights.items() if weight != 1]
    words += ["cleaned"] if any(method.cleaning.values()) else []
    return ", ".join(words)


@dataclass
class _Choice:
    method: MethodConfig
    tried: list[MethodConfig]
    rules: list[dict[str, object]] = field(default_factory=list)


@dataclass
class _Desk:
    """Chooses on some of the rows."""

    panel: Panel
    truth: Truth
    base: MethodConfig
    search: SearchConfig
    _scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def score(self, method: MethodConfig) -> NDArray[np.float64]:
        """Jaccard of every row by one method."""
        key = repr(method)
        if key not in self._scores:
            self._scores[key] = self.truth.jaccard(self.panel.answer(method))
        return self._scores[key]

    def default(self, rows: _Rows) -> MethodConfig:
        """The method to beat: a plain vote, its voters ranked on these rows."""
        means = {name: self.score(self._single(name))[rows].mean() for name in self.panel.voters}
        ranking = sorted(means, key=lambda name: -means[name])
        if len(ranking) == 1:
            return replace(self._single(ranking[0]), ranking=ranking)
        return replace(self.base, kind=MethodKind.vote, voice=None, ranking=ranking)

    def choose(self, rows: _Rows) -> _Choice:
        """The best method on these rows, of all that were tried."""
        default = self.default(rows)
        rules = [line for source in self._sources() for line in self._gate(source, default, rows)]
        kept: dict[str, list[str]] = {}
        for line in rules:
            if line["kept"]:
                kept.setdefault(str(line["voice"]), []).append(str(line["rule"]))
        tried = list(self._list_methods(default, kept))
        best = max(tried, key=lambda method: self.score(method)[rows].mean())
        gain = self._gain(best, default, rows, level=1 - 0.05 / len(tried), rounds=10_000)
        return _Choice(best if gain.low > 0 else default, tried, rules)

    def tabulate(
        self,
        methods: Sequence[MethodConfig],
        default: MethodConfig,
        *,
        nested: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """One row a method, best first; see `choose_method`."""
        scores = {describe_method(method): self.score(method) for method in methods}
        if nested is not None:
            scores["auto, nested"] = self.truth.jaccard(nested)
        interval = partial(bootstrap_interval, groups=self.truth.groups, seed=self.search.seed)
        lines = []
        for name, values in scores.items():
            score, gain = interval(values), interval(values - self.score(default))
            lines.append({"method": name, "jaccard": score.mean, "low": score.low})
            lines[-1] |= {"high": score.high, "gain": gain.mean}
            lines[-1] |= {"gain_low": gain.low, "gain_high": gain.high}
        table = pd.DataFrame(lines)
        return table.sort_values("jaccard", ascending=False, kind="stable", ignore_index=True)

    def _gain(
        self, method: MethodConfig, against: MethodConfig, rows: _Rows, **options: Any
    ) -> Interval:
        difference = (self.score(method) - self.score(against))[rows]
        groups = [self.truth.groups[row] for row in rows]
        return bootstrap_interval(difference, groups=groups, seed=self.search.seed, **options)

    def _gate(self, source: str, default: MethodConfig, rows: _Rows) -> Iterator[dict[str, object]]:
        """Try each rule on top of those kept before it."""
        kept: list[str] = []
        for rule in self.search.rules:
            before = replace(self._alone(source, default), cleaning={source: kept})
            after = replace(before, cleaning={source: [*kept, rule]})
            gain = self._gain(after, before, rows)
            old, new = (self.panel.answer(method)["prediction"] for method in (before, after))
            changed = int((old.to_numpy() != new.to_numpy())[rows].sum())
            kept = [*kept, rule] if gain.low > 0 else kept
            yield {"voice": source, "rule": rule, "changed": changed, "gain": gain.mean} | {
                "low": gain.low,
                "high": gain.high,
                "kept": gain.low > 0,
            }

    def _list_methods(
        self, default: MethodConfig, kept: dict[str, list[str]]
    ) -> Iterator[MethodConfig]:
        """All methods to compare, the simpler before those they equal."""
        for cleaning in [{}, kept] if kept else [{}]:
            for score in SpanScore:
                decode = replace(self.base.decode, score=score)
                plain = replace(default, weights={}, decode=decode, cleaning=cleaning)
                for name in self.panel.voices:
                    own = {key: rules for key, rules in cleaning.items() if key == name}
                    if own or not cleaning:
                        yield replace(self._single(name), decode=decode, cleaning=own)
                for weights in self._list_weights():
                    weighted = replace(plain, weights=weights)
                    for contiguous in (False, True):
                        yield replace(weighted, contiguous=contiguous)
                    if FUSION in cleaning or not cleaning:
                        yield replace(weighted, kind=MethodKind.fusion)

    def _list_weights(self) -> list[dict[str, float]]:
        """All voters alike, and each in turn counted twice; none where one votes alone."""
        voters = self.panel.voters
        if len(voters) < 2:
            return []
        return [{}, *({name: 2.0} for name in voters)]

    def _sources(self) -> list[str]:
        return [*self.panel.voices, *([FUSION] if len(self.panel.voters) > 1 else [])]

    def _single(self, name: str) -> MethodConfig:
        return replace(
            self.base, kind=MethodKind.single, voice=name, weights={}, contiguous=False, ranking=[]
        )

    def _alone(self, source: str, default: MethodConfig) -> MethodConfig:
        if source == FUSION:
            return replace(default, kind=MethodKind.fusion, weights={}, cleaning={})
        return self._single(source)


def _part_rows(groups: Sequence[Hashable], *, folds: int, seed: int) -> list[_Rows]:
    """Deal the rows into parts at random, whole groups each."""
    number = pd.factorize(pd.Series(list(groups)))[0]
    order = np.random.default_rng(seed).permutation(number.max() + 1)
    return [np.flatnonzero(np.isin(number, part)) for part in np.array_split(order, folds)]
