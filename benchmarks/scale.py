"""Row 2: disk and memory of the prepared recipe, and its time up to a million windows.

The recipe cuts every context into windows of three lengths and keeps them all. It is compared with
what `datasets.map` writes for the same windows, without padding and without offsets.

    python benchmarks/scale.py
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import numpy as np
from datasets import Dataset
from made import make_tokenizer, write_examples
from measure import Line, in_fresh_process, parse_arguments, read_memory, report
from standard_windows import map_windows

from chaii.config.schema import RecipeConfig, SourceConfig, StageConfig
from chaii.recipe.plan import make_plan
from chaii.recipe.token_store import open_store

LENGTHS = ((256, 128), (384, 192), (448, 192))  # max_length, doc_stride
RECIPE = RecipeConfig(
    stages=[
        StageConfig([SourceConfig("made", length, doc_stride)]) for length, doc_stride in LENGTHS
    ]
)
WORDS = 4300  # median tokens of a context
# contexts of 4 questions each: windows, about
SIZES = {28: 10_000, 280: 100_000, 2_800: 1_000_000}


def write_ours(examples: Dataset, folder: Path) -> tuple[int, int]:
    """Return the number of windows, and the bytes of token store and plan."""
    store = open_store(examples, make_tokenizer(), folder)
    rows = {"made": np.arange(len(store))}
    plan = make_plan(RECIPE, {"made": store}, rows=rows, effective_batch_size=32, seed=2021)
    plan.to_parquet(folder / "plan.parquet")
    return len(plan), count_bytes(folder)


def write_standard(examples: Dataset, folder: Path) -> tuple[int, int]:
    """Return the same for `datasets.map`."""
    windows = 0
    for length, doc_stride in LENGTHS:
        cache = str(folder / f"{length}.arrow")
        lengths = {"max_length": length, "doc_stride": doc_stride}
        windows += len(map_windows(examples, make_tokenizer(), cache_file_name=cache, **lengths))
    return windows, count_bytes(folder)


def count_bytes(folder: Path) -> int:
    """Count the bytes of all files under a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def compare_disk(what: str, contexts: int, questions: int) -> Line:
    """Compare the disk space of one corpus.

    Raises:
        ValueError: The two ways made different numbers of windows.
    """
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "ours").mkdir()
        (home / "standard").mkdir()
        examples = write_examples(home / "examples", contexts, words=WORDS, questions=questions)
        windows, ours = write_ours(examples, home / "ours")
        expected, standard = write_standard(examples, home / "standard")
    if windows != expected:
        raise ValueError(f"{windows} windows, {expected} the other way")
    return Line(
        f"disk, {what}",
        f"{ours / 2**20:.1f} MiB",
        f"{standard / 2**20:.1f} MiB",
        standard / ours,
        at_least=20,
        note=f"{windows:,} windows; ours stores 12 bytes per token, once; datasets.map 5 bytes "
        "per token, about 6 times per context, and again for each further question",
    )


def measure_recipe(file: Path, folder: Path) -> dict[str, float]:
    """Measure seconds, windows and MiB from a corpus on disk to the plan on disk."""
    with watch_memory() as peak:
        began, work_began = time.perf_counter(), time.process_time()
        windows, _ = write_ours(Dataset.from_file(str(file)), folder)
        seconds, work = time.perf_counter() - began, time.process_time() - work_began
    return {"seconds": seconds, "work": work, "windows": windows, "anonymous": max(peak)}


@contextmanager
def watch_memory() -> Iterator[list[float]]:
    """Collect the MiB of memory that is not of mapped files, whose pages the system may drop."""
    seen, done = [read_memory("RssAnon")], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            seen.append(read_memory("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def measure_scale() -> list[Line]:
    """Measure each size, from a cold and from a warm store."""
    lines, first = [], None
    for contexts, size in SIZES.items():
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            examples = write_examples(home, contexts, words=WORDS, questions=4)
            file = Path(examples.cache_files[0]["filename"])
            tokens = home / "tokens"
            tokens.mkdir()
            cold, cold_peak = in_fresh_process(measure_recipe, file, tokens)
            warm, warm_peak = in_fresh_process(measure_recipe, file, tokens)
        rate = 1e6 * cold["work"] / cold["windows"]
        first = first or rate
        texts = f"{cold['seconds']:.1f} s cold, {warm['seconds']:.1f} s warm"
        note = f"{cold['windows']:,} windows; {rate:.0f} µs of CPU time per window, cold"
        fields = {"at_most": 1.2, "note": note}
        lines.append(Line(f"time to {size:,} windows", texts, "", rate / first, **fields))
        note = f"with the pages of mapped files: {cold_peak:.0f} cold, {warm_peak:.0f} warm"
        texts = f"{cold['anonymous']:.0f} MiB cold, {warm['anonymous']:.0f} MiB warm"
        peak = max(cold["anonymous"], warm["anonymous"])
        fields = {"unit": "MiB", "at_most": 1536, "note": note}
        lines.append(Line(f"peak memory of {size:,} windows", texts, "", peak, **fields))
    return lines


def main() -> None:
    quick = parse_arguments(__doc__).quick
    datasets.disable_caching()
    datasets.disable_progress_bars()
    lines = [
        compare_disk("one question per context", 3 if quick else 60, 1),
        compare_disk("25 questions per context", 1 if quick else 6, 25),
    ]
    if not quick:
        lines += measure_scale()
    report(2, "Disk and memory", lines, name="scale", quick=quick)


if __name__ == "__main__":
    main()
