"""Results of runs as a table: ``python scripts/leaderboard.py``.

Prints the published results, which studies/leaderboard.csv keeps, and those of the finished runs
on this machine. ``--publish demo_muril --readme README.md`` adds a run to that file and writes the
table of README.md from it; no other row changes.
"""

import argparse
from pathlib import Path

import pandas as pd

from chaii.config.errors import one_line_errors
from chaii.evaluation import leaderboard
from chaii.files import write_whole

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Publish the named runs; print the tables, or write the one of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", nargs="+", default=[], metavar="RUN", help="finished runs")
    parser.add_argument("--replace", action="store_true", help="also runs that are published")
    parser.add_argument("--readme", type=Path, help="write the published table into this page")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument("--results", type=Path, default=ROOT / "studies/leaderboard.csv")
    arguments = parser.parse_args()
    with one_line_errors():
        if arguments.publish:
            lines = [leaderboard.describe_run(arguments.runs, run) for run in arguments.publish]
            leaderboard.add_results(arguments.results, lines, replace=arguments.replace)
        published = leaderboard.read_results(arguments.results)
        if arguments.readme:
            table = leaderboard.render_table(published)
            page = leaderboard.insert_table(arguments.readme, table)
            with write_whole(arguments.readme) as building:
                building.write_text(page, encoding="utf-8")
        else:
            print(f"published\n\n{leaderboard.render_table(published)}")
            print_runs(arguments.runs)


def print_runs(root: Path) -> None:
    """Print the table of all runs of a folder; a run that cannot be read is named."""
    lines = []
    for name in sorted({path.parents[1].name for path in root.glob("*/fold*/metrics.json")}):
        try:
            lines.append(leaderboard.describe_run(root, name))
        except (ValueError, FileNotFoundError) as error:
            print(f"left out: {error}")
    if lines:
        print(f"\n{root}\n\n{leaderboard.render_table(pd.DataFrame(lines))}")


if __name__ == "__main__":
    main()
