"""Row 5 on a GPU: windows per second in training at XLM-R large's size in bf16.

Paragraphs of SQuAD's lengths and long documents, all generated: no network and no data are needed.

    python benchmarks/train_gpu.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from datasets import Dataset
from large import build_large, need_gpu
from made import make_examples, make_tokenizer
from matmul import count_flops, measure_peak
from measure import Line, compare, parse_arguments, report
from train_ways import (
    Work,
    alternate_reported,
    check_loss,
    prepare_work,
    share_padded,
    train_ours,
    train_standard,
)

from chaii.config.schema import Precision, TrainerConfig

SIZE = {"max_length": 384, "doc_stride": 128}


def measure(name: str, work: Work, *, pairs: int, marks: dict[str, float]) -> list[Line]:
    """Measure one corpus, with the share of the peak that real tokens reach."""
    model = build_large(tiny=work.batch_size < 8)
    difference = check_loss(work, model)
    train_ours(work, model)  # kernels are chosen and loaded in the first run
    ours, padded, dynamic = alternate_reported(
        partial(train_ours, work, model),
        partial(train_standard, work, model, padded=True),
        partial(train_standard, work, model, padded=False),
        pairs=pairs,
    )
    note = (
        f"{len(work.plan)} windows in batches of {work.batch_size}; same windows and labels, loss "
        f"within {difference:.0e}; padding {share_padded(work):.1%}"
    )
    return [
        compare(f"{name}, padding to 384", ours, padded, at_least=marks.get("padded"), note=note),
        compare(f"{name}, dynamic padding", ours, dynamic, at_least=marks.get("dynamic")),
        _compare_to_peak(name, work, model, ours),
    ]


def _compare_to_peak(name: str, work: Work, model: Any, seconds: list[float]) -> Line:
    """Return the share of the peak that the arithmetic of real tokens reaches."""
    device = model.device.type
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    peak = measure_peak(device=device, dtype=dtype) / 1e3
    middle = sorted(seconds)[len(seconds) // 2]
    reached = count_flops(model.config, work.plan["length"], train=True) / middle / 1e12
    return Line(
        f"share of the matrix-product peak: {name}",
        f"{reached:.3g} TFLOP/s, {len(work.plan) / middle:.0f} windows/s",
        f"{peak:.3g} TFLOP/s",
        100 * reached / peak,
        unit="%",
        at_least=50,
    )


def make_work(examples: Dataset, *, batches: int, quick: bool) -> Work:
    """Prepare windows in batches for an 80 GB card."""
    trainer = TrainerConfig(
        per_device_train_batch_size=4 if quick else 32,
        precision=Precision.fp32 if quick else Precision.bf16,
        num_workers=0 if quick else 4,
    )
    return prepare_work(examples, make_tokenizer(), batches=batches, trainer=trainer, **SIZE)


def main() -> None:
    """Measure all lines."""
    quick = parse_arguments(__doc__).quick
    need_gpu(quick=quick)
    pairs = 1 if quick else 5
    paragraphs = make_examples(40 if quick else 4000, words=60, spread=0.4)
    work = make_work(paragraphs, batches=1 if quick else 60, quick=quick)
    lines = measure("paragraphs", work, pairs=pairs, marks={"padded": 2, "dynamic": 1.25})
    documents = make_examples(2 if quick else 300, words=900)
    work = make_work(documents, batches=1 if quick else 40, quick=quick)
    lines += measure("documents", work, pairs=pairs, marks={})
    report(5, "Train on a GPU", lines, name="train_gpu", quick=quick)


if __name__ == "__main__":
    main()
