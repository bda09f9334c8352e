"""Windows: slices of a context that fit a model's input, made by arithmetic on the token store.

A windows table is a `pandas.DataFrame`, one row a window, with integer columns

- ``example``: row of the corpus;
- ``context_from``, ``context_to``: half-open range of context tokens;
- ``start_token``, ``end_token``: the answer's first and last token, counted in the finished input;
  -1 where the answer is absent or not wholly inside. Where every answer of an example is a
  positive, those of the first listed that is wholly inside;
- ``length``: tokens of the finished input, special tokens included.
"""

from __future__ import annotations

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
    """Cut the contexts of `rows` (all by default) into overlapping windows, in order.

    Gives the windows that a fast tokenizer gives with ``truncation="only_second"``, this
    `max_length`, ``stride=doc_stride`` (tokens shared by neighbours) and
    ``return_overflowing_tokens=True``.

    A question that leaves no more than `doc_stride` tokens for its context would never let the
    window advance: its tail is dropped, so that it takes half of what `doc_stride` leaves.

    Raises:
        ValueError: `max_length` is too small for special tokens, doc_stride and a step forward.
    """
    rows = np.arange(len(store)) if rows is None else np.asarray(rows)
    question = kept_question_lengths(store, max_length=max_length, doc_stride=doc_stride)[rows]
    context = store.context_lengths()[rows]
    room = max_length - store.template.overhead - question
    step = room - doc_stride
    count = np.where(context <= room, 1, -(-(context - room) // step) + 1)

    owner = np.repeat(np.arange(len(rows)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    context_from = number * step[owner]
    context_to = np.minimum(context_from + room[owner], context[owner])
    return label(store, rows[owner], context_from, context_to, question=question[owner])


def kept_question_lengths(store: TokenStore, *, max_length: int, doc_stride: int) -> IntArray:
    """Question tokens of each example that a window keeps; see `slide` for the rule."""
    free = max_length - store.template.overhead - doc_stride
    if free < 2:
        raise ValueError(
            f"max_length={max_length}: must exceed doc_stride={doc_stride} by the "
            f"{store.template.overhead} special tokens and 2 more"
        )
    length = store.question_lengths()
    return np.where(length < free, length, free // 2)


def label(
    store: TokenStore,
    example: IntArray,
    context_from: IntArray,
    context_to: IntArray,
    *,
    question: IntArray,
) -> pd.DataFrame:
    """Make the windows table of given ranges: where the answer lies, and how long the input is."""
    if store.answers:
        first, last = store.answers.find_held(example, context_from, context_to).T
        inside = first >= 0
    else:
        first, last = store.answer[example].T
        inside = (first >= 0) & (context_from <= first) & (last < context_to)
    shift = len(store.template.before) + len(store.template.between) + question - context_from
    width = context_to - context_from
    columns = {
        "example": example,
        "context_from": context_from,
        "context_to": context_to,
        "start_token": np.where(inside, np.minimum(first, context_to - 1) + shift, -1),
        "end_token": np.where(inside, np.maximum(last, context_from) + shift, -1),
        "length": store.template.overhead + question + width,
    }
    return pd.DataFrame({name: column.astype(np.int32) for name, column in columns.items()})


def crop(
    windows: pd.DataFrame, store: TokenStore, *, generator: np.random.Generator
) -> pd.DataFrame:
    """Move every window to a random place, keeping its width and whether it holds the answer.

    A window with the answer begins anywhere that keeps the answer wholly inside, all places equally
    likely; a window without begins anywhere that does not hold it. A window that cannot move stays.

    Where every answer of an example is a positive, a window with answers keeps the one that labels
    it, and a window without stays too where the place drawn for it holds any.
    """
    example = windows["example"].to_numpy(np.int64)
    context_from = windows["context_from"].to_numpy(np.int64)
    width = windows["context_to"].to_numpy(np.int64) - context_from
    places = store.context_lengths()[example] - width + 1
    answer = store.answer[example]
    if store.answers:
        answer = store.answers.find_held(example, context_from, context_from + width)
    first, last = answer.T
    # window starts in [low, high) hold the answer; there are none without an answer
    low = np.clip(last - width + 1, 0, places)
    high = np.where(first >= 0, np.clip(first + 1, low, places), low)

    positive = windows["start_token"].to_numpy() >= 0
    choices = np.where(positive, high - low, places - (high - low))
    draw = (generator.random(len(windows)) * choices).astype(np.int64)
    moved = np.where(positive, low + draw, np.where(draw < low, draw, draw + (high - low)))
    if store.answers:
        landed = store.answers.find_held(example, moved, moved + width)[:, 0] >= 0
        choices = np.where(landed & ~positive, 0, choices)
    context_from = np.where(choices > 0, moved, context_from)
    question = windows["length"].to_numpy(np.int64) - store.template.overhead - width
    return label(store, example, context_from, context_from + width, question=question)


def finished_input(store: TokenStore, window: Any) -> tuple[IntArray, IntArray, int]:
    """Token ids and token types of a window's finished input, and where its context begins."""
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
