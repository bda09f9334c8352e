"""Occurrences of an answer in its context, and which of them answers the question."""

import re
from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

# Letters, digits, the South Asian and Thai blocks whole (\w lacks vowel signs), and joiners; not
# the dandas.
_WORD = r"\w\u0300-\u036f\u0900-\u0963\u0966-\u0dff\u0e00-\u0e7f\u200c\u200d"
_GAP = re.compile(f"[^{_WORD}]")
_WORDS = re.compile(f"[{_WORD}]+")
_JOINED = re.compile(rf"(?<=[{_WORD}])(?=[{_WORD}])|(?<=\d)(?=[.,]\d)|(?<=\d[.,])(?=\d)")
_SENTENCE_END = re.compile(r"[.?!।॥\n]+")
_GRAM = 4  # characters, including the space before or after a word
_REACH = 100  # characters at which the weight of a match is 1/e
_SAME_SENTENCE = 0.5  # added where a match is in the same sentence
_MARGIN = 1.2  # factor by which a score must exceed that of the given place
_FAR = 10**9


def find_occurrences(context: str, text: str, start_char: int) -> list[int]:
    """Start characters of `text` in `context`, ascending, where it is used as at `start_char`.

    On each side on which the given answer ends at the edge of a word, every occurrence must; a
    digit at its edge must be outermost in its number: 10 is not found in 2010, 10.5 or 10,000.
    If no occurrence meets the rule of the digit, it is dropped, and the given one remains.

    >>> find_occurrences("In 2010, 10 of 10 came", "10", 9), find_occurrences("a cab", "a", 3)
    ([9, 15], [0, 3])
    """
    places = list(_find_all(context, text))
    joined = [_joined_sides(context, at, at + len(text)) for at in places]
    given = _joined_sides(context, start_char, start_char + len(text))
    outside_numbers = tuple(
        side and not edge.isdigit() for side, edge in zip(given, (text[0], text[-1]), strict=True)
    )
    for allowed in (outside_numbers, given):
        fits = [
            all(may or not is_joined for is_joined, may in zip(sides, allowed, strict=True))
            for sides in joined
        ]
        if any(fits):
            return list(compress(places, fits))
    return [start_char]


def score_occurrences(
    question: str, context: str, text: str, start_chars: Sequence[int]
) -> NDArray[np.float64]:
    """How much of the question is near each occurrence, ``(occurrences,)``, at least 0.

    The question's words are split into runs of 4 characters, including the spaces at their ends and
    ignoring case, so that inflected forms match by their common part. A run counts by its rarity,
    log((1 + sentences) / (sentences with it)), times exp(-distance / 100 characters) of its place
    nearest to the occurrence, plus a half where one is in the same sentence.

    The time is proportional to the question times the context, whatever the occurrences.

    >>> context = "Ravi was born in Pune. He died in Goa, far from Pune."
    >>> score_occurrences("Where was Ravi born?", context, "Pune", [17, 48]).round(1)
    array([15. ,  7.5])
    """
    flat = " " + _GAP.sub(" ", _fold(context)) + " "  # shifted by one character
    sentences = np.array([1, *(end.end() + 1 for end in _SENTENCE_END.finditer(context))])
    start = np.asarray(start_chars) + 1
    own = np.searchsorted(sentences, start, side="right")
    scores = np.zeros(len(start))
    words = [f" {word} " for word in _WORDS.findall(_fold(question))]
    grams = {word[i : i + _GRAM] for word in words for i in range(max(1, len(word) - _GRAM + 1))}
    for gram in sorted(grams):
        places = np.fromiter(_find_all(flat, gram), np.int64)
        if not places.size:
            continue
        holders = np.unique(np.searchsorted(sentences, places, side="right"))
        distance = _nearest(places, len(gram), start, start + len(text))
        weight = np.exp(-distance / _REACH) + _SAME_SENTENCE * np.isin(own, holders)
        scores += np.log((1 + len(sentences)) / len(holders)) * weight
    return scores


def choose_occurrence(question: str, context: str, text: str, start_char: int) -> int:
    """The start character of the occurrence that most likely answers the question.

    The given one is kept unless the score of another is more than 1.2 times its own; among those of
    the same score the earliest is taken.
    """
    places = find_occurrences(context, text, start_char)
    if len(places) == 1:
        return places[0]
    scores = score_occurrences(question, context, text, places)
    best = int(scores.argmax())
    if start_char in places and scores[best] <= _MARGIN * scores[places.index(start_char)]:
        return start_char
    return places[best]


def _find_all(context: str, text: str) -> Iterator[int]:
    """Starts of all occurrences, overlapping ones too."""
    at = context.find(text)
    while at >= 0:
        yield at
        at = context.find(text, at + 1)


def _joined_sides(context: str, start_char: int, end_char: int) -> tuple[bool, bool]:
    """Whether a word or number goes on beyond the left and the right end."""
    return bool(_JOINED.match(context, start_char)), bool(_JOINED.match(context, end_char))


def _fold(text: str) -> str:
    """Case folded, every character in its place."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(one if len(one := letter.casefold()) == 1 else letter for letter in text)


def _nearest(
    places: NDArray[np.int64], width: int, start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Characters between each occurrence and the nearest of the sorted `places`; 0 if they meet."""
    before = np.searchsorted(places, start)
    after = np.searchsorted(places, end - 1)
    padded = np.concatenate([[-_FAR], places, [_FAR]])
    left, right = start - padded[before] - width, padded[after + 1] - end + 1
    return np.where(after > before, 0, np.maximum(0, np.minimum(left, right)))
