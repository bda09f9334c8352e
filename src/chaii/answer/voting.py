"""Let backbones with different tokenizers agree on an answer, word by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

_WORD = re.compile(r"\S+")
_COLUMNS = ["prediction", "score", "start_char", "end_char", "words"]

Range = tuple[int, int]  # half-open characters of the context


@dataclass(frozen=True)
class _Ballot:
    """What one backbone answers to one question."""

    prediction: str
    start_char: int
    end_char: int


def vote(
    answers: Mapping[str, pd.DataFrame], *, contexts: Sequence[str], ranking: Sequence[str]
) -> pd.DataFrame:
    """Let the backbones vote on every word of the context, by its position.

    `answers` gives each backbone's table (id, prediction, start_char, end_char; as made by
    `decode_answers`), all with the same ids in the same order, `contexts` the text of each row,
    `ranking` the backbones, best out of fold first. The rule:

    1. Words are the maximal runs of non-whitespace in the context. A backbone holds a word when the
       characters of its answer overlap it; an empty answer holds none, and still counts as a voter.
    2. A word stays when more than half of the backbones hold it.
    3. Of a word that stays, the part is printed that most of its holders hold (one may hold "दिल्ली"
       where another holds "दिल्ली।"). Among equally common parts, the one held by the backbone
       ranked highest is printed.
    4. Parts are printed in the order of the context. Where nothing but whitespace lies between two
       of them, that whitespace is kept; elsewhere one blank joins them.
    5. Where no word stays, the backbone ranked first answers, be its answer empty.

    So one backbone alone returns exactly its own answers, and the order of `answers` is nothing.

    Returns columns id, prediction, score, start_char, end_char, words. `score` is the share of
    backbones that hold a printed word, averaged over the printed words: above one half where the
    vote decided, 0 for an empty answer. `start_char` and `end_char` enclose all that is printed;
    `prediction` is that text unless something inside it was voted out. `words` is the
    number of words that stayed: 0 where the backbone ranked first answered alone.

    Source: the winning solution of chaii (Kaggle, 2021) keeps a word that two of three backbones
    hold; its tie rule and word order are not published, so 3 to 5 are ours.

    Raises:
        ValueError: `ranking` does not name each backbone once, ids differ, or an answer is not the
            text of its context at its characters.
    """
    _check_voters(answers, contexts, ranking)
    ballots = [list(_read_ballots(answers[name], contexts, name)) for name in ranking]
    rows = [
        _vote_row(context, row_ballots)
        for context, row_ballots in zip(contexts, zip(*ballots, strict=True), strict=True)
    ]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table.insert(0, "id", answers[ranking[0]]["id"].to_list())
    whole = dict.fromkeys(["start_char", "end_char", "words"], "int64")
    return table.astype({"prediction": "str", "score": "float64", **whole})


def _vote_row(context: str, ballots: Sequence[_Ballot]) -> tuple[str, float, int, int, int]:
    """Apply the rule to one row; `ballots` best first."""
    holders: dict[Range, list[Range]] = {}
    for ballot in ballots:
        for word, part in _held_words(context, ballot):
            holders.setdefault(word, []).append(part)
    winners = sorted(word for word, parts in holders.items() if 2 * len(parts) > len(ballots))
    leader = ballots[0]
    printed = winners or sorted(word for word, _ in _held_words(context, leader))
    if not printed:
        return leader.prediction, 0.0, leader.start_char, leader.end_char, 0
    score = sum(len(holders[word]) for word in printed) / (len(printed) * len(ballots))
    if not winners:
        return leader.prediction, score, leader.start_char, leader.end_char, 0
    # Of equal counts, Counter puts the one met first in front: the highest ranked holder's.
    parts = [Counter(holders[word]).most_common(1)[0][0] for word in winners]
    return _join_parts(context, parts), score, parts[0][0], parts[-1][1], len(winners)


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


def _read_ballots(table: pd.DataFrame, contexts: Sequence[str], backbone: str) -> Iterator[_Ballot]:
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
        yield _Ballot(prediction, start_char, end_char)


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
