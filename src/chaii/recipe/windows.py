"""Windows: slices of a context that fit a model's input, computed from the token store.

A windows table is a `pandas.DataFrame` with one row per window and integer columns

- ``example``: row of the corpus;
- ``context_from``, ``context_to``: half-open range of context tokens;
- ``start_token``, ``end_token``: first and last token of the answer, counted in the finished input;
  of several answers, the first listed that is wholly inside; -1 where none is;
- ``length``: tokens of the finished input, special tokens included.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from chaii.recipe.pair_template import PairTemplate
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import TokenStore


class Window(NamedTuple):
    """One row of a windows table."""

    example: int
    context_from: int
    context_to: int
    start_token: int
    end_token: int
    length: int


WINDOW_COLUMNS = Window._fields


def slide(
    store: TokenStore, *, max_length: int, doc_stride: int, rows: IntArray | None = None
) -> pd.DataFrame:
    """Cut the contexts of `rows` (default: all) into overlapping windows, in order.

    Returns the windows that a fast tokenizer returns with ``truncation="only_second"``, this
    `max_length`, ``stride=doc_stride`` (tokens shared by neighbours) and
    ``return_overflowing_tokens=True``.

    A question that leaves at most `doc_stride` tokens for its context would never let the window
    advance. Its tail is dropped, so that it takes half of the tokens that `doc_stride` leaves.

    Raises:
        ValueError: `max_length` is too small for special tokens, `doc_stride` and a step forward.
    """
    rows = np.arange(len(store)) if rows is None else np.asarray(rows)
    free = max_length - store.template.overhead - doc_stride
    if free < 2:
        least = f"the {store.template.overhead} special tokens and 2 more"
        raise ValueError(f"max_length={max_length}: must exceed doc_stride={doc_stride} by {least}")
    question, context = store.question_lengths()[rows], store.context_lengths()[rows]
    question = np.where(question < free, question, free // 2)
    room = max_length - store.template.overhead - question
    step = room - doc_stride
    count = np.where(context <= room, 1, -(-(context - room) // step) + 1)

    owner = np.repeat(np.arange(len(rows)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    context_from = number * step[owner]
    context_to = np.minimum(context_from + room[owner], context[owner])
    return label(store, rows[owner], context_from, context_to, question=question[owner])


def label(
    store: TokenStore,
    example: IntArray,
    context_from: IntArray,
    context_to: IntArray,
    *,
    question: IntArray,
) -> pd.DataFrame:
    """Make the windows table of these context ranges; `question` counts question tokens kept."""
    first, last = store.answers.find_held(example, context_from, context_to).T
    held = first >= 0
    shift = len(store.template.before) + len(store.template.between) + question - context_from
    columns = {
        "example": example,
        "context_from": context_from,
        "context_to": context_to,
        "start_token": np.where(held, first + shift, -1),
        "end_token": np.where(held, last + shift, -1),
        "length": store.template.overhead + question + context_to - context_from,
    }
    return pd.DataFrame({name: column.astype(np.int32) for name, column in columns.items()})


def keep_negatives(
    windows: pd.DataFrame, *, share: float, generator: np.random.Generator
) -> pd.DataFrame:
    """Keep all windows with an answer and a random `share` of those without, in order."""
    negative = np.flatnonzero(windows["start_token"].to_numpy() < 0)
    dropped = len(negative) - round(share * len(negative))
    keep = np.ones(len(windows), dtype=bool)
    keep[generator.choice(negative, size=dropped, replace=False)] = False
    return windows[keep]


def crop(
    windows: pd.DataFrame, store: TokenStore, *, generator: np.random.Generator
) -> pd.DataFrame:
    """Move every window to a random place; its width stays, and whether it holds an answer.

    A window with answers moves to any place that keeps the answer that labels it wholly inside, all
    such places equally likely. A window without answers moves to any place of its context; it stays
    where it is if that place holds an answer.
    """
    example = windows["example"].to_numpy(np.int64)
    context_from = windows["context_from"].to_numpy(np.int64)
    width = windows["context_to"].to_numpy(np.int64) - context_from
    places = store.context_lengths()[example] - width + 1
    first, last = store.answers.find_held(example, context_from, context_from + width).T
    positive = first >= 0
    low = np.where(positive, np.maximum(last - width + 1, 0), 0)
    high = np.where(positive, np.minimum(first + 1, places), places)
    moved = low + (generator.random(len(windows)) * (high - low)).astype(np.int64)
    holds = store.answers.find_held(example, moved, moved + width)[:, 0] >= 0
    context_from = np.where(holds == positive, moved, context_from)
    question = windows["length"].to_numpy(np.int64) - store.template.overhead - width
    return label(store, example, context_from, context_from + width, question=question)


def finished_input(store: TokenStore, window: Any) -> tuple[IntArray, IntArray, int]:
    """Build the model's input for a window.

    Returns:
        Token ids and token types, both ``(tokens,)``, and the position of the first context token.
    """
    template: PairTemplate = store.template
    width = window.context_to - window.context_from
    kept = window.length - template.overhead - width
    context = store.tokens_of(store.context[window.example])
    parts = (
        template.before,
        store.tokens_of(store.question[window.example])[:kept],
        template.between,
        context[window.context_from : window.context_to],
        template.after,
    )
    ids = np.concatenate([np.asarray(part, np.int32) for part in parts])
    types = np.repeat(np.array(template.type_ids, np.int32), [len(part) for part in parts])
    return ids, types, len(template.before) + kept + len(template.between)


def answer_positions(store: TokenStore, window: Any, context: int) -> tuple[IntArray, IntArray]:
    """List the positions to be learned in a window's finished input.

    `context` is the position of the first context token. Returns the distinct first and the
    distinct last tokens of all answers inside; the [CLS] position where there is none.
    """
    if window.start_token < 0:
        cls = np.array([store.template.cls_position])
        return cls, cls
    first, last = store.answers.of(window.example).T
    held = (window.context_from <= first) & (last < window.context_to)
    shift = context - window.context_from
    return np.unique(first[held]) + shift, np.unique(last[held]) + shift
