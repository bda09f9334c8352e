"""One row a run, from the run folders: ``python scripts/leaderboard.py --readme README.md``."""

import argparse
import json
from pathlib import Path

import pandas as pd

from chaii.run_folder import RunFolder, find_runs

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"


def describe_run(name: str, folds: list[RunFolder]) -> dict[str, object]:
    """Mean scores of a run's folds, weighted by their rows, and what it took."""
    metrics = [run.read_metrics() for run in folds]
    rows = [scores["rows"] for scores in metrics]
    environment = json.loads((folds[0].path / "environment.json").read_text())
    hardware, commit = environment["hardware"], environment["commit"] or ""
    scored = {
        metric: f"{sum(s[metric] * n for s, n in zip(metrics, rows, strict=True)) / sum(rows):.3f}"
        for metric in ("jaccard", "exact", "f1")
    }
    return {
        "run": name,
        "folds": len(folds),
        "held-out rows": sum(rows),
        **scored,
        "windows a fold": round(sum(scores["windows"] for scores in metrics) / len(folds)),
        "minutes a fold": f"{sum(scores['seconds'] for scores in metrics) / len(folds) / 60:.1f}",
        "hardware": ", ".join(hardware["gpus"])
        or f"{hardware.get('cpu', 'CPU')}, {environment['threads']} thread(s)",
        "commit": commit[:7],
    }


def main() -> None:
    """Print the table, or put it between the markers of a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument("--readme", type=Path)
    arguments = parser.parse_args()
    names = sorted({path.parents[1].name for path in arguments.runs.glob("*/fold*/metrics.json")})
    found = {name: find_runs(arguments.runs, name) for name in names}
    scored = {
        name: [run for run in folds if "jaccard" in run.read_metrics()]
        for name, folds in found.items()
    }
    lines = [describe_run(name, folds) for name, folds in scored.items() if folds]
    table = pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)
    if arguments.readme is None:
        print(table)
        return
    text = arguments.readme.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    arguments.readme.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
