"""The standard way to windows: `datasets.map` over a tokenizer that returns overflowing tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset


def map_windows(
    examples: Dataset, tokenizer: Any, *, max_length: int, doc_stride: int, **options: Any
) -> Dataset:
    """Cut every window of every example: one row per window, with token ids and labels.

    `options` go to `Dataset.map`; ``padding`` goes to the tokenizer.
    """
    padding = options.pop("padding", False)  # the collator pads, which is faster
    return examples.map(
        cut_windows,
        fn_kwargs={
            "tokenizer": tokenizer,
            "max_length": max_length,
            "doc_stride": doc_stride,
            "padding": padding,
        },
        batched=True,
        remove_columns=examples.column_names,
        load_from_cache_file=False,
        **options,
    )


def cut_windows(
    batch: dict[str, list[Any]], *, tokenizer: Any, max_length: int, doc_stride: int, padding: Any
) -> dict[str, Any]:
    """Tokenise a batch and label its windows; a window without the answer points at [CLS]."""
    windows = tokenizer(
        [question.lstrip() for question in batch["question"]],
        batch["context"],
        truncation="only_second",
        max_length=max_length,
        stride=doc_stride,
        padding=padding,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    owners, offsets = windows.pop("overflow_to_sample_mapping"), windows.pop("offset_mapping")
    starts, ends = [], []
    for number, owner in enumerate(owners):
        start_char = batch["answer_start"][owner][0]
        end_char = start_char + len(batch["answer_text"][owner][0])
        cls = windows["input_ids"][number].index(tokenizer.cls_token_id)
        parts = windows.sequence_ids(number)
        start, end = find_answer(offsets[number], parts, start_char, end_char)
        starts.append(cls if start is None else start)
        ends.append(cls if end is None else end)
    windows["start_positions"], windows["end_positions"] = starts, ends
    return windows


def find_answer(
    offsets: list[tuple[int, int]], parts: list[int | None], start_char: int, end_char: int
) -> tuple[int | None, int | None]:
    """Find the first and last token of an answer in a window, from its two ends inwards."""
    first = parts.index(1)
    last = len(parts) - 1
    while parts[last] != 1:
        last -= 1
    if offsets[first][0] > start_char or offsets[last][1] < end_char:
        return None, None
    start, end = first, last
    while start <= last and offsets[start][0] <= start_char:
        start += 1
    while end >= first and offsets[end][1] >= end_char:
        end -= 1
    return start - 1, end + 1


def drop_negatives(windows: Dataset, *, share: float, generator: np.random.Generator) -> Dataset:
    """Keep `share` of the windows without the answer, drawn at random."""
    negative = np.flatnonzero(np.array(windows["start_positions"]) == 0)
    dropped = len(negative) - round(share * len(negative))
    gone = generator.choice(negative, size=dropped, replace=False)
    return windows.select(np.setdiff1d(np.arange(len(windows)), gone))


def reopen(examples: Dataset, folder: Path) -> Dataset:
    """Save the examples and load them memory-mapped, as a script has them."""
    examples.save_to_disk(folder)
    return Dataset.load_from_disk(folder)
