"""Row 1: from texts to the windows of three lengths, labelled, negatives sampled.

Our windows are ready to train on: the loader assembles batches from the token store, and
`feeding.py` measures its speed. The standard is `datasets.map` with overflowing tokens, uncached.

    python benchmarks/prepare.py
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
from datasets import Dataset
from made import make_examples, make_tokenizer, read_xquad_by_article
from measure import Line, alternate, compare, parse_arguments, report
from standard_windows import drop_negatives, map_windows, reopen

from chaii.recipe.token_store import TokenStore, open_store
from chaii.recipe.windows import finished_input, keep_negatives, slide

LENGTHS = ((256, 128), (384, 192), (448, 192))  # max_length, doc_stride
NEGATIVES = 0.1  # share that is kept
COLD = {"documents": 5.0, "shared contexts": 60.0}  # goals
WARM = 200.0


def prepare_ours(
    examples: Dataset, tokenizer: Any, folder: Path
) -> tuple[TokenStore, list[pd.DataFrame]]:
    """Return the token store and the windows of each length."""
    store = open_store(examples, tokenizer, folder)
    generator = np.random.default_rng(2021)
    windows = [
        slide(store, max_length=length, doc_stride=doc_stride) for length, doc_stride in LENGTHS
    ]
    return store, [keep_negatives(part, share=NEGATIVES, generator=generator) for part in windows]


def prepare_cold(examples: Dataset, tokenizer: Any, folder: Path) -> None:
    """Prepare as `prepare_ours` does, without an existing token store."""
    shutil.rmtree(folder, ignore_errors=True)
    prepare_ours(examples, tokenizer, folder)


def prepare_standard(examples: Dataset, tokenizer: Any, **options: Any) -> list[Dataset]:
    """Return one data set per length."""
    generator = np.random.default_rng(2021)
    parts = [
        map_windows(examples, tokenizer, max_length=length, doc_stride=doc_stride, **options)
        for length, doc_stride in LENGTHS
    ]
    # datasets.map with several processes turns the tokenizer's threads off for this process
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    return [drop_negatives(part, share=NEGATIVES, generator=generator) for part in parts]


def pass_over(examples: Dataset, tokenizer: Any) -> None:
    """Tokenise every distinct text once: the least that any way has to do."""
    texts = list(dict.fromkeys([*examples["question"], *examples["context"]]))
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.encode_batch(texts, add_special_tokens=False)


def check_equal(examples: Dataset, tokenizer: Any, folder: Path) -> int:
    """Return the number of windows; their token ids and labels are equal both ways.

    Raises:
        ValueError: A window differs.
    """
    store, windows = prepare_ours(examples, tokenizer, folder)
    standard = prepare_standard(examples, tokenizer)
    for (length, _), ours, theirs in zip(LENGTHS, windows, standard, strict=True):
        if len(ours) != len(theirs):
            raise ValueError(f"length {length}: {len(ours)} windows, {len(theirs)} the other way")
        for window, row in zip(ours.itertuples(), theirs, strict=True):
            ids, _, _ = finished_input(store, window)
            labels = [max(window.start_token, 0), max(window.end_token, 0)]
            if [*ids, *labels] != [*row["input_ids"], row["start_positions"], row["end_positions"]]:
                raise ValueError(f"length {length}: windows of example {window.example} differ")
    return sum(map(len, windows))


def measure(data: str, examples: Dataset, tokenizer: Any, *, pairs: int) -> list[Line]:
    """Measure one corpus."""
    with tempfile.TemporaryDirectory() as name:
        examples, folder = reopen(examples, Path(name) / "examples"), Path(name) / "tokens"
        windows = check_equal(examples, tokenizer, folder)
        ours = partial(prepare_cold, examples, tokenizer, folder)
        warm = partial(prepare_ours, examples, tokenizer, folder)
        standard = partial(prepare_standard, examples, tokenizer)
        ways = (ours, warm, standard, partial(standard, num_proc=2))
        cold_seconds, warm_seconds, *others = alternate(*ways, pairs=pairs)
        limited, limit = alternate(ours, partial(pass_over, examples, tokenizer), pairs=pairs)
    mark = next(mark for shape, mark in COLD.items() if shape in data)
    note = f"{len(examples)} questions, {windows:,} windows of three lengths, equal both ways"
    lines = [
        compare(
            f"{data}, cold, against one pass of the tokenizer",
            *(limited, limit),
            inverse=True,
            at_most=1.3,
            note=f"{note}; the pass is a lower bound",
        )
    ]
    for processes, seconds in enumerate(others, start=1):
        way = f"map with num_proc={processes}"
        most = statistics.median(seconds) / statistics.median(limit)
        cold = {"at_least": mark, "note": f"{note}; the pass alone would be {most:.1f}x"}
        lines += [
            compare(f"{data}, cold, {way}", cold_seconds, seconds, **cold),
            compare(
                *(f"{data}, warm store, {way}", warm_seconds, seconds),
                at_least=WARM,
                note="datasets.map starts again for a new draw of negatives",
            ),
        ]
    return lines


def main() -> None:
    quick = parse_arguments(__doc__).quick
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    datasets.disable_caching()
    datasets.disable_progress_bars()
    pairs = 1 if quick else 5
    tokenizer, small = make_tokenizer(), 12 if quick else 1
    documents = make_examples(96 // small, words=4200 // small)
    lines = measure("made documents", documents, tokenizer, pairs=pairs)
    shared = None if quick else read_xquad_by_article()
    if shared is None:
        shared = make_examples(36 // small, words=700, spread=0.2, questions=25)
        lines += measure("made shared contexts", shared, tokenizer, pairs=pairs)
    else:
        texts = list(dict.fromkeys([*shared["context"], *shared["question"]]))
        tokenizer = make_tokenizer("xquad_hi", texts=texts)
        lines += measure("XQuAD-hi, shared contexts", shared, tokenizer, pairs=pairs)
    report(1, "Prepare", lines, name="prepare", quick=quick)


if __name__ == "__main__":
    main()
