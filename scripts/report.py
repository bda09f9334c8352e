"""Write a page on the errors of a run or ensemble: ``python scripts/report.py demo_muril``."""

import argparse
from pathlib import Path

from chaii.config.checks import count
from chaii.config.errors import one_line_errors


def main() -> None:
    """Read the out-of-fold table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("run", nargs="?", help="a run with finished folds")
    subject.add_argument("--ensemble", help="an ensemble that scripts/ensemble.py has run")
    parser.add_argument(
        "--against", metavar="RUN", help="also show the rows that this run answers otherwise"
    )
    parser.add_argument("--rows", type=count, default=40, help="the most rows in either list")
    parser.add_argument("--output", type=Path, help="default: data/reports/<name>.html")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument("--submissions", type=Path, default=Path("submissions"))
    arguments = parser.parse_args()

    with one_line_errors():
        from chaii.evaluation.error_report import add_baseline, render_report
        from chaii.evaluation.oof_table import read_oof_table
        from chaii.files import write_whole
        from chaii.run_folder import find_runs

        def find_tables(name: str) -> list[Path]:
            return [run.oof for run in find_runs(arguments.runs, name) if run.oof.is_file()]

        name, against = arguments.run or arguments.ensemble, arguments.against
        of_ensemble = arguments.submissions / f"{name}_oof.parquet"
        rows = read_oof_table([of_ensemble] if arguments.ensemble else find_tables(name))
        if against:
            rows = add_baseline(rows, read_oof_table(find_tables(against)), name=against)
        page = render_report(rows, name=name, baseline=against, shown=arguments.rows)
        path = arguments.output or Path("data/reports", f"{name}.html")
        with write_whole(path) as building:
            building.write_text(page, encoding="utf-8")
    print(f"{path}: {len(rows)} rows, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
