"""Show what differs between two runs: ``python scripts/compare.py demo_muril demo_xlmr``.

Prints the settings, the environment and the data in which they differ, their scores on the rows
that both held out, with the interval of the difference, and the rows whose answers changed, the
worst first. ``--csv`` writes all of these rows.
"""

import argparse
from pathlib import Path
from textwrap import shorten

from chaii.config.checks import count
from chaii.config.errors import one_line_errors


def main() -> None:
    """Read both runs, print the tables, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", metavar="RUN", help="a run with finished folds")
    parser.add_argument("new", metavar="RUN", help="another one")
    parser.add_argument("--rows", type=count, default=20, help="the most changed rows printed")
    parser.add_argument("--csv", type=Path, help="write all changed rows into this file")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    arguments = parser.parse_args()

    with one_line_errors():
        from chaii.evaluation import comparison
        from chaii.evaluation.metrics import format_table
        from chaii.files import write_whole
        from chaii.run_folder import find_runs

        old, new = (find_runs(arguments.runs, name) for name in (arguments.old, arguments.new))
        pairs = comparison.pair_rows(old, new)
        changed = comparison.list_changed(pairs)
        print(f"old: {arguments.old}, new: {arguments.new}")
        for part, table in comparison.compare_records(old, new).items():
            same = f"{part}: no difference"
            print(f"\n{format_table(table.astype(str)) if len(table) else same}")
        print(f"\n{len(pairs)} rows held out by both, {len(changed)} of them answered otherwise\n")
        print(format_table(comparison.compare_scores(pairs)))
        shown = changed.head(arguments.rows)
        short = shown.map(lambda cell: shorten(cell, 40) if isinstance(cell, str) else cell)
        print(f"\n{format_table(short)}")
        if arguments.csv:
            with write_whole(arguments.csv) as building:
                changed.to_csv(building, index=False)


if __name__ == "__main__":
    main()
