"""Row 7 on a GPU: answers from long contexts at XLM-R large's size in bf16.

The standard does what the question-answering pipeline of transformers 4.57 does, written out: it
needs no network and runs in bf16 like ours. Windows go through the model one by one (one question
per call) or in batches in their own order. Each window is searched by itself; [CLS], at which the
pipeline lets an answer begin, is left out.

    python benchmarks/infer_gpu.py
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from infer import BATCH, MAX_LENGTH, MAX_TOKENS, STRIDE, answer_ours, cut_windows, share_equal
from large import build_large, need_gpu
from made import make_examples, make_tokenizer
from matmul import count_flops, measure_peak
from measure import Line, alternate, compare, parse_arguments, report

from chaii.config.schema import Precision


def answer_standard(
    model: Any, tokenizer: Any, examples: Dataset, *, batch_size: int
) -> list[list[int]]:
    """Return half-open characters of each answer; batches may cross questions."""
    chances: list[dict[str, list[Any]]] = [{} for _ in examples]
    batch: list[dict[str, Any]] = []
    for window in _cut_all(tokenizer, examples):
        batch.append(window)
        if len(batch) == batch_size:
            _answer_batch(model, tokenizer, batch, chances)
            batch = []
    if batch:
        _answer_batch(model, tokenizer, batch, chances)
    return [max(found.values())[1:] for found in chances]


def _cut_all(tokenizer: Any, examples: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the windows of each question, one question at a time."""
    for number, row in enumerate(examples):
        encoded = tokenizer(
            row["question"],
            row["context"],
            truncation="only_second",
            max_length=MAX_LENGTH,
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for i, ids in enumerate(encoded["input_ids"]):
            allowed = np.array([part == 1 for part in encoded.sequence_ids(i)])
            offsets = encoded["offset_mapping"][i]
            text = row["context"]
            yield {"ids": ids, "of": number, "allowed": allowed, "offsets": offsets, "text": text}


def _answer_batch(
    model: Any, tokenizer: Any, batch: list[dict[str, Any]], chances: list[dict[str, list[Any]]]
) -> None:
    """Add the most probable span of each window to the answers of its question."""
    inputs = tokenizer.pad({"input_ids": [window["ids"] for window in batch]}, return_tensors="pt")
    inputs = {name: part.to(model.device) for name, part in inputs.items()}
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16):
        output = model(**inputs)
    starts, ends = (part.float().cpu().numpy() for part in (output.start_logits, output.end_logits))
    for window, start, end in zip(batch, starts, ends, strict=True):
        first, last, chance = _find_span(start, end, window["allowed"])
        start_char, end_char = window["offsets"][first][0], window["offsets"][last][1]
        text = window["text"][start_char:end_char].lower()
        found = chances[window["of"]].setdefault(text, [0.0, start_char, end_char])
        found[0] += chance


def _find_span(start: Any, end: Any, allowed: Any) -> tuple[int, int, float]:
    """Return the most probable span of a window from a table of all pairs of tokens."""
    tokens = len(allowed)
    start, end = (np.where(allowed, part[:tokens], -10_000.0) for part in (start, end))
    start, end = (np.exp(part - part.max()) for part in (start, end))
    pairs = np.outer(start / start.sum(), end / end.sum())
    pairs = np.tril(np.triu(pairs), MAX_TOKENS - 1)
    first, last = np.unravel_index(pairs.argmax(), pairs.shape)
    return int(first), int(last), float(pairs[first, last])


def measure(examples: Dataset, *, quick: bool) -> list[Line]:
    """Measure both ways to call the pipeline, and the share of the peak that is reached."""
    tokenizer, model = make_tokenizer(), build_large(tiny=quick).eval()
    model.qa_outputs.weight.data.mul_(10)  # a fresh head gives all spans the same score
    ways = [
        partial(answer_ours, model, tokenizer, examples, Precision.bf16, batch_size=256),
        partial(answer_standard, model, tokenizer, examples, batch_size=1),
        partial(answer_standard, model, tokenizer, examples, batch_size=BATCH),
    ]
    answers = [way() for way in ways]  # warms up; equality is reported below
    same = [share_equal(answers[0], answers[1]), share_equal(answers[1], answers[2])]
    ours, single, batched = alternate(*ways, pairs=1 if quick else 5)
    lengths = cut_windows(examples, tokenizer)["length"]
    device = model.device.type
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    peak = measure_peak(device=device, dtype=dtype) / 1e3
    reached = count_flops(model.config, lengths) / np.median(ours) / 1e12
    note = (
        f"{len(examples)} questions, {len(lengths)} windows; {same[0]:.1%} of the answers are the "
        f"same; the two standard ways, whose bf16 rounding differs, agree on {same[1]:.1%}"
    )
    rate = f"{reached:.3g} TFLOP/s"
    share = "share of the matrix-product peak"
    return [
        compare("one question per call", ours, single, at_least=5, note=note),
        compare(f"batches of {BATCH}", ours, batched, at_least=2),
        Line(share, rate, f"{peak:.3g} TFLOP/s", 100 * reached / peak, unit="%"),
    ]


def main() -> None:
    """Measure all lines."""
    quick = parse_arguments(__doc__).quick
    need_gpu(quick=quick)
    lines = measure(make_examples(2 if quick else 60, words=60 if quick else 1200), quick=quick)
    report(7, "Infer on a GPU", lines, name="infer_gpu", quick=quick)


if __name__ == "__main__":
    main()
