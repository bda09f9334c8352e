"""Vote: voters with different tokenizers agree on an answer word by word."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeVar

import pandas as pd

from chaii.config.ensemble import Tie

_WORD = re.compile(r"\S+")
_EQUAL = 1e-9  # shares of the whole weight that differ by less are equal

Range = tuple[int, int]  # half-open characters of the context
_Key = TypeVar("_Key")


class Answer(NamedTuple):
    """The answer of one voter to one question."""

    prediction: str
    start_char: int
    end_char: int
    share: float  # of the weight of all voters


def vote(
    answers: Mapping[str, pd.DataFrame],
    *,
    contexts: Sequence[str],
    ranking: Sequence[str],
    weights: Mapping[str, float] | None = None,
    tie: Tie = Tie.drop,
    contiguous: bool = False,
) -> pd.DataFrame:
    """Let voters vote on every word of the context, by its position.

    `answers` holds a table of `decode_answers` per voter, all of the same rows; `contexts` the text
    of each row; `ranking` the voters, best first; `weights` their relative weights, 1 where not
    named. A voter of weight 0 takes no part. The rule:

    1. Words are the maximal runs of non-whitespace in the context. A voter holds the words that the
       characters of its answer overlap. An empty answer holds none, and its voter still counts.
    2. A word is kept if its holders have more than half of the weight. At exactly half, `tie`
       decides.
    3. With `contiguous`, one run of words that are neighbours in the context is kept: the one with
       the largest sum of its holders' weights, the earliest among equals.
    4. Of a kept word, the part is printed that the most weight holds ("दिल्ली" or "दिल्ली।"), among
       equals that of the voter ranked highest.
    5. Parts are printed in the order of the context. Whitespace between two of them is kept; where
       there is more between them, a space joins them.
    6. If no word is kept, the answer of the voter ranked first is printed, even if it is empty.

    So one voter alone returns exactly its own answers.

    Returns the columns of `decode_answers` and `words`. `score` is the share of the weight that
    holds a printed word, averaged over the printed words; 0 for an empty answer. `start_char` and
    `end_char` enclose all that is printed. `words` is the number of words that were kept: 0 where
    rule 6 applies.

    Source: the winning solution of chaii (Kaggle, 2021) keeps a word that two of three backbones
    hold. Its tie rule, weights and word order are not published: 3 to 6 are ours.
    """
    given = {name: (weights or {}).get(name, 1.0) for name in ranking}
    total = math.fsum(given.values())
    voters = [
        [
            Answer(text, start_char, end_char, weight / total)
            for text, start_char, end_char in zip(
                *(answers[name][column] for column in ("prediction", "start_char", "end_char")),
                strict=True,
            )
        ]
        for name, weight in given.items()
        if weight
    ]
    rows = [
        vote_row(context, row, tie=tie, contiguous=contiguous)
        for context, *row in zip(contexts, *voters, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["prediction", "score", "start_char", "end_char", "words"])
    table.insert(0, "id", answers[ranking[0]]["id"].to_list())
    integers = dict.fromkeys(["start_char", "end_char", "words"], "int64")
    return table.astype({"prediction": "str", "score": "float64", **integers})


def vote_row(
    context: str, answers: Sequence[Answer], *, tie: Tie, contiguous: bool
) -> tuple[str, float, int, int, int]:
    """Apply the rule of `vote` to one row; `answers` are sorted by the ranking.

    Returns prediction, score, start_char, end_char and words.
    """
    holders: dict[Range, list[tuple[Range, float]]] = {}  # held parts of each word, best first
    for answer in answers:
        for word, part in held_words(context, answer):
            holders.setdefault(word, []).append((part, answer.share))
    held = {word: math.fsum(share for _, share in parts) for word, parts in holders.items()}
    first = answers[0]
    own = sorted(word for word, _ in held_words(context, first))
    kept_at_half = {Tie.drop: [], Tie.keep: held, Tie.best: own}[tie]
    kept = sorted(
        word for word in held if held[word] > 0.5 + (-_EQUAL if word in kept_at_half else _EQUAL)
    )
    if contiguous and kept:
        gaps = (not context[left[1] : right[0]].isspace() for left, right in pairwise(kept))
        run_of = dict(zip(kept, accumulate(gaps, initial=0), strict=True))
        heaviest = _find_heaviest((run_of[word], held[word]) for word in kept)
        kept = [word for word in kept if run_of[word] == heaviest]
    printed = kept or own
    score = math.fsum(held[word] for word in printed) / max(len(printed), 1)
    if not kept:
        return first.prediction, score, first.start_char, first.end_char, 0
    parts = [_find_heaviest(holders[word]) for word in kept]
    text = context[slice(*parts[0])]
    for (_, left_end), (right_start, right_end) in pairwise(parts):
        between = context[left_end:right_start]
        text += (between if between.isspace() else " ") + context[right_start:right_end]
    return text, score, parts[0][0], parts[-1][1], len(kept)


def held_words(context: str, answer: Answer) -> Iterator[tuple[Range, Range]]:
    """Find each word that an answer overlaps, and the part of the word that it covers."""
    if answer.start_char == answer.end_char:
        return
    border = answer.start_char
    while border > 0 and not context[border - 1].isspace():
        border -= 1
    for match in _WORD.finditer(context, border):
        first, last = match.span()
        if first >= answer.end_char:
            return
        if last > answer.start_char:
            yield (first, last), (max(first, answer.start_char), min(last, answer.end_char))


def _find_heaviest(weighted: Iterable[tuple[_Key, float]]) -> _Key:
    """Return the key with the largest sum of weights, the one met first among equals."""
    weights: dict[_Key, list[float]] = {}
    for key, weight in weighted:
        weights.setdefault(key, []).append(weight)
    sums = {key: math.fsum(values) for key, values in weights.items()}
    most = max(sums.values())
    return next(key for key, total in sums.items() if total > most - _EQUAL)
