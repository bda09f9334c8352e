"""Show the changes of ``labels: evidence``: ``python scripts/inspect_labels.py chaii``."""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

from chaii.config.checks import count
from chaii.config.compose import read_overrides
from chaii.config.corpora import Labels
from chaii.config.errors import one_line_errors
from chaii.corpus.catalogue import load_catalogue
from chaii.corpus.label_repair import report_labels
from chaii.corpus.readers import read_corpus

CONF = Path(__file__).parents[1] / "conf"


def count_changes(report: pd.DataFrame) -> pd.DataFrame:
    """Rows, rows with several occurrences and rows to be moved, by language and in all."""
    flags = pd.DataFrame(
        {
            "rows": 1,
            "several": report["occurrences"] > 1,
            "moved": report["given_start"] != report["chosen_start"],
        }
    )
    counts = pd.concat([flags.groupby(report["language"]).sum(), flags.sum().to_frame("all").T])
    return counts.rename_axis("language").reset_index()


def main() -> None:
    """Print counts and the first rows that would be moved; write every row as CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="a file of conf/corpora")
    parser.add_argument("--output", type=Path, help="default: <paths.output>/labels/<corpus>.csv")
    parser.add_argument("--rows", type=count, default=10, help="how many rows to print")
    arguments, overrides = read_overrides(parser, help="settings: paths=kaggle")
    with one_line_errors():
        paths, corpora = load_catalogue(CONF, [arguments.corpus], overrides=overrides)
        ((name, corpus),) = corpora.items()  # its own name: hub/squad is squad
        given = replace(corpus, labels=Labels.first, labels_file=None)
        examples, _ = read_corpus(name, given, cache=Path(paths.tokens) / "corpora")
        report = report_labels(examples)
        print(count_changes(report).to_markdown(index=False, tablefmt="github"))
        moved = report[report["given_start"] != report["chosen_start"]]
        for row in moved.head(arguments.rows).itertuples():
            print(f"\n{row.id} ({row.language}), {row.occurrences} occurrences")
            print(f"  given  {row.given_score:6.1f}  {row.given_snippet}")
            print(f"  chosen {row.chosen_score:6.1f}  {row.chosen_snippet}")
        path = arguments.output or Path(paths.output, "labels", f"{name}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        report.to_csv(path, index=False)
        print(f"\n{path}: {len(report)} rows")


if __name__ == "__main__":
    main()
