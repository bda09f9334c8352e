"""Turn the logits of context tokens into answers."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import DecodeConfig
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.graphemes import find_whitespace, number_words, widen_to_graphemes
from chaii.decoding.span_search import Spans, best_n_spans, best_spans, score_tokens
from chaii.recipe.span_labels import IntArray

ANSWER_COLUMNS = ["id", "prediction", "score", "start_char", "end_char"]
# Whitespace and invisible marks: byte order mark, zero-width space, direction marks.
_OUTER = re.compile(r"^[\s\ufeff\u200b\u200e\u200f]+|[\s\ufeff\u200b\u200e\u200f]+$")


def decode_answers(logits: ContextLogits, *, decoding: DecodeConfig | None = None) -> pd.DataFrame:
    """Find the best answer of every example.

    The best span of the whole context is found exactly. It is widened so that it splits no
    grapheme; then whitespace and invisible marks are cut off both ends, so that always
    `prediction == context[start_char:end_char]`. The answer is "" at 0, 0 if no span scores above
    -inf, or if the logit of no answer exceeds those of the best span by more than `null_threshold`.

    Returns columns id, prediction, score, start_char, end_char (half-open), one row per example.
    """
    decoding = decoding or DecodeConfig()
    start, end = score_tokens(logits.start, logits.end, logits.row_start, how=decoding.score)
    limit = limit_tokens(logits, decoding)
    spans = best_spans(start, end, logits.row_start, max_tokens=limit)
    if decoding.null_threshold is not None:
        row_from = logits.row_start[:-1]
        found = spans.score > -np.inf
        best = logits.start[(row_from + spans.start_token)[found]]
        best = best + logits.end[(row_from + spans.end_token)[found]]
        is_null = logits.null[found] - best > decoding.null_threshold
        spans.score[found] = np.where(is_null, -np.inf, spans.score[found])
    return _read_chars(logits, np.arange(len(logits)), spans).drop(columns="row")


def decode_n_best(
    logits: ContextLogits, *, n: int, decoding: DecodeConfig | None = None
) -> pd.DataFrame:
    """Find the `n` best answers of every example, exactly, best first.

    Returns the columns of `decode_answers` and `rank`, counted from 0. An example with fewer than
    `n` spans has fewer rows. `null_threshold` has no effect.

    Raises:
        ValueError: see `best_n_spans`.
    """
    decoding = decoding or DecodeConfig()
    start, end = score_tokens(logits.start, logits.end, logits.row_start, how=decoding.score)
    limit = limit_tokens(logits, decoding)
    copies = 1  # of a span: one in each window that holds it
    if logits.tokens_left is not None:
        row = np.repeat(np.arange(len(logits)), np.diff(logits.row_start))
        tokens = pd.DataFrame({"row": row, "start_char": logits.offsets[:, 0]})
        copies = int(tokens.value_counts().max()) if len(tokens) else 1
    most = n * copies
    first, last, score = best_n_spans(start, end, logits.row_start, max_tokens=limit, n=most)
    row, place = np.nonzero(score > -np.inf)
    ranked = _read_chars(logits, row, Spans(first[row, place], last[row, place], score[row, place]))
    ranked["rank"] = place
    if copies > 1:
        ranked = ranked[~ranked[["row", "start_char", "end_char"]].duplicated()]
        ranked["rank"] = ranked.groupby("row").cumcount()
        ranked = ranked[ranked["rank"] < n].reset_index(drop=True)
    return ranked.drop(columns="row")


def limit_tokens(logits: ContextLogits, decoding: DecodeConfig) -> int | IntArray:
    """Most tokens of a span: one number, or ``(tokens,)`` by its start if words are limited too."""
    most: int | IntArray = decoding.max_tokens or logits.max_answer_tokens
    row_start = logits.row_start
    last_token = np.repeat(row_start[1:], np.diff(row_start)) - 1
    if logits.tokens_left is not None:
        most = np.minimum(most, logits.tokens_left)
        last_token = np.arange(len(last_token)) + logits.tokens_left - 1
    if decoding.max_words is None:
        return most
    first, last = np.zeros((2, len(logits.offsets)), dtype=np.int64)  # word at each token's ends
    for row, context in enumerate(logits.contexts):
        tokens = slice(row_start[row], row_start[row + 1])
        if context:
            words, begin = number_words(context), logits.offsets[tokens, 0]
            first[tokens] = words[begin] + find_whitespace(context)[begin]  # a space: the next word
            last[tokens] = words[logits.offsets[tokens, 1] - 1]
    # Words are numbered on from window to window, so that their numbers never fall.
    owner = last_token * (last.max(initial=0) + decoding.max_words + 1)
    reached = np.searchsorted(owner + last, owner + first + decoding.max_words - 1, side="right")
    within = reached - np.arange(len(last))
    limit: NDArray[np.int64] = np.clip(within, 1, most)
    return limit


def _read_chars(logits: ContextLogits, row: IntArray, spans: Spans) -> pd.DataFrame:
    """Turn spans of the given rows into text; columns of `decode_answers`, and row."""
    found = np.flatnonzero(spans.score > -np.inf)
    first = logits.row_start[row[found]]
    chars = np.zeros((len(row), 2), dtype=np.int64)
    chars[found, 0] = logits.offsets[first + spans.start_token[found], 0]
    chars[found, 1] = logits.offsets[first + spans.end_token[found], 1]
    contexts = [logits.contexts[at] for at in row]
    places = zip(contexts, chars.tolist(), strict=True)
    answers = [read_answer(text, *ends) for text, ends in places]
    text, start_char, end_char = zip(*answers, strict=True) if answers else ((), (), ())
    return pd.DataFrame(
        {
            "id": [logits.ids[at] for at in row],
            "prediction": pd.Series(text, dtype="str"),
            "score": spans.score,
            "start_char": np.array(start_char, np.int64),
            "end_char": np.array(end_char, np.int64),
            "row": row,
        }
    )


def read_answer(context: str, start_char: int, end_char: int) -> tuple[str, int, int]:
    """Text and half-open characters of an answer, of whole graphemes without outer whitespace."""
    start_char, end_char = widen_to_graphemes(context, start_char, end_char)
    text = context[start_char:end_char]
    trimmed = _OUTER.sub("", text)
    first = start_char + text.find(trimmed)
    return trimmed, first, first + len(trimmed)
