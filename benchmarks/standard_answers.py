"""The standard way from logits to answers: n-best starts and ends of each window, in loops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

N_BEST = 20


def choose_answers(
    ids: Sequence[str],
    contexts: Sequence[str],
    features: Dataset,
    start_logits: NDArray[np.floating[Any]],
    end_logits: NDArray[np.floating[Any]],
    *,
    max_tokens: int,
) -> dict[str, dict[str, Any]]:
    """Return the best answer of each example by its id.

    An answer has text, probability, score, start_char and end_char. `features` has one row per
    window: ``example`` and ``offset_mapping``, null outside the context. The logits are
    ``(windows, tokens)``.
    """
    windows_of = defaultdict(list)
    for window, example in enumerate(features["example"]):
        windows_of[example].append(window)
    chosen = {}
    for number, (identity, context) in enumerate(zip(ids, contexts, strict=True)):
        spans = []
        for window in windows_of[number]:
            offsets = features[window]["offset_mapping"]
            spans += list_spans(start_logits[window], end_logits[window], offsets, max_tokens)
        best = sorted(spans, key=lambda span: span["score"], reverse=True)[:N_BEST]
        for span in best:
            span["text"] = context[span["start_char"] : span["end_char"]]
        scores = np.array([span["score"] for span in best])
        odds = np.exp(scores - scores.max())
        for span, probability in zip(best, odds / odds.sum(), strict=True):
            span["probability"] = probability
        chosen[identity] = best[0]
    return chosen


def list_spans(
    start_logits: NDArray[np.floating[Any]],
    end_logits: NDArray[np.floating[Any]],
    offsets: list[list[int] | None],
    max_tokens: int,
) -> list[dict[str, Any]]:
    """List the legal spans of one window among its `N_BEST` starts and ends."""
    spans = []
    starts = np.argsort(start_logits)[-1 : -N_BEST - 1 : -1].tolist()
    ends = np.argsort(end_logits)[-1 : -N_BEST - 1 : -1].tolist()
    for start in starts:
        for end in ends:
            if offsets[start] is None or offsets[end] is None:
                continue
            if end < start or end - start + 1 > max_tokens:
                continue
            spans.append(
                {
                    "start_char": offsets[start][0],
                    "end_char": offsets[end][1],
                    "score": float(start_logits[start]) + float(end_logits[end]),
                }
            )
    return spans
