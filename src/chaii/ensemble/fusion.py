"""Fuse backbones with different tokenizers character by character."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import DecodeConfig
from chaii.decoding.context_logits import ContextLogits, FloatArray
from chaii.decoding.decode import (
    ANSWER_COLUMNS,
    decode_answers,
    limit_tokens,
    read_answer,
)
from chaii.decoding.graphemes import widen_to_words
from chaii.decoding.span_search import best_spans, score_tokens, softmax_rows
from chaii.ensemble.average import check_weights
from chaii.recipe.span_labels import expand_ranges

_CHUNK_CHARACTERS = 1 << 20  # worked on together: bounds the memory
_Floats = NDArray[np.float64]
_Positions = NDArray[np.int64]


def fuse_characters(
    voices: Mapping[str, ContextLogits],
    *,
    decoding: DecodeConfig | None = None,
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Let voices agree on an answer, character by character. The rule:

    1. Each character takes the largest logit of the voice's tokens that hold it; a softmax over the
       whole context makes them probabilities. A character that no token holds has none.
    2. Probabilities of the voices are averaged with `weights` (relative, 1 where left out). Their
       logarithms stand for logits from here on, and are scored as `decoding` says.
    3. A span begins where a token of some voice begins and ends where one ends. It is as long as
       `decoding` lets a span of one voice be that begins at the same character.
    4. The best span is widened to whole words and graphemes, and trimmed as by `decode_answers`.

    One voice alone, or the only one of a positive weight, answers as `decode_answers` makes it. The
    order of `voices` is nothing. Null answers take no part.

    Returns the columns of `decode_answers`; `score` is that of the fused span.

    Source: the second place of chaii (Kaggle, 2021) describes 1 and 2; 3 and 4 are ours.

    Raises:
        ValueError: no voice, one that answers other examples, or weights that make no mean.
    """
    decoding = decoding or DecodeConfig()
    shares = _share_weights(voices, weights)
    if len(shares) == 1:
        return decode_answers(voices[next(iter(shares))], decoding=decoding)
    first = voices[next(iter(shares))]
    for name in shares:
        if list(voices[name].ids) != list(first.ids):
            raise ValueError(f"voice {name!r} answers other examples than the others")
    tables = [
        _fuse_rows({name: voices[name].select(rows) for name in shares}, shares, decoding)
        for rows in _split_rows([len(context) for context in first.contexts])
    ]
    return pd.concat(tables, ignore_index=True).astype(
        {"prediction": "str", "start_char": "int64", "end_char": "int64"}
    )


def _fuse_rows(
    voices: Mapping[str, ContextLogits], shares: Mapping[str, float], decoding: DecodeConfig
) -> pd.DataFrame:
    """Fuse some rows, all their characters in memory at once."""
    one = voices[next(iter(voices))]
    length = np.array([len(context) for context in one.contexts], dtype=np.int64)
    row_start = np.concatenate([[0], np.cumsum(length)])
    start, end = np.zeros((2, row_start[-1]))
    reach = np.zeros(row_start[-1], dtype=np.int64)  # longest span from here; 0: none begins here
    ends = np.zeros(row_start[-1], dtype=bool)
    for name, voice in voices.items():
        chars = _place_tokens(voice, row_start)
        start += shares[name] * _spread(voice.start, chars, row_start)
        end += shares[name] * _spread(voice.end, chars, row_start)
        _mark_borders(voice, chars, decoding, reach=reach, ends=ends)

    with np.errstate(divide="ignore"):
        start_score, end_score = score_tokens(
            np.log(start), np.log(end), row_start, how=decoding.score
        )
    spans = best_spans(
        np.where(reach > 0, start_score, -np.inf),
        np.where(ends, end_score, -np.inf),
        row_start,
        max_tokens=np.maximum(reach, 1),
    )
    answers = []
    for row, context in enumerate(one.contexts):
        if spans.score[row] == -np.inf:
            answers.append((one.ids[row], "", -np.inf, 0, 0))
            continue
        found = int(spans.start_token[row]), int(spans.end_token[row]) + 1
        text, start_char, end_char = read_answer(context, *widen_to_words(context, *found))
        answers.append((one.ids[row], text, float(spans.score[row]), start_char, end_char))
    return pd.DataFrame(answers, columns=ANSWER_COLUMNS)


def _place_tokens(voice: ContextLogits, row_start: _Positions) -> _Positions:
    """Half-open characters of every token, ``(tokens, 2)``, counted over all rows."""
    tokens = np.diff(voice.row_start)
    return np.asarray(voice.offsets, np.int64) + np.repeat(row_start[:-1], tokens)[:, None]


def _spread(logits: FloatArray, chars: _Positions, row_start: _Positions) -> _Floats:
    """Probability of each character, ``(characters,)``; 0 where no token holds it."""
    width = chars[:, 1] - chars[:, 0]
    values = np.full(row_start[-1], -np.inf)
    np.maximum.at(values, expand_ranges(chars[:, 0], width), np.repeat(logits, width))
    return np.maximum(softmax_rows(values, row_start), 0)


def _mark_borders(
    voice: ContextLogits,
    chars: _Positions,
    decoding: DecodeConfig,
    *,
    reach: _Positions,
    ends: NDArray[np.bool_],
) -> None:
    """Note in `reach` and `ends` where this voice lets a span begin, and how far, and end."""
    tokens = np.diff(voice.row_start)
    last = np.repeat(voice.row_start[1:], tokens) - 1
    limit = np.arange(len(chars)) + np.asarray(limit_tokens(voice, decoding)) - 1
    furthest = chars[np.minimum(limit, last), 1]
    held = chars[:, 1] > chars[:, 0]
    np.maximum.at(reach, chars[held, 0], furthest[held] - chars[held, 0])
    ends[chars[held, 1] - 1] = True


def _share_weights(
    voices: Mapping[str, ContextLogits], weights: Mapping[str, float] | None
) -> dict[str, float]:
    """Share of each voice that counts, in an order that depends on their names alone."""
    if not voices:
        raise ValueError("cannot fuse 0 voices: at least one is needed")
    unknown = sorted(set(weights or {}) - set(voices))
    if unknown:
        raise ValueError(f"weights: {', '.join(unknown)} is no voice ({', '.join(sorted(voices))})")
    given = {name: float((weights or {}).get(name, 1.0)) for name in sorted(voices)}
    check_weights(list(given.values()), len(voices))
    total = sum(given.values())
    return {name: weight / total for name, weight in given.items() if weight > 0}


def _split_rows(lengths: list[int]) -> Iterator[_Positions]:
    """Runs of rows of about `_CHUNK_CHARACTERS`; at least one run, be it empty."""
    ends = np.cumsum(lengths)
    chunk = (ends - lengths) // _CHUNK_CHARACTERS if lengths else np.empty(0, np.int64)
    yield from np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(chunk)) + 1)
