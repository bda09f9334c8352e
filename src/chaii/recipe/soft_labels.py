"""Soft labels: where probabilities of one tokenizer's tokens belong among those of another."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.recipe.span_labels import IntArray, search_slices
from chaii.recipe.token_store import TokenStore

_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()])


def cover_windows(windows: pd.DataFrame, store: TokenStore, other: TokenStore) -> TokenStore:
    """Return the tokens of another tokenizer that hold any character of each window.

    `windows` are of `store`; `other` holds the same examples. The result has one example per
    window, with its whole question.
    """
    example, first, last = _ranges(windows)
    at, theirs = store.text_start[store.context[example]], other.context[example]
    low, high = other.text_start[theirs], other.text_start[theirs + 1]
    filled = first < last
    begin, end = np.zeros((2, len(windows)), np.int64)
    begin[filled] = store.offsets[(at + first)[filled], 0]
    end[filled] = store.offsets[(at + last)[filled] - 1, 1]
    context_from = search_slices(other.offsets[:, 1], low, high, begin + 1) - low
    context_to = search_slices(other.offsets[:, 0], low, high, end) - low
    context_to, question = np.maximum(context_from, context_to), other.question_lengths()[example]
    return other.narrow(example, context_from, context_to, question=question)


def carry_over(
    chances: NDArray[np.float64],
    windows: pd.DataFrame,
    store: TokenStore,
    other: TokenStore,
    contexts: Sequence[str],
) -> NDArray[np.float64]:
    """Carry probabilities of another tokenizer's tokens over to the tokens of `store`.

    The probability of a start goes to the token that holds the other token's first character, that
    of an end to the token that holds its last, as in `locate_answers`; whitespace at the sides of a
    token does not count. What falls outside the window goes to [CLS], so that the sums stay.

    Args:
        chances: ``(2, tokens)`` of a start and of an end at [CLS] and at the context tokens of one
            window after another; the result is the same for the tokens of `store`.
        windows: of `store`.
        other: what `cover_windows` returns for them.
        contexts: of the examples.
    """
    example, first, last = _ranges(windows)
    count, size = other.context_lengths(), last - first + 1
    cls = np.cumsum(size) - size
    window = np.repeat(np.arange(len(windows)), count)
    text = store.context[example][window]
    low, high = store.text_start[text], store.text_start[text + 1]
    begin, end = _trim(other, contexts, example)
    starts = search_slices(store.offsets[:, 0], low, high, begin + 1) - 1 - low
    ends = search_slices(store.offsets[:, 1], low, high, end) - low
    carried = []
    for token, side in zip((starts, ends), chances, strict=True):
        inside = (first[window] <= token) & (token < last[window])
        place = cls[window] + np.where(inside, token - first[window] + 1, 0)
        place = np.insert(place, np.cumsum(count) - count, cls)
        carried.append(np.bincount(place, weights=side, minlength=size.sum()))
    return np.stack(carried)


def _ranges(windows: pd.DataFrame) -> tuple[IntArray, IntArray, IntArray]:
    columns = ("example", "context_from", "context_to")
    example, first, last = (windows[name].to_numpy(np.int64) for name in columns)
    return example, first, last


def _trim(
    store: TokenStore, contexts: Sequence[str], example: IntArray
) -> tuple[IntArray, IntArray]:
    """Half-open characters of all context tokens of a store, without whitespace at their sides."""
    begin, end = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for row, text in zip(example.tolist(), store.context.tolist(), strict=True):
        offsets = store.offsets[store.text_start[text] : store.text_start[text + 1]]
        low, high = int(offsets[:, 0].min(initial=0)), int(offsets[:, 1].max(initial=0))
        codes = np.frombuffer(contexts[row][low:high].encode("utf-32-le"), np.uint32)
        seen = low + np.flatnonzero(~np.isin(codes, _SPACES))
        begin.append(np.append(seen, high)[np.searchsorted(seen, offsets[:, 0])])
        end.append(np.append(low - 1, seen)[np.searchsorted(seen, offsets[:, 1])] + 1)
    return np.concatenate(begin), np.concatenate(end)
