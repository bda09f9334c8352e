"""Row 9: memory and open files over an hour of training and an hour of predicting.

One process trains a fold of the demo over and over, writing checkpoints; another answers the demo's
test rows over and over without cached logits. Each reads its memory and its open files every
second. After a warm-up, the last third of the readings is compared with the first.

    python benchmarks/soak.py --minutes 60
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import Line, format_range, parse_arguments, read_memory, report
from transformers.utils import logging

from chaii.config.checks import check_ensemble, check_train
from chaii.config.compose import compose_config
from chaii.ensemble.pipeline import make_submission
from chaii.train import train_fold

CONF = Path(__file__).parents[1] / "conf"
WARM_UP = 0.15  # share of the time
EPOCHS = 3  # of the last stage


def train(folder: Path, *overrides: str) -> None:
    """Train a fold anew."""
    given = [f"paths.output={folder}", "overwrite=true", *overrides]
    train_fold(check_train(compose_config(CONF, "train", given)))


def ensemble(folder: Path) -> None:
    """Answer the test rows anew."""
    shutil.rmtree(folder / "predictions", ignore_errors=True)
    paths = [f"paths.output={folder}", f"paths.submissions={folder}/submissions"]
    members = ["ensemble.members=[demo_muril]", "method=vote"]
    make_submission(check_ensemble(compose_config(CONF, "ensemble", [*paths, *members])))


def watch(work: Callable[[], None], *, minutes: float) -> tuple[list[tuple[float, int]], int]:
    """Repeat `work`; return MiB of memory and open files, every second, and the repetitions."""
    seen: list[tuple[float, int]] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(1):
            seen.append((read_memory("VmRSS"), len(list(Path("/proc/self/fd").iterdir()))))

    watcher = threading.Thread(target=read)
    watcher.start()
    began, times = time.monotonic(), 0
    try:
        while time.monotonic() - began < 60 * minutes:
            work()
            times += 1
    finally:
        done.set()
        watcher.join()
    return seen, times


def compare_thirds(what: str, values: Sequence[float], *, unit: str, times: int) -> Line:
    """Compare the medians of the first and the last third after the warm-up."""
    warm = values[int(WARM_UP * len(values)) :]
    first, last = warm[: len(warm) // 3], warm[-(len(warm) // 3) :]
    note = f"{times} repetitions in {len(values) / 60:.0f} minutes; the figure compares means"
    return Line(
        f"{what}, last third against first",
        format_range(last, unit),
        format_range(first, unit),
        statistics.fmean(last) / statistics.fmean(first),
        at_most=1.03,
        note=note,
    )


def soak(what: str, minutes: float, quick: bool) -> list[Line]:
    """Repeat one kind of work in this process, and compare its memory and its open files."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    few = ["max_examples=40", "trainer.max_steps=8"] if quick else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what == "training":
            long = [f"recipe.stages.2.epochs={EPOCHS}", "trainer.num_evaluations=20"]
            seen, times = watch(lambda: train(folder, *long, *few), minutes=minutes)
        else:
            train(folder, *few)
            seen, times = watch(lambda: ensemble(folder), minutes=minutes)
    memory, files = zip(*seen, strict=True)
    return [
        compare_thirds(f"{what}: memory", memory, unit="MiB", times=times),
        compare_thirds(f"{what}: open files", files, unit="files", times=times),
    ]


def main() -> None:
    arguments = parse_arguments(__doc__, minutes={"type": float, "default": 60})
    works = [(what, arguments.minutes, arguments.quick) for what in ("training", "ensemble")]
    with multiprocessing.get_context("spawn").Pool(len(works)) as pool:
        lines = [line for found in pool.starmap(soak, works) for line in found]
    report(9, "Soak", lines, name="soak", quick=arguments.quick)


if __name__ == "__main__":
    main()
