"""Row 3: windows of 384 tokens per second from 2 loader processes, cutout included.

The standard is a mapped data set of Python lists with the padding collator of transformers, without
cutout.

    python benchmarks/feeding.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
from datasets import Dataset
from made import make_examples, make_tokenizer
from measure import Line, format_range, parse_arguments, report
from standard_windows import map_windows, reopen
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from chaii.config.schema import CutoutConfig
from chaii.model.collate import PlanDataset, collate
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide

LENGTHS = {"max_length": 384, "doc_stride": 128}
WORKERS = 2
MARK = 20_000  # ten times the windows per second that an H200 trains XLM-R large on
COLUMNS = ("input_ids", "attention_mask", "start_positions", "end_positions")


def make_ours(
    examples: Dataset, tokenizer: Any, folder: Path, *, rate: float = 0.1, repeat: int = 1
) -> tuple[PlanDataset, Any]:
    """Return the package's data set, its windows repeated `repeat` times, and its collator."""
    store = open_store(examples, tokenizer, folder)
    windows = pd.concat([slide(store, **LENGTHS)] * repeat, ignore_index=True)
    plan = windows.assign(corpus=pd.Categorical(["made"] * len(windows)))
    dataset = PlanDataset(plan, {"made": store}, cutout_config=CutoutConfig(rate), seed=1)
    return dataset, partial(collate, template=store.template)


def make_standard(examples: Dataset, tokenizer: Any) -> tuple[Dataset, Any]:
    """Return the same windows as a data set of lists, and the collator of transformers."""
    return map_windows(examples, tokenizer, **LENGTHS), DataCollatorWithPadding(tokenizer)


def check_equal(examples: Dataset, tokenizer: Any, folder: Path) -> int:
    """Return the number of batches of 8, which are equal both ways without cutout.

    Raises:
        ValueError: A batch differs.
    """
    sources = (make_ours(examples, tokenizer, folder, rate=0), make_standard(examples, tokenizer))
    loaders = [DataLoader(data, batch_size=8, collate_fn=merge) for data, merge in sources]
    for number, (ours, theirs) in enumerate(zip(*loaders, strict=True)):
        for name in COLUMNS:
            if ours[name].flatten().tolist() != theirs[name].flatten().tolist():
                raise ValueError(f"batch {number}: {name} differ")
    return len(loaders[0])


def measure_rate(dataset: Any, merge: Any, *, batch_size: int) -> float:
    """Return windows per second, measured after the workers have started."""
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=merge, num_workers=WORKERS)
    windows, began = 0, 0.0
    for number, batch in enumerate(loader):
        if number == WORKERS:
            began = time.perf_counter()
        windows += len(batch["input_ids"]) * (number > WORKERS)
    return windows / (time.perf_counter() - began)


def measure(ours: Any, standard: Any, *, batch_size: int, turns: int) -> Line:
    """Compare both ways at one batch size."""
    rates: list[list[float]] = [[], []]
    for _ in range(turns):
        for source, found in zip((ours, standard), rates, strict=True):
            found.append(measure_rate(*source, batch_size=batch_size))
    middle = statistics.median(rates[0])
    ratio = statistics.median(a / b for a, b in zip(*rates, strict=True))
    return Line(
        f"{WORKERS} workers, batch {batch_size}, windows of up to 384 tokens",
        format_range(rates[0], "windows/s"),
        format_range(rates[1], "windows/s"),
        middle,
        unit="windows/s",
        at_least=MARK,
        note=f"cutout in ours alone; {ratio:.1f}x the standard; workers and consumer share 2 cores",
        samples={"ours": rates[0], "standard": rates[1]},
    )


def main() -> None:
    quick = parse_arguments(__doc__).quick
    datasets.disable_caching()
    datasets.disable_progress_bars()
    tokenizer = make_tokenizer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = make_examples(4 if quick else 60, words=900 if quick else 4200)
        examples = reopen(examples, folder / "examples")
        check_equal(examples.select(range(4)), tokenizer, folder / "tokens")
        ours = make_ours(examples, tokenizer, folder / "tokens", repeat=1 if quick else 20)
        standard = make_standard(examples, tokenizer)
        turns = 1 if quick else 5
        lines = [measure(ours, standard, batch_size=size, turns=turns) for size in (8, 32)]
    report(3, "Feeding", lines, name="feeding", quick=quick)


if __name__ == "__main__":
    main()
