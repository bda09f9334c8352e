"""Row 7: answers from long contexts, against the pipeline of transformers 4.57, on a CPU.

The pipeline runs in a virtual environment of its own, which the first run makes (minutes, and the
package index). Both sides have the same model (real MiniLM weights under a fresh head), windows,
threads and rule: the most probable span of each window; probabilities of equal answers are added.

    python benchmarks/infer.py
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from made import make_examples
from matmul import count_flops, measure_peak
from measure import Line, alternate, compare, parse_arguments, report
from minilm import save_minilm
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
from workers import Worker, make_venv

from chaii.config.schema import Precision
from chaii.decoding.span_search import best_spans, softmax_rows
from chaii.model.predict import predict_logits
from chaii.recipe.token_store import TokenStore, open_store
from chaii.recipe.windows import finished_input, slide

MAX_LENGTH, STRIDE, MAX_TOKENS, BATCH = 384, 128, 30, 32
OPTIONS = {
    "max_seq_len": MAX_LENGTH,
    "doc_stride": STRIDE,
    "max_answer_len": MAX_TOKENS,
    "align_to_words": False,  # spans of tokens, as ours are; this also makes the pipeline faster
}


def start_pipeline(model: Path, examples: Dataset) -> Worker:
    """Start the pipeline in another interpreter; `pipeline_worker.py` documents the requests."""
    python = make_venv("venv457", "transformers==4.57.*", "numpy")
    questions = model / "questions.json"
    rows = [{key: row[key] for key in ("question", "context")} for row in examples]
    questions.write_text(json.dumps([rows, OPTIONS]), encoding="utf-8")
    return Worker(python, "pipeline_worker.py", model, questions, torch.get_num_threads())


def answer_ours(
    model: Any,
    tokenizer: Any,
    examples: Dataset,
    precision: Precision = Precision.fp32,
    *,
    batch_size: int = BATCH,
) -> list[list[int]]:
    """Return half-open characters of each answer; nothing is cached between calls."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(examples, tokenizer, Path(folder))
        windows = slide(store, max_length=MAX_LENGTH, doc_stride=STRIDE)
        logits = predict_logits(model, windows, store, batch_size=batch_size, precision=precision)
        return read_answers(store, windows, *logits[:2], contexts=list(examples["context"]))


def read_answers(
    store: TokenStore, windows: pd.DataFrame, *logits: Any, contexts: list[str]
) -> list[list[int]]:
    """Choose the most probable span per window, then the most probable text per example."""
    first, last = (windows[name].to_numpy(np.int64) for name in ("context_from", "context_to"))
    bounds = np.concatenate([[0], np.cumsum(last - first)])
    start, end = (np.log(softmax_rows(part.astype(np.float32), bounds)) for part in logits)
    spans = best_spans(start, end, bounds, max_tokens=MAX_TOKENS)
    place = store.text_start[store.context[windows["example"]]] + first
    table = pd.DataFrame(
        {
            "example": windows["example"].to_numpy(),
            "start": store.offsets[place + spans.start_token, 0],
            "end": store.offsets[place + spans.end_token, 1],
            "chance": np.exp(spans.score),
        }
    )
    parts = table[["example", "start", "end"]].itertuples(index=False)
    table["text"] = [contexts[part.example][part.start : part.end].lower() for part in parts]
    groups = table.groupby(["example", "text"], sort=False)
    answers = groups.agg({"chance": "sum", "start": "first", "end": "first"}).reset_index("text")
    best = answers.sort_values("chance", ascending=False, kind="stable").groupby("example").head(1)
    return [[int(row.start), int(row.end)] for row in best.sort_index().itertuples()]


