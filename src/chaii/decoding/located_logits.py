"""From stored logits of windows to logits of whole contexts, with the text of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from chaii.config.ensemble import Merge
from chaii.decoding.context_logits import ContextLogits, merge_windows
from chaii.recipe.span_labels import IntArray, expand_ranges
from chaii.recipe.token_store import TokenStore
from chaii.run_folder import Prediction


@dataclass(frozen=True, eq=False)
class LocatedLogits:
    """Context logits of some examples, with the text and the characters of their tokens."""

    ids: Sequence[str]  # (rows,)
    contexts: Sequence[str]  # (rows,)
    logits: ContextLogits
    offsets: IntArray  # (tokens, 2) half-open characters of each context token in its context
    max_tokens: int  # of an answer

    def __post_init__(self) -> None:
        rows = len(self.logits.row_start) - 1
        if not len(self.ids) == len(self.contexts) == rows:
            raise ValueError(
                f"{len(self.ids)} ids, {len(self.contexts)} contexts, logits of {rows} examples"
            )
        if len(self.offsets) != len(self.logits.start):
            raise ValueError(
                f"{len(self.offsets)} offsets for the logits of {len(self.logits.start)} tokens"
            )

    def select(self, rows: IntArray) -> LocatedLogits:
        """Keep some of the examples, in the order of `rows`."""
        first, count = self.logits.row_start[:-1][rows], np.diff(self.logits.row_start)[rows]
        return LocatedLogits(
            ids=[self.ids[row] for row in rows],
            contexts=[self.contexts[row] for row in rows],
            logits=self.logits.select(rows),
            offsets=self.offsets[expand_ranges(first, count)],
            max_tokens=self.max_tokens,
        )


def merge_prediction(
    prediction: Prediction,
    store: TokenStore,
    *,
    how: Merge = Merge.max,
    rows: slice | None = None,
) -> ContextLogits:
    """Merge the logits of windows into those of the contexts of all examples, or of `rows`.

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


def locate_logits(
    logits: ContextLogits, examples: Dataset, store: TokenStore, *, max_tokens: int
) -> LocatedLogits:
    """Add the texts of `examples` and their tokens' characters, from their token store."""
    lengths = store.context_lengths()
    tokens = expand_ranges(store.text_start[store.context], lengths)
    return LocatedLogits(
        ids=list(examples["id"]),
        contexts=list(examples["context"]),
        logits=logits,
        offsets=store.offsets[tokens],
        max_tokens=max_tokens,
    )


def join_located(parts: Sequence[LocatedLogits]) -> LocatedLogits:
    """Join the logits of several sets of examples, one after another."""
    counts = np.concatenate([np.diff(part.logits.row_start) for part in parts])
    nulls = [part.logits.null for part in parts]
    known = [null for null in nulls if null is not None]
    return LocatedLogits(
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
