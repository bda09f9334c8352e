"""Row 8: the peak memory of an ensemble does not grow with the test file.

Six members of three small families with random weights answer 300 and 3,000 generated rows. The
first time nothing is cached; the second time all logits are.

    python benchmarks/ensemble_memory.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import ensemble_budget
from measure import Line, in_fresh_process, parse_arguments, report

from chaii.ensemble.pipeline import make_submission

FOLDS = {"bert": 2, "rembert": 2, "xlm-roberta": 2}
SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
SIZE |= {"num_attention_heads": 1, "max_position_embeddings": 514}


def answer(folder: Path) -> None:
    """Answer the test rows of a folder by all of its runs."""
    ensemble_budget.FOLDS = FOLDS
    make_submission(ensemble_budget.configure(folder, "method=vote"))


def measure_peaks(rows: int) -> tuple[float, float]:
    """Return the MiB of both times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ensemble_budget.FOLDS, ensemble_budget.SIZE = FOLDS, SIZE
        ensemble_budget.make_runs(folder)
        ensemble_budget.make_test(folder / "test.csv", rows)
        cold, warm = (in_fresh_process(answer, folder)[1] for _ in range(2))
    return cold, warm


def main() -> None:
    quick = parse_arguments(__doc__).quick
    sizes = (20, 60) if quick else (300, 3_000)
    few, many = map(measure_peaks, sizes)
    lines = [
        Line(
            f"peak memory of {sizes[1]:,} rows, {what}",
            f"{more:.0f} MiB",
            f"{less:.0f} MiB for {sizes[0]} rows",
            more / less,
            at_most=1.1,
        )
        for what, less, more in zip(("nothing cached", "logits cached"), few, many, strict=True)
    ]
    report(8, "Ensemble memory", lines, name="ensemble_memory", quick=quick)


if __name__ == "__main__":
    main()
