"""From stored logits to voices: laid onto context tokens, blended, with their characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from chaii.answer.blending import blend_logits
from chaii.answer.decode import Voice
from chaii.answer.merging import ContextLogits, merge_windows
from chaii.config_method import Merge
from chaii.recipe.answers import expand_ranges
from chaii.recipe.tokens import TokenStore
from chaii.runs import Prediction


def lay_out(
    prediction: Prediction,
    store: TokenStore,
    *,
    how: Merge = Merge.max,
    rows: slice | None = None,
) -> ContextLogits:
    """Lay the logits of windows onto the context tokens of their examples, or of a run of them.

    The windows come in the order of the examples, as `slide` cuts them, so that a run of rows is a
    run of logits: no others are read.
    """
    first, last, _ = (rows or slice(None)).indices(len(store))
    windows = prediction.windows
    example = windows["example"].to_numpy()
    width = (windows["context_to"] - windows["context_from"]).to_numpy(np.int64)
    begin, end = np.searchsorted(example, [first, last])
    flat = slice(width[:begin].sum(), width[:end].sum())
    null = prediction.null_logits
    return merge_windows(
        windows[begin:end].assign(example=example[begin:end] - first),
        prediction.start_logits[flat],
        prediction.end_logits[flat],
        lengths=store.context_lengths()[first:last],
        how=how.value,
        null_logits=None if null is None else null[begin:end],
    )


def open_voice(
    logits: Sequence[ContextLogits],
    examples: Dataset,
    store: TokenStore,
    *,
    max_tokens: int,
    weights: Sequence[float] | None = None,
) -> Voice:
    """What models of one tokenizer, whose token store of `examples` is given, say together."""
    lengths = store.context_lengths()
    tokens = expand_ranges(store.text_start[store.context], lengths)
    return Voice(
        ids=list(examples["id"]),
        contexts=list(examples["context"]),
        logits=blend_logits(logits, weights=weights),
        offsets=store.offsets[tokens],
        max_tokens=max_tokens,
    )


def join_voices(parts: Sequence[Voice]) -> Voice:
    """What one voice says of several sets of examples, one after another."""
    counts = np.concatenate([np.diff(part.logits.row_start) for part in parts])
    nulls = [part.logits.null for part in parts]
    known = [null for null in nulls if null is not None]
    return Voice(
        ids=[row_id for part in parts for row_id in part.ids],
        contexts=[context for part in parts for context in part.contexts],
        logits=ContextLogits(
            np.concatenate([part.logits.start for part in parts]),
            np.concatenate([part.logits.end for part in parts]),
            np.concatenate([[0], np.cumsum(counts)]),
            np.concatenate(known) if len(known) == len(nulls) else None,
        ),
        offsets=np.concatenate([part.offsets for part in parts]),
        max_tokens=parts[0].max_tokens,
    )
