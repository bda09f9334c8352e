"""Vote: voters with different tokenizers agree on an answer word by word. The rule:

1. Words are the maximal runs of non-whitespace in the context. A voter holds the words that the
   characters of its answer overlap. An empty answer holds none, and its voter still counts.
   `by` place, voters hold the same word if it is at the same place in the context; by text, if
   its text is equal in lower case, wherever it is.
2. A word is kept if its holders have more than half of the weight. At exactly half, `tie`
   decides.
3. With `contiguous`, one run of words that are neighbours in the context is kept: the one with
   the largest sum of its holders' weights, the earliest among equals.
4. By place, the part of a kept word is printed that the most weight holds ("दिल्ली" or
   "दिल्ली।"), among equals that of the voter ranked highest. By text, a kept word is taken from
   the voter that holds the most kept words, else from the holder ranked highest.
5. Parts are printed in the order of the context. Whitespace between two of them is kept; where
   there is more between them, a space joins them.
6. If no word is kept, the answer of the voter ranked first is printed, even if it is empty.

So one voter alone returns exactly its own answers.

Source: the winning solution of chaii (Kaggle, 2021) keeps a word that two of three backbones
hold. Whether by place or by text, its tie rule, weights and word order are not published.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, count, pairwise
from typing import NamedTuple, TypeVar

import pandas as pd

from chaii.config.ensemble import Tie, VoteBy

_WORD = re.compile(r"\S+")
_EQUAL = 1e-9  # shares of the whole weight that differ by less are equal

Range = tuple[int, int]  # half-open characters of the context
Key = Range | tuple[str, int]  # of a word: see `held_words`
_Item = TypeVar("_Item")


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
    by: VoteBy = VoteBy.place,
    tie: Tie = Tie.drop,
    contiguous: bool = False,
) -> pd.DataFrame:
    """Let voters vote on every word of their answers, by the rule of this module.

    `answers` holds a table of `decode_answers` per voter, all of the same rows; `contexts` the text
    of each row; `ranking` the voters, best first; `weights` their relative weights, 1 where not
    named. A voter of weight 0 takes no part. `by`, `tie` and `contiguous` are those of the rule.

    Returns the columns of `decode_answers` and `words`. `score` is the share of the weight that
    holds a printed word, averaged over the printed words; 0 for an empty answer. `start_char` and
    `end_char` enclose all that is printed. `words` is the number of words that were kept: 0 where
    rule 6 applies.
    """
    given = {name: (weights or {}).get(name, 1.0) for name in ranking}
    total = math.fsum(given.values())
    columns, voters = ["prediction", "start_char", "end_char"], []
    for name, weight in given.items():
        if weight:
            rows = answers[name][columns].assign(share=weight / total)
            voters.append([Answer._make(row) for row in rows.itertuples(index=False)])
    voted = [
        vote_row(context, row, by=by, tie=tie, contiguous=contiguous)
        for context, *row in zip(contexts, *voters, strict=True)
    ]
    table = pd.DataFrame(voted, columns=["prediction", "score", "start_char", "end_char", "words"])
    table.insert(0, "id", answers[ranking[0]]["id"].to_list())
    integers = dict.fromkeys(["start_char", "end_char", "words"], "int64")
    return table.astype({"prediction": "str", "score": "float64", **integers})


def vote_row(
    context: str, answers: Sequence[Answer], *, by: VoteBy, tie: Tie, contiguous: bool
) -> tuple[str, float, int, int, int]:
    """Apply the rule to one row; `answers` are sorted by the ranking.

    Returns prediction, score, start_char, end_char and words.
    """
    words_of = [held_words(context, answer[1:3], by=by) for answer in answers]
    parts_of: dict[Key, list[tuple[Range, float]]] = {}  # held parts of each word, best first
    for words, answer in zip(words_of, answers, strict=True):
        for key, (_, part) in words.items():
            parts_of.setdefault(key, []).append((part, answer.share))
    held = {key: math.fsum(share for _, share in parts) for key, parts in parts_of.items()}
    first, own = answers[0], list(words_of[0])
    kept_at_half = {Tie.drop: [], Tie.keep: held, Tie.best: own}[tie]
    kept = [key for key in held if held[key] > 0.5 + (-_EQUAL if key in kept_at_half else _EQUAL)]

    fullest = max(words_of, key=lambda words: sum(key in kept for key in words))
    found = {key: word for words in (*reversed(words_of), fullest) for key, word in words.items()}
    kept.sort(key=lambda key: found[key])
    if contiguous and kept:
        places = [found[key][0] for key in kept]
        gaps = (not context[left[1] : right[0]].isspace() for left, right in pairwise(places))
        run_of = dict(zip(kept, accumulate(gaps, initial=0), strict=True))
        heaviest = _find_heaviest((run_of[key], held[key]) for key in kept)
        kept = [key for key in kept if run_of[key] == heaviest]
    printed = kept or own
    score = math.fsum(held[key] for key in printed) / max(len(printed), 1)
    if not kept:
        return first.prediction, score, first.start_char, first.end_char, 0
    parts = [found[key][1] if by is VoteBy.text else _find_heaviest(parts_of[key]) for key in kept]
    text = context[slice(*parts[0])]
    for (_, left_end), (right_start, right_end) in pairwise(parts):
        between = context[left_end:right_start]
        text += (between if between.isspace() else " ") + context[right_start:right_end]
    return text, score, parts[0][0], parts[-1][1], len(kept)


@lru_cache(maxsize=1 << 16)  # a search for the best method asks for the same words again
def held_words(context: str, answer: Range, *, by: VoteBy) -> Mapping[Key, tuple[Range, Range]]:
    """Find each word that an answer overlaps, and the part of the word that it covers.

    The key of a word is its place, or the text of the part in lower case and how many equal ones
    come before it in the answer.
    """
    words: dict[Key, tuple[Range, Range]] = {}
    start_char, end_char = answer
    if start_char == end_char:
        return words
    border = start_char
    while border > 0 and not context[border - 1].isspace():
        border -= 1
    for match in _WORD.finditer(context, border):
        first, last = match.span()
        if first >= end_char:
            break
        if last > start_char:
            part = max(first, start_char), min(last, end_char)
            text = context[slice(*part)].lower()
            key = next(key for number in count() if (key := (text, number)) not in words)
            words[key if by is VoteBy.text else (first, last)] = (first, last), part
    return words


def _find_heaviest(weighted: Iterable[tuple[_Item, float]]) -> _Item:
    """Return the key with the largest sum of weights, the one met first among equals."""
    weights: dict[_Item, list[float]] = {}
    for key, weight in weighted:
        weights.setdefault(key, []).append(weight)
    sums = {key: math.fsum(values) for key, values in weights.items()}
    most = max(sums.values())
    return next(key for key, total in sums.items() if total > most - _EQUAL)
