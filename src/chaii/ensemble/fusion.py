"""Fusion: voters with different tokenizers agree on an answer character by character."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import DecodeConfig
from chaii.decoding.context_logits import ContextLogits, FloatArray
from chaii.decoding.decode import ANSWER_COLUMNS, decode_answers, limit_tokens, read_answer
from chaii.decoding.graphemes import widen_to_words
from chaii.decoding.span_search import best_spans, score_tokens, softmax_rows
from chaii.recipe.span_labels import expand_ranges

_CHUNK_CHARACTERS = 1 << 20  # processed together, to bound the memory
_Positions = NDArray[np.int64]


def fuse_characters(
    voters: Mapping[str, ContextLogits],
    *,
    decoding: DecodeConfig | None = None,
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Average the character probabilities of several voters, and read the best span. The rule:

    1. A character takes the largest logit of the voter's tokens that hold it, and a softmax over
       the whole context makes a probability of it: 0 for a character that no token holds.
    2. The probabilities of the voters are averaged with `weights` (relative, 1 where not named).
       Their logarithms are scored as `decoding` says, as logits are.
    3. A span starts where a token of some voter starts and ends where one ends. It may be as long
       as `decoding` allows to a span of one of the voters that starts at the same character.
    4. The best span is widened to whole words and graphemes, and trimmed as in `decode_answers`.

    One voter alone, or the only one of positive weight, answers as in `decode_answers`. The order
    of `voters` changes nothing. Null answers take no part.

    Returns the columns of `decode_answers`; `score` is that of the fused span.

    Source: the second place of chaii (Kaggle, 2021) describes 1 and 2; 3 and 4 are ours.
    """
    decoding = decoding or DecodeConfig()
    given = {name: (weights or {}).get(name, 1.0) for name in sorted(voters)}
    total = math.fsum(given.values())
    shares = {name: weight / total for name, weight in given.items() if weight}
    first = voters[next(iter(shares))]
    if len(shares) == 1:
        return decode_answers(first, decoding=decoding)
    lengths = np.array([len(context) for context in first.contexts], dtype=np.int64)
    chunk = (np.cumsum(lengths) - lengths) // _CHUNK_CHARACTERS
    chunks = np.split(np.arange(len(first)), np.flatnonzero(np.diff(chunk)) + 1)
    tables = [
        _fuse_rows({name: voters[name].select(rows) for name in shares}, shares, decoding)
        for rows in chunks
    ]
    types = {"prediction": "str", "start_char": "int64", "end_char": "int64"}
    return pd.concat(tables, ignore_index=True).astype(types)


def _fuse_rows(
    voters: Mapping[str, ContextLogits], shares: Mapping[str, float], decoding: DecodeConfig
) -> pd.DataFrame:
    """Fuse some rows, all their characters in memory at once."""
    first = voters[next(iter(voters))]
    row_start = np.cumsum([0, *(len(context) for context in first.contexts)])
    start, end = np.zeros((2, row_start[-1]))
    longest = np.zeros(row_start[-1], dtype=np.int64)  # span that starts here; 0: none may
    ends = np.zeros(row_start[-1], dtype=bool)  # whether a span may end with this character
    for name, logits in voters.items():
        tokens = np.diff(logits.row_start)
        chars = logits.offsets.astype(np.int64) + np.repeat(row_start[:-1], tokens)[:, None]
        start += shares[name] * _spread(logits.start, chars, row_start)
        end += shares[name] * _spread(logits.end, chars, row_start)
        limit = np.arange(len(chars)) + np.asarray(limit_tokens(logits, decoding)) - 1
        furthest = chars[np.minimum(limit, np.repeat(logits.row_start[1:], tokens) - 1), 1]
        held = chars[:, 1] > chars[:, 0]
        np.maximum.at(longest, chars[held, 0], furthest[held] - chars[held, 0])
        ends[chars[held, 1] - 1] = True

    with np.errstate(divide="ignore"):
        scores = score_tokens(np.log(start), np.log(end), row_start, how=decoding.score)
    # inside a token, its first character has an equal score, and wins as the earlier
    first_chars, last_chars = scores[0], np.where(ends, scores[1], -np.inf)
    spans = best_spans(first_chars, last_chars, row_start, max_tokens=np.maximum(longest, 1))
    answers = []
    for row, context in enumerate(first.contexts):
        if spans.score[row] == -np.inf:
            answers.append((first.ids[row], "", -np.inf, 0, 0))
            continue
        found = int(spans.start_token[row]), int(spans.end_token[row]) + 1
        text, start_char, end_char = read_answer(context, *widen_to_words(context, *found))
        answers.append((first.ids[row], text, float(spans.score[row]), start_char, end_char))
    return pd.DataFrame(answers, columns=ANSWER_COLUMNS)


def _spread(logits: FloatArray, chars: _Positions, row_start: _Positions) -> NDArray[np.float64]:
    """Turn logits of tokens into probabilities of characters, ``(characters,)``."""
    width = chars[:, 1] - chars[:, 0]
    values = np.full(row_start[-1], -np.inf)
    np.maximum.at(values, expand_ranges(chars[:, 0], width), np.repeat(logits, width))
    return np.maximum(softmax_rows(values, row_start), 0)
