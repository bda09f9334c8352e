"""Read answers off their contexts: from the logits of context tokens to text."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import DecodeConfig
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.graphemes import find_blanks, number_words, widen_to_graphemes
from chaii.decoding.span_search import Spans, best_n_spans, best_spans, score_tokens

ANSWER_COLUMNS = ["id", "prediction", "score", "start_char", "end_char"]
# Blanks, and what cannot be seen: byte order mark, zero-width space, direction marks.
_OUTER = re.compile(r"^[\s\ufeff\u200b\u200e\u200f]+|[\s\ufeff\u200b\u200e\u200f]+$")


def decode_answers(logits: ContextLogits, *, decoding: DecodeConfig | None = None) -> pd.DataFrame:
    """Read the best answer of every example off its context.

    The best span is found exactly, over all windows of an example at once. It is widened so that it
    splits no grapheme; then blanks and invisible marks are cut off both ends. So
    `prediction == context[start_char:end_char]` always. An example without a span of a score above
    -inf answers "" at 0, 0; so does one where having no answer outweighs the best span's logits by
    more than `null_threshold`.

    Returns columns id, prediction, score, start_char, end_char (half-open), one row an example.

    Raises:
        ValueError: see `best_spans`; or a null answer is asked for, and no null logits were stored.
    """
    decoding = decoding or DecodeConfig()
    start, end = score_tokens(logits.start, logits.end, logits.row_start, how=decoding.score)
    limit = limit_tokens(logits, decoding)
    spans = best_spans(start, end, logits.row_start, max_tokens=limit)
    if decoding.null_threshold is not None:
        spans = _drop_unlikely(logits, spans, decoding.null_threshold)
    return read_spans(logits, spans)


def decode_n_best(
    logits: ContextLogits, *, n: int, decoding: DecodeConfig | None = None
) -> pd.DataFrame:
    """Read the `n` best spans of every example off its context, exactly, best first.

    Returns the columns of `decode_answers` and `rank`, counted from 0: fewer than `n` rows of an
    example where it has fewer spans. Null answers take no part.

    Raises:
        ValueError: see `best_n_spans`.
    """
    decoding = decoding or DecodeConfig()
    start, end = score_tokens(logits.start, logits.end, logits.row_start, how=decoding.score)
    limit = limit_tokens(logits, decoding)
    spans = best_n_spans(start, end, logits.row_start, max_tokens=limit, n=n)
    first, last, score = spans
    tables = [
        read_spans(logits, Spans(first[:, rank], last[:, rank], score[:, rank])).assign(rank=rank)
        for rank in range(n)
    ]
    ranked = pd.concat(tables)[np.isfinite(score.T.ravel())]
    return ranked.sort_index(kind="stable").reset_index(drop=True)


def limit_tokens(logits: ContextLogits, decoding: DecodeConfig) -> int | NDArray[np.int64]:
    """Most tokens of a span: one number, or ``(tokens,)`` where words are limited as well."""
    most = decoding.max_tokens or logits.max_answer_tokens
    if decoding.max_words is None:
        return most
    row_start = logits.row_start
    first, last = np.zeros((2, len(logits.offsets)), dtype=np.int64)  # word of each token's ends
    for row, context in enumerate(logits.contexts):
        tokens = slice(row_start[row], row_start[row + 1])
        if context:
            words, begin = number_words(context), logits.offsets[tokens, 0]
            first[tokens] = words[begin] + find_blanks(context)[begin]  # a blank: the next word
            last[tokens] = words[logits.offsets[tokens, 1] - 1]
    owner = np.repeat(np.arange(len(row_start) - 1), np.diff(row_start))
    owner *= last.max(initial=0) + decoding.max_words + 1  # so that words of all rows never fall
    reached = np.searchsorted(owner + last, owner + first + decoding.max_words - 1, side="right")
    within = reached - np.arange(len(last))
    limit: NDArray[np.int64] = np.clip(within, 1, most)
    return limit


def read_spans(logits: ContextLogits, spans: Spans) -> pd.DataFrame:
    """Turn one span of each row into text, by the rule of `decode_answers`."""
    found = np.flatnonzero(spans.score > -np.inf)
    first = logits.row_start[:-1]
    chars = np.zeros((len(first), 2), dtype=np.int64)
    chars[found, 0] = logits.offsets[first[found] + spans.start_token[found], 0]
    chars[found, 1] = logits.offsets[first[found] + spans.end_token[found], 1]
    answers = [
        read_answer(context, start_char, end_char)
        for context, (start_char, end_char) in zip(logits.contexts, chars.tolist(), strict=True)
    ]
    table = pd.DataFrame(answers, columns=["prediction", "start_char", "end_char"])
    table.insert(0, "id", list(logits.ids))
    table.insert(2, "score", spans.score)
    return table.astype({"prediction": "str", "start_char": "int64", "end_char": "int64"})


def read_answer(context: str, start_char: int, end_char: int) -> tuple[str, int, int]:
    """Text and half-open characters of an answer: whole graphemes, no blank at either end."""
    start_char, end_char = widen_to_graphemes(context, start_char, end_char)
    text = context[start_char:end_char]
    trimmed = _OUTER.sub("", text)
    first = start_char + text.find(trimmed)
    return trimmed, first, first + len(trimmed)


def _drop_unlikely(logits: ContextLogits, spans: Spans, threshold: float) -> Spans:
    """Take the span away where no answer outweighs the logits of its first and last token."""
    if logits.null is None:
        raise ValueError("null_threshold: these logits were stored without those of no answer")
    found = np.flatnonzero(spans.score > -np.inf)
    first = logits.row_start[:-1][found]
    start, end = (side[found] for side in spans[:2])
    margin = logits.null[found] - (logits.start[first + start] + logits.end[first + end])
    dropped = found[margin > threshold]
    score = spans.score.copy()
    score[dropped] = -np.inf
    return Spans(spans.start_token, spans.end_token, score)
