"""Results of runs as a table: ``python scripts/leaderboard.py``.

Prints the published results, which studies/leaderboard.csv keeps, and those of the finished runs
and ensembles on this machine: scores with the 95 % interval of the Jaccard, minutes of training, MB
of weights and ms per held-out question, over all folds. ``--sort MB --filter "jaccard > 0.5"``
chooses among these. ``--publish demo_muril --readme README.md`` adds a run to that file and writes
the table of README.md from it; no other row changes.
"""

import argparse
from pathlib import Path

from chaii.config.errors import one_line_errors
from chaii.evaluation import leaderboard
from chaii.evaluation.metrics import format_table

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Publish the named runs; print the tables, or write the one of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", nargs="+", default=[], metavar="RUN", help="finished runs")
    parser.add_argument("--replace", action="store_true", help="also runs that are published")
    parser.add_argument("--readme", type=Path, help="write the published table into this page")
    parser.add_argument("--sort", default="jaccard", choices=leaderboard.RESULT_COLUMNS)
    parser.add_argument("--filter", metavar="CONDITION", help="such as 'jaccard > 0.5 and MB < 9'")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument("--submissions", type=Path, default=Path("submissions"))
    parser.add_argument("--results", type=Path, default=ROOT / "studies/leaderboard.csv")
    arguments = parser.parse_args()
    with one_line_errors():
        if arguments.publish:
            lines = [leaderboard.describe_run(arguments.runs, run) for run in arguments.publish]
            leaderboard.add_results(arguments.results, lines, replace=arguments.replace)
        published = leaderboard.read_results(arguments.results)
        if arguments.readme:
            leaderboard.write_table(arguments.readme, leaderboard.render_table(published))
            return
        print(f"published\n\n{leaderboard.render_table(published)}")
        found, faults = leaderboard.tabulate_results(arguments.runs, arguments.submissions)
        chosen = leaderboard.select_results(found, sort=arguments.sort, condition=arguments.filter)
        print(f"\n{arguments.runs}, {arguments.submissions}\n\n{format_table(chosen)}")
        print(*(f"left out: {fault}" for fault in faults), sep="\n")


if __name__ == "__main__":
    main()
