"""Logits of all tokens of a context, read from the stored logits of its overlapping windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chaii.config.ensemble import DecodeConfig, Merge
from chaii.recipe.span_labels import IntArray, expand_ranges
from chaii.recipe.token_store import TokenStore
from chaii.run_folder import Prediction

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class ContextLogits:
    """Start and end logits of every context token of some examples, with their texts.

    The arrays are flat and unpadded: example i owns the tokens `row_start[i]` up to, not including,
    `row_start[i + 1]`. A token that no window covers has -inf. If windows are not merged, the
    tokens of an example are those of its first window, then those of the next: one that several
    windows cover occurs several times.

    Raises:
        ValueError: the lengths of two fields do not fit each other.
    """

    ids: Sequence[str]  # (rows,)
    contexts: Sequence[str]  # (rows,)
    row_start: IntArray  # (rows + 1,)
    offsets: IntArray  # (tokens, 2) half-open characters of each token in its context
    start: FloatArray  # (tokens,)
    end: FloatArray  # (tokens,)
    null: FloatArray  # (rows,) start + end logit of no answer
    max_answer_tokens: int  # longest answer that the model was trained to give
    tokens_left: IntArray | None = None  # (tokens,) to the end of the window; None: merged windows

    def __post_init__(self) -> None:
        rows, tokens = len(self.row_start) - 1, self.row_start[-1]
        fields = dict.fromkeys(("ids", "contexts", "null"), rows)
        fields |= dict.fromkeys(("offsets", "start", "end"), tokens)
        fields |= {} if self.tokens_left is None else {"tokens_left": tokens}
        for name, expected in fields.items():
            if (found := len(getattr(self, name))) != expected:
                raise ValueError(f"{name}: {found} for {rows} rows of {tokens} tokens")

    def __len__(self) -> int:
        return len(self.row_start) - 1

    def select(self, rows: IntArray) -> Self:
        """Keep the logits of some examples, in the order of `rows`."""
        count = np.diff(self.row_start)[rows]
        tokens = expand_ranges(self.row_start[:-1][rows], count)
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            contexts=[self.contexts[row] for row in rows],
            row_start=np.concatenate([[0], np.cumsum(count)]),
            offsets=self.offsets[tokens],
            start=self.start[tokens],
            end=self.end[tokens],
            tokens_left=None if self.tokens_left is None else self.tokens_left[tokens],
            null=self.null[rows],
        )


def read_context_logits(
    prediction: Prediction,
    store: TokenStore,
    *,
    max_answer_tokens: int,
    merge: Merge = DecodeConfig.merge,
    rows: IntArray | None = None,
) -> ContextLogits:
    """Merge the logits of windows into those of whole contexts, with the texts of the examples.

    `store` holds the tokens of the prediction's examples. With `rows`, only the logits of these
    examples are read. With `Merge.odds` the logit of "no answer" is 0, as all others are above it.

    Raises:
        ValueError: see `merge_windows`.
    """
    if rows is not None:
        prediction, store = select_examples(prediction, rows), store.select(rows)
    if merge is Merge.odds:
        prediction = subtract_nulls(prediction)
    windows, lengths = prediction.windows, store.context_lengths()
    tokens = expand_ranges(store.text_start[store.context], lengths)
    sides = prediction.start_logits, prediction.end_logits
    start, end = (merge_windows(windows, side, lengths=lengths, merge=merge) for side in sides)
    tokens_left = None
    if merge is Merge.none:
        tokens = tokens[_locate_tokens(windows, lengths)]
        width = (windows["context_to"] - windows["context_from"]).to_numpy(np.int64)
        tokens_left = np.repeat(np.cumsum(width), width) - np.arange(len(tokens))
        lengths = np.bincount(windows["example"], weights=width, minlength=len(lengths))
    null = np.full(len(lengths), np.inf, dtype=np.float32)
    # A window that sees the answer knows best that there is one: its logit is the lowest.
    pair_sums = prediction.null_logits.astype(np.float32).sum(axis=1)
    np.minimum.at(null, windows["example"].to_numpy(), pair_sums)
    return ContextLogits(
        ids=prediction.examples["id"][:],
        contexts=prediction.examples["context"][:],
        row_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        offsets=store.offsets[tokens],
        start=start,
        end=end,
        max_answer_tokens=max_answer_tokens,
        tokens_left=tokens_left,
        null=null,
    )


def select_examples(prediction: Prediction, rows: IntArray) -> Prediction:
    """Keep the windows and logits of some examples, in the order of `rows`.

    The windows must be sorted by their example, as `slide` cuts them.
    """
    windows = prediction.windows
    owner = windows["example"].to_numpy()
    first = np.searchsorted(owner, rows)
    count = np.searchsorted(owner, rows, side="right") - first
    chosen = expand_ranges(first, count)
    width = (windows["context_to"] - windows["context_from"]).to_numpy(np.int64)
    tokens = expand_ranges((np.cumsum(width) - width)[chosen], width[chosen])
    return Prediction(
        examples=prediction.examples.select(rows),
        windows=windows.iloc[chosen].assign(example=np.repeat(np.arange(len(rows)), count)),
        start_logits=prediction.start_logits[tokens],
        end_logits=prediction.end_logits[tokens],
        null_logits=prediction.null_logits[chosen],
    )


def subtract_nulls(prediction: Prediction) -> Prediction:
    """Take from all logits those of "no answer" in their window, which makes windows comparable."""
    width = prediction.windows["context_to"] - prediction.windows["context_from"]
    nulls = np.repeat(prediction.null_logits.astype(np.float32), width, axis=0).T
    start, end = prediction.start_logits - nulls[0], prediction.end_logits - nulls[1]
    none = np.zeros_like(prediction.null_logits)
    return replace(prediction, start_logits=start, end_logits=end, null_logits=none)


def merge_windows(
    windows: pd.DataFrame, logits: FloatArray, *, lengths: IntArray, merge: Merge
) -> NDArray[np.float32]:
    """Merge the logits of overlapping windows into one logit per token, ``(tokens,)``.

    `windows` has one row per window, in any order: `example` (its number), `context_from` and
    `context_to` (half-open range of the context tokens that it covers). `logits` are flat over
    exactly these tokens, window after window. `lengths` ``(examples,)`` is the number of context
    tokens of each example, zero allowed. A token that several windows cover gets their largest or
    mean logit (that with `odds` too); with `Merge.none` they stay as they are, window after window.

    Raises:
        ValueError: a window leaves its context, the number of logits is not the number of tokens
            that the windows cover, or a logit is NaN or +inf.

    >>> windows = pd.DataFrame({"example": [0, 0], "context_from": [0, 1], "context_to": [2, 3]})
    >>> logits = np.array([1, 5, 3, 7], dtype=np.float16)
    >>> merge_windows(windows, logits, lengths=np.array([3]), merge=Merge.mean)
    array([1., 4., 7.], dtype=float32)
    """
    place = _locate_tokens(windows, lengths)
    if len(place) != len(logits):
        raise ValueError(f"{len(logits)} logits for windows that cover {len(place)} context tokens")
    values = logits.astype(np.float32, copy=False)  # half precision is slow to compare
    wrong = np.flatnonzero(~(values < np.inf))
    if wrong.size:
        why = "the model's weights are damaged, or its training diverged"
        found = f"{wrong.size} of {len(values)} logits are NaN or +inf, the first at {wrong[0]}"
        raise ValueError(f"{found}: {why}")
    if merge is Merge.none:
        return values
    tokens = int(lengths.sum())
    if merge is Merge.max:
        largest = np.full(tokens, -np.inf, dtype=np.float32)
        np.maximum.at(largest, place, values)
        return largest
    count = np.bincount(place, minlength=tokens)
    total = np.bincount(place, weights=values, minlength=tokens)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf).astype(np.float32)


def join_logits(parts: Sequence[ContextLogits]) -> ContextLogits:
    """Join the logits of several sets of examples, one after another."""
    counts = np.concatenate([np.diff(part.row_start) for part in parts])
    joined: dict[str, Any] = {"row_start": np.concatenate([[0], np.cumsum(counts)])}
    for name in ("ids", "contexts"):
        joined[name] = [text for part in parts for text in getattr(part, name)]
    for name in ("offsets", "start", "end", "tokens_left", "null"):
        arrays = [getattr(part, name) for part in parts]
        joined[name] = None if any(one is None for one in arrays) else np.concatenate(arrays)
    return replace(parts[0], **joined)


def _locate_tokens(windows: pd.DataFrame, lengths: IntArray) -> NDArray[np.int64]:
    """Position, among the tokens of all contexts, of every token of every window."""
    names = ("example", "context_from", "context_to")
    example, first, last = (windows[name].to_numpy(dtype=np.int64) for name in names)
    known = (example >= 0) & (example < len(lengths))
    length = np.append(lengths, 0)[np.where(known, example, -1)]
    wrong = np.flatnonzero(~known | (first < 0) | (first > last) | (last > length))
    if wrong.size:
        at = wrong[0]
        raise ValueError(
            f"window {at} covers tokens {first[at]} to {last[at]} of example {example[at]}: "
            f"outside its {length[at]} tokens, or of the {len(lengths)} examples"
        )
    begins = np.cumsum(lengths, dtype=np.int64) - lengths
    return expand_ranges(begins[example] + first, last - first)
