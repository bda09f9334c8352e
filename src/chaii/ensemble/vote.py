"""Let backbones with different tokenizers agree on an answer, word by word."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import pandas as pd

_WORD = re.compile(r"\S+")
_COLUMNS = ["prediction", "score", "start_char", "end_char", "words"]
_TIES = ("drop", "keep", "best")
_SAME = 1e-9  # shares of the whole weight that differ by less are equal

Range = tuple[int, int]  # half-open characters of the context
_Key = TypeVar("_Key")


@dataclass(frozen=True)
class _Ballot:
    """What one backbone answers to one question."""

    prediction: str
    start_char: int
    end_char: int
    share: float  # of the weight of all backbones


def vote(
    answers: Mapping[str, pd.DataFrame],
    *,
    contexts: Sequence[str],
    ranking: Sequence[str],
    weights: Mapping[str, float] | None = None,
    tie: str = "drop",
    contiguous: bool = False,
) -> pd.DataFrame:
    """Let the backbones vote on every word of the context, by its position.

    `answers` gives each backbone's table (id, prediction, start_char, end_char; as made by
    `decode_answers`), all with the same ids in the same order, `contexts` the text of each row,
    `ranking` the backbones, best out of fold first, `weights` their relative weights (left out: 1
    each); a backbone of weight 0 is as if absent. The rule:

    1. Words are the maximal runs of non-whitespace in the context. A backbone holds a word when the
       characters of its answer overlap it; an empty answer holds none, and still counts as a voter.
    2. A word stays when its holders have more than half of the weight. At exactly half, `tie` says
       whether it goes ("drop"), stays ("keep"), or stays if the backbone ranked first holds it
       ("best").
    3. With `contiguous`, only one run of words that are neighbours in the context stays: the one
       with the largest sum of its words' holders' weights, the earliest among equals.
    4. Of a word that stays, the part is printed whose holders weigh most (one may hold "दिल्ली"
       where another holds "दिल्ली।"); among equals, the part of the backbone ranked highest.
    5. Parts are printed in the order of the context. Where nothing but whitespace lies between two
       of them, that whitespace is kept; elsewhere one blank joins them.
    6. Where no word stays, the backbone ranked first answers, be its answer empty.

    So one backbone alone returns exactly its own answers, and the order of `answers` is nothing.

    Returns columns id, prediction, score, start_char, end_char, words. `score` is the share of the
    weight that holds a printed word, averaged over the printed words; 0 for an empty answer.
    `start_char` and `end_char` enclose all that is printed; `prediction` is that text unless
    something inside it was voted out. `words` is the number of words that stayed: 0 where the
    backbone ranked first answered alone.

    Source: the winning solution of chaii (Kaggle, 2021) keeps a word that two of three backbones
    hold; its tie rule, weights and word order are not published, so 3 to 6 are ours.

    Raises:
        ValueError: `ranking` or `weights` do not name each backbone once, a weight is negative or
            not finite, none is positive, `tie` is unknown, ids differ, or an answer is not the text
            of its context at its characters.
    """
    _check_voters(answers, contexts, ranking)
    shares = _share_out(dict.fromkeys(answers, 1.0) if weights is None else weights, ranking)
    if tie not in _TIES:
        raise ValueError(f"tie={tie!r}: must be one of {_TIES}")
    ballots = [list(_read_ballots(answers[name], contexts, name, shares[name])) for name in shares]
    rows = [
        _vote_row(context, row_ballots, tie=tie, contiguous=contiguous)
        for context, row_ballots in zip(contexts, zip(*ballots, strict=True), strict=True)
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table.insert(0, "id", answers[ranking[0]]["id"].to_list())
    whole = dict.fromkeys(["start_char", "end_char", "words"], "int64")
    return table.astype({"prediction": "str", "score": "float64", **whole})


def _vote_row(
    context: str, ballots: Sequence[_Ballot], *, tie: str, contiguous: bool
) -> tuple[str, float, int, int, int]:
    """Apply the rule to one row; `ballots` best first."""
    holders: dict[Range, list[tuple[Range, float]]] = {}  # each word's held parts, best first
    for ballot in ballots:
        for word, part in _held_words(context, ballot):
            holders.setdefault(word, []).append((part, ballot.share))
    held = {word: math.fsum(share for _, share in parts) for word, parts in holders.items()}
    leader = ballots[0]
    own = sorted(word for word, _ in _held_words(context, leader))
    tied_stay = {"drop": [], "keep": held, "best": own}[tie]
    winners = sorted(
        word for word in held if held[word] > 0.5 + (-_SAME if word in tied_stay else _SAME)
    )
    if contiguous and winners:
        runs = _split_runs(context, winners)
        winners = list(_heaviest((run, held[word]) for run in runs for word in run))
    printed = winners or own
    score = math.fsum(held[word] for word in printed) / max(len(printed), 1)
    if not winners:
        return leader.prediction, score, leader.start_char, leader.end_char, 0
    parts = [_heaviest(holders[word]) for word in winners]
    return _join_parts(context, parts), score, parts[0][0], parts[-1][1], len(winners)


def _heaviest(weighted: Iterable[tuple[_Key, float]]) -> _Key:
    """Key with the largest sum of weights; among equals the one met first."""
    sums: dict[_Key, list[float]] = {}
    for key, weight in weighted:
        sums.setdefault(key, []).append(weight)
    totals = {key: math.fsum(values) for key, values in sums.items()}
    most = max(totals.values())
    return next(key for key, total in totals.items() if total > most - _SAME)


def _split_runs(context: str, words: Sequence[Range]) -> list[tuple[Range, ...]]:
    """Runs of words with nothing but whitespace between them."""
    runs = [[words[0]]]
    for left, right in pairwise(words):
        if context[left[1] : right[0]].isspace():
            runs[-1].append(right)
        else:
            runs.append([right])
    return [tuple(run) for run in runs]


def _held_words(context: str, ballot: _Ballot) -> Iterator[tuple[Range, Range]]:
    """Each word the answer overlaps, with the part of it the answer covers."""
    if ballot.start_char == ballot.end_char:
        return
    border = ballot.start_char
    while border > 0 and not context[border - 1].isspace():
        border -= 1
    for match in _WORD.finditer(context, border):
        first, last = match.span()
        if first >= ballot.end_char:
            return
        if last > ballot.start_char:
            yield (first, last), (max(first, ballot.start_char), min(last, ballot.end_char))


def _join_parts(context: str, parts: Sequence[Range]) -> str:
    text = context[slice(*parts[0])]
    for (_, left_end), (right_start, right_end) in pairwise(parts):
        between = context[left_end:right_start]
        text += (between if between.isspace() else " ") + context[right_start:right_end]
    return text


def _read_ballots(
    table: pd.DataFrame, contexts: Sequence[str], backbone: str, share: float
) -> Iterator[_Ballot]:
    columns: Iterable[tuple[str, str, int, int]] = zip(
        *(table[name].to_list() for name in ("id", "prediction", "start_char", "end_char")),
        strict=True,
    )
    for context, (row_id, prediction, start_char, end_char) in zip(contexts, columns, strict=True):
        if context[start_char:end_char] != prediction:
            raise ValueError(
                f"answers of {backbone!r}, id {row_id!r}: characters {start_char} to {end_char} "
                f"read {context[start_char:end_char]!r}, the prediction {prediction!r}"
            )
        yield _Ballot(prediction, start_char, end_char, share)


def _check_voters(
    answers: Mapping[str, pd.DataFrame], contexts: Sequence[str], ranking: Sequence[str]
) -> None:
    if not ranking or sorted(ranking) != sorted(answers):
        raise ValueError(
            f"ranking={list(ranking)} must name each of the backbones {sorted(answers)} once"
        )
    expected = answers[ranking[0]]["id"].to_list()
    for name in ranking:
        if answers[name]["id"].to_list() != expected:
            raise ValueError(f"the ids of {name!r} differ from those of {ranking[0]!r}")
    if len(contexts) != len(expected):
        raise ValueError(f"{len(contexts)} contexts for {len(expected)} answers")


def _share_out(weights: Mapping[str, float], ranking: Sequence[str]) -> dict[str, float]:
    """Share of the whole weight of each backbone of positive weight, best first."""
    if sorted(weights) != sorted(ranking):
        raise ValueError(f"weights={dict(weights)} must name each of {sorted(ranking)}")
    numbers = weights.values()
    if not all(math.isfinite(weight) and weight >= 0 for weight in numbers) or not any(numbers):
        raise ValueError(f"weights={dict(weights)}: none may be negative, one must be positive")
    total = math.fsum(numbers)
    return {name: weights[name] / total for name in ranking if weights[name] > 0}
