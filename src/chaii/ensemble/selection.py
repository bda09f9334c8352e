"""Choose the method on out-of-fold predictions, and score the choice on rows not used for it."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import (
    Merge,
    MethodConfig,
    MethodKind,
    SearchConfig,
    SpanScore,
    Tie,
    VoteBy,
)
from chaii.decoding.decode import ANSWER_COLUMNS
from chaii.ensemble.methods import FUSION, MemberPredictions
from chaii.evaluation.bootstrap import Interval, bootstrap_interval
from chaii.evaluation.metrics import best_jaccard

_Rows = NDArray[np.int64]
_MERGES = {Merge.max: "merged by maximum", Merge.mean: "merged by mean", Merge.none: "not merged"}


@dataclass(frozen=True, eq=False)
class GoldAnswers:
    """Accepted answers, row by row, and the context of each row."""

    texts: Sequence[Sequence[str]]
    contexts: Sequence[Hashable]  # rows of one context are drawn together by the bootstrap

    def score(self, answers: pd.DataFrame) -> NDArray[np.float64]:
        """Return the Jaccard of every row, ``(rows,)``."""
        pairs = zip(answers["prediction"], self.texts, strict=True)
        return np.array([best_jaccard(prediction, accepted) for prediction, accepted in pairs])


class Selection(NamedTuple):
    """The chosen method and the results it was chosen by."""

    method: MethodConfig
    trials: pd.DataFrame  # one row per method: see `choose_method`
    rules: pd.DataFrame  # one row per cleaning rule and group
    nested: pd.DataFrame | None  # answers to each row by the method chosen without it


def choose_method(
    predictions: MemberPredictions, gold: GoldAnswers, *, base: MethodConfig, search: SearchConfig
) -> Selection:
    """Compare all methods on out-of-fold rows, and score the choice itself by nested folds.

    Compared are single groups, votes and fusions, with every span score, one voter counted twice,
    votes by place and by text, contiguous or not, with and without the cleaning rules; then the
    rules for ties of the best vote; then, for the best of all, the longest answer in words and the
    merging of windows. Not compared are null thresholds and weights of runs inside a group.
    A cleaning rule is kept for a group if the paired bootstrap interval of its gain is above zero.
    The best method replaces the default - `base` as a plain vote, or the only voter's own answers -
    if the interval of its gain is above zero. That interval is wider (Bonferroni), so that all
    comparisons together err 1 time in 20. Ranking, rules, weights, score and method are chosen
    again without each of `search.folds` parts of the rows, to answer that part: no answer of the
    nested folds comes from a choice that used its row. With fewer than `search.min_rows` rows the
    default is kept and nothing is tried.

    Returns the method; `trials` with columns method, jaccard, low, high, gain, gain_low, gain_high
    (gain over the default; low and high bound a 95 % interval), best first, the nested folds as
    "auto, nested"; `rules` with columns group, rule, changed (rows), gain, low, high, kept.
    """
    trial = _Search(predictions, gold, base, search)
    every = np.arange(len(gold.texts))
    default = trial.default(every)
    if len(every) < search.min_rows:
        return Selection(default, trial.tabulate([default]), pd.DataFrame(), None)
    method, tried, rules = trial.choose(every)
    nested = predictions.answer(default)[ANSWER_COLUMNS].copy()
    number = pd.factorize(pd.Series(list(gold.contexts)))[0]
    order = np.random.default_rng(search.seed).permutation(number.max() + 1)
    for contexts in np.array_split(order, search.folds):
        part = np.flatnonzero(np.isin(number, contexts))
        chosen, *_ = trial.choose(np.setdiff1d(every, part))
        nested.iloc[part] = predictions.answer(chosen)[ANSWER_COLUMNS].iloc[part]
    trials = trial.tabulate([default, *tried], nested)
    return Selection(method, trials, pd.DataFrame(rules), nested)


def describe_method(method: MethodConfig) -> str:
    """Describe a method in a few words.

    >>> method = MethodConfig(weights={"muril": 2.0})
    >>> method.decode.max_words = 5
    >>> describe_method(method)
    'vote, sum, at most 5 words, 2 x muril'
    """
    name = str(method.group) if method.kind is MethodKind.single else method.kind.value
    decode = method.decode
    words = [name, decode.score.value]
    words += [_MERGES[decode.merge]] if decode.merge in _MERGES else []
    words += [f"at most {decode.max_words} words"] if decode.max_words else []
    if method.kind is MethodKind.vote:
        words += ["by text"] if method.vote_by is VoteBy.text else []
        words += [f"tie {method.tie.value}"] if method.tie is not Tie.drop else []
        words += ["contiguous"] if method.contiguous else []
    words += [f"{weight:g} x {voter}" for voter, weight in method.weights.items() if weight != 1]
    words += ["cleaned"] if any(method.cleaning.values()) else []
    return ", ".join(words)


@dataclass
class _Search:
    """The search of `choose_method`, on any part of the rows."""

    predictions: MemberPredictions
    gold: GoldAnswers
    base: MethodConfig
    search: SearchConfig
    _scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def score(self, method: MethodConfig) -> NDArray[np.float64]:
        """Return the Jaccard of every row by one method."""
        key = repr(method)
        if key not in self._scores:
            self._scores[key] = self.gold.score(self.predictions.answer(method))
        return self._scores[key]

    @property
    def names(self) -> Sequence[str]:
        """All groups."""
        return list(self.predictions.groups(self.base.decode.merge))

    def single(self, name: str) -> MethodConfig:
        """One group alone."""
        plain = replace(self.base, weights={}, contiguous=False, ranking=[])
        return replace(plain, kind=MethodKind.single, group=name)

    def default(self, rows: _Rows) -> MethodConfig:
        """The method to compare with: a plain vote, its voters ranked on these rows."""
        voters = self.predictions.voters
        means = {name: self.score(self.single(name))[rows].mean() for name in voters}
        ranking = sorted(means, key=lambda name: -means[name])
        if len(ranking) == 1:
            return replace(self.single(ranking[0]), ranking=ranking)
        return replace(self.base, kind=MethodKind.vote, group=None, ranking=ranking)

    def choose(self, rows: _Rows) -> tuple[MethodConfig, list[MethodConfig], list[dict[str, Any]]]:
        """The best method on these rows, all that were tried, and what each rule gained."""
        default = self.default(rows)
        rules = list(self.try_rules(default, rows))
        kept: dict[str, list[str]] = {}
        for line in rules:
            if line["kept"]:
                kept.setdefault(line["group"], []).append(line["rule"])

        def mean(method: MethodConfig) -> float:
            return float(self.score(method)[rows].mean())

        tried = list(self.list_methods(default, kept))
        votes = [method for method in tried if method.kind is MethodKind.vote]
        if votes:
            best = max(votes, key=mean)
            tried += [replace(best, tie=tie) for tie in Tie if tie is not best.tie]
        best = max(tried, key=mean)
        # Merge.none is not tried: it cannot average members with windows of other lengths
        merges = [one for one in Merge if one not in (Merge.none, best.decode.merge)]
        varied: dict[str, Sequence[Any]] = {"max_words": self.search.max_words, "merge": merges}
        for name, values in varied.items():
            decodes = [replace(best.decode, **{name: value}) for value in values]
            variants = [replace(best, decode=decode) for decode in decodes]
            tried += variants
            best = max([best, *variants], key=mean)
        gain = self.gain(best, default, rows, level=1 - 0.05 / len(tried), rounds=10_000)
        return best if gain.low > 0 else default, tried, rules

    def gain(
        self, method: MethodConfig, over: MethodConfig, rows: _Rows, **options: Any
    ) -> Interval:
        """The paired gain of one method over another on these rows."""
        difference = (self.score(method) - self.score(over))[rows]
        contexts = [self.gold.contexts[row] for row in rows]
        return bootstrap_interval(difference, clusters=contexts, seed=self.search.seed, **options)

    def try_rules(self, default: MethodConfig, rows: _Rows) -> Iterator[dict[str, Any]]:
        """Try each cleaning rule on each group, after the rules that were kept before it."""
        alone = {name: self.single(name) for name in self.names}
        if len(self.predictions.voters) > 1:
            alone[FUSION] = replace(default, kind=MethodKind.fusion, weights={}, cleaning={})
        for source, method in alone.items():
            kept: list[str] = []
            for rule in self.search.rules:
                before = replace(method, cleaning={source: kept})
                after = replace(method, cleaning={source: [*kept, rule]})
                gain = self.gain(after, before, rows)
                old, new = (self.predictions.answer(m)["prediction"] for m in (before, after))
                changed = int((old.to_numpy() != new.to_numpy())[rows].sum())
                kept = [*kept, rule] if gain.low > 0 else kept
                line = {"group": source, "rule": rule, "changed": changed, "gain": gain.mean}
                yield line | {"low": gain.low, "high": gain.high, "kept": gain.low > 0}

    def list_methods(
        self, default: MethodConfig, kept: dict[str, list[str]]
    ) -> Iterator[MethodConfig]:
        """All methods to compare, a simpler one before those that may equal it."""
        voters = self.predictions.voters
        weightings = [{}, *({name: 2.0} for name in voters)] if len(voters) > 1 else []
        for cleaning in [{}, kept] if kept else [{}]:
            for score in SpanScore:
                decode = replace(self.base.decode, score=score)
                for name in self.names:
                    own = {key: rules for key, rules in cleaning.items() if key == name}
                    if own or not cleaning:
                        yield replace(self.single(name), decode=decode, cleaning=own)
                for weights in weightings:
                    plain = replace(default, weights=weights, decode=decode, cleaning=cleaning)
                    for by, contiguous in product(VoteBy, (False, True)):
                        yield replace(plain, vote_by=by, contiguous=contiguous)
                    if FUSION in cleaning or not cleaning:
                        yield replace(plain, kind=MethodKind.fusion)

    def tabulate(
        self, methods: Sequence[MethodConfig], nested: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """Make the table of trials, the first of which is the default: see `choose_method`."""
        scores = {describe_method(method): self.score(method) for method in methods}
        if nested is not None:
            scores["auto, nested"] = self.gold.score(nested)
        interval = partial(bootstrap_interval, clusters=self.gold.contexts, seed=self.search.seed)
        lines = []
        for name, values in scores.items():
            score, gain = interval(values), interval(values - self.score(methods[0]))
            line = {"method": name, "jaccard": score.mean, "low": score.low, "high": score.high}
            line |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
            lines.append(line)
        table = pd.DataFrame(lines)
        return table.sort_values("jaccard", ascending=False, kind="stable", ignore_index=True)