def check_equal(model: Any, tokenizer: Any, examples: Dataset, other: Worker) -> float:
    """Return the largest difference between logits beyond the rounding of half precision.

    Raises:
        ValueError: The windows differ, or a logit differs by more than 1e-4.
    """
    with tempfile.TemporaryDirectory() as name:
        other.ask(logits=f"{name}/logits.npz")
        theirs = np.load(f"{name}/logits.npz")
        store = open_store(examples, tokenizer, Path(name))
        windows = slide(store, max_length=MAX_LENGTH, doc_stride=STRIDE)
        ours = predict_logits(model, windows, store, batch_size=BATCH, precision=Precision.fp32)
        if len(theirs) != 3 * len(windows):
            raise ValueError(f"{len(windows)} windows, {len(theirs) // 3} the other way")
        at, worst = 0, 0.0
        for number, window in enumerate(windows.itertuples()):
            ids, _, context = finished_input(store, window)
            if not np.array_equal(ids, theirs[f"ids{number}"]):
                raise ValueError(f"window {number} differs")
            width = window.context_to - window.context_from
            for side, flat in zip(("start", "end"), ours[:2], strict=True):
                logits = theirs[f"{side}{number}"][context : context + width]
                rounding = np.spacing(np.abs(logits).astype(np.float16)).astype(float) / 2
                away = np.abs(flat[at : at + width].astype(float) - logits) - rounding
                worst = max(worst, float(away.max()))
            at += width
    if worst > 1e-4:
        raise ValueError(f"a logit differs by {worst:.1e}")
    return worst


def run_ways(
    model: Any, tokenizer: Any, examples: Dataset, other: Worker, *, pairs: int
) -> tuple[str, list[list[float]]]:
    """Return a description of what is equal, and the seconds of each way, run in turns."""
    worst = check_equal(model, tokenizer, examples, other)
    ours = answer_ours(model, tokenizer, examples)
    same = share_equal(ours, other.ask(batch_size=0)["answers"])
    ways = [
        partial(answer_ours, model, tokenizer, examples, precision)
        for precision in (Precision.fp32, Precision.bf16)
    ]
    ways += [partial(other.ask, batch_size=size) for size in (0, BATCH)]
    agreed = (
        f"same windows, logits within {max(worst, 0):.0e} beyond float16's rounding, "
        f"{same:.1%} of the answers the same"
    )
    return agreed, alternate(*ways, pairs=pairs)


def measure(examples: Dataset, folder: Path, *, pairs: int) -> list[Line]:
    """Lines of all ways."""
    save_minilm(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    other = start_pipeline(folder, examples)
    try:
        agreed, seconds = run_ways(model, tokenizer, examples, other, pairs=pairs)
    finally:
        other.close()
    fp32, bf16, single, batched = seconds
    windows = cut_windows(examples, tokenizer)
    peak = measure_peak()
    work = count_flops(model.config, windows["length"]) / 1e9
    reached = work / np.median(fp32)
    threads = torch.get_num_threads()
    note = f"{len(examples)} questions, {len(windows)} windows, {threads} threads; {agreed}"
    limit = (
        f"{reached:.0f} of the {peak:.0f} GFLOP/s of a large product, {reached / peak:.0%}; "
        f"all arithmetic at that peak would be "
        f"{np.median(single) * peak / work:.1f}x"
    )
    return [
        compare("pipeline, one question per call", fp32, single, at_least=2, note=limit),
        compare(f"pipeline, batches of {BATCH}", fp32, batched, at_least=1.15, note=note),
        compare("bf16 against our own fp32", bf16, fp32),
    ]


def share_equal(ours: list[list[int]], theirs: list[list[int]]) -> float:
    """Return the share of equal answers."""
    return float(np.mean([a == b for a, b in zip(ours, theirs, strict=True)]))


def cut_windows(examples: Dataset, tokenizer: Any) -> pd.DataFrame:
    """Cut every window of every example."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(examples, tokenizer, Path(folder))
        return slide(store, max_length=MAX_LENGTH, doc_stride=STRIDE)


def main() -> None:
    """Measure all lines."""
    quick = parse_arguments(__doc__).quick
    examples = make_examples(2 if quick else 8, words=60 if quick else 1500, spread=0.3)
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(examples, Path(folder), pairs=1 if quick else 5)
    report(7, "Infer", lines, name="infer", quick=quick)


if __name__ == "__main__":
    main()
