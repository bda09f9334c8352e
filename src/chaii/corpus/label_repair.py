"""Label repair: which occurrences of its answer an example is trained on.

An `answer_start` that is always the first textual match points at the wrong place wherever another
occurrence answers the question. Texts stay as they are, so no score depends on a label.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.corpora import CorpusConfig, Labels
from chaii.corpus.checks import Row
from chaii.corpus.records import LABELS, CorpusError

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
_AROUND = 40  # characters of a snippet on each side of the answer
_REPORT_COLUMNS = (
    *("id", "language", "answer", "occurrences", "given_start", "chosen_start"),
    *("given_score", "chosen_score", "given_snippet", "chosen_snippet"),
)


def relabel_rows(rows: Iterable[Row], corpus: CorpusConfig) -> Iterator[Row]:
    """The rows with their answers moved or multiplied, as `labels` and `labels_file` set.

    With `evidence` every answer of a row moves to its likeliest occurrence; with `all` every answer
    is followed by its other occurrences. A row that the file names takes the place of its first
    answer from the file instead.

    Raises:
        CorpusError: the file names a place without the answer, or no row of the corpus (not
            checked where the corpus is limited); or see `read_labels`.
    """
    labels = read_labels(Path(corpus.labels_file)) if corpus.labels_file else {}
    used = False
    for row in rows:
        answers = list(zip(row["answer_text"], row["answer_start"], strict=True))
        if row["id"] in labels:
            used = True
            start_char, where = labels[row["id"]]
            if not answers:
                raise CorpusError(f"{where}: row '{row['id']}' of the corpus has no answer")
            text = answers[0][0]
            if not row["context"].startswith(text, start_char):
                rule = f"the answer '{text}' does not begin there"
                raise CorpusError(f"{where}: answer_start {start_char} of id '{row['id']}': {rule}")
            answers[0] = text, start_char
        else:
            places = [(text, relabel(row, text, given, corpus.labels)) for text, given in answers]
            answers = [(text, at) for text, starts in places for at in starts]
        kept = dict.fromkeys(answers)
        texts, starts = [text for text, _ in kept], [start for _, start in kept]
        yield {**row, "answer_text": texts, "answer_start": starts}
    if labels and not used and corpus.max_examples is None:
        raise CorpusError(f"{corpus.labels_file}: none of its ids is in the corpus")


def relabel(row: Row, text: str, given: int, labels: Labels) -> list[int]:
    """The start characters at which one answer is trained on, the main one first."""
    if labels is Labels.evidence:
        return [choose_occurrence(row["question"], row["context"], text, given)]
    if labels is Labels.all:
        # the given one is not among them where it is part of a longer number
        return sorted(find_occurrences(row["context"], text, given), key=lambda at: at != given)
    return [given]


def read_labels(path: Path) -> dict[str, tuple[int, str]]:
    """The start characters that a labels file gives, by id, each with its row for messages.

    Raises:
        CorpusError: the file is not a labels file, or a place is not a number from 0.
    """
    labels = LABELS.read(path)
    for start_char, where in labels.values():
        if not start_char.isdecimal():
            raise CorpusError(f"{where}: answer_start '{start_char}' must be a number from 0")
    return {identity: (int(start_char), where) for identity, (start_char, where) in labels.items()}


def report_labels(examples: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The effect of `labels: evidence` on first answers: one row per example that has one.

    Columns: id, language, answer, occurrences, given_start and chosen_start (characters, equal
    where nothing would change), given_score and chosen_score (see `score_occurrences`), and
    given_snippet and chosen_snippet, with the answer in brackets.
    """
    rows = []
    for example in examples:
        if not example["answer_start"]:
            continue
        question, context = example["question"], example["context"]
        text, given = example["answer_text"][0], example["answer_start"][0]
        chosen = choose_occurrence(question, context, text, given)
        snippets = []
        for at in (given, chosen):
            end = at + len(text)
            before, after = context[max(0, at - _AROUND) : at], context[end : end + _AROUND]
            snippets.append(" ".join(f"{before}[{text}]{after}".split()))
        number = len(find_occurrences(context, text, given))
        scores = score_occurrences(question, context, text, [given, chosen])
        places = (number, given, chosen, *scores.tolist())
        rows.append((example["id"], example["language"], text, *places, *snippets))
    return pd.DataFrame(rows, columns=_REPORT_COLUMNS)


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
    edges = zip(given, (text[0], text[-1]), strict=True)
    outside_numbers = tuple(side and not edge.isdigit() for side, edge in edges)
    for allowed in (outside_numbers, given):
        pairs = (zip(sides, allowed, strict=True) for sides in joined)
        fits = [all(may or not is_joined for is_joined, may in sides) for sides in pairs]
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
