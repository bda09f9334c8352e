"""Choose by a trained run where each answer is; writes a corpus' labels_file.

The run should answer well: a weak one chooses worse than the first match.
``python scripts/relabel.py --run data/runs/<name> --corpus chaii --output data/labels/chaii.csv``
"""

import argparse
from pathlib import Path

from transformers import AutoTokenizer

from chaii.config.errors import one_line_errors
from chaii.corpus.records import LABELS
from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.relabel import choose_by_logits
from chaii.model.backbone import load_local
from chaii.recipe.token_store import open_store
from chaii.run_folder import Prediction, RunFolder, find_runs


def choose_labels(run: RunFolder, corpus: str, tokens: Path) -> dict[str, tuple[int, int]]:
    """Map each row of the corpus that the fold held out to its old and new answer start."""
    if not run.logits.is_dir():
        raise FileNotFoundError(f"{run.logits}: the fold held out no row")
    held = Prediction.load(run.logits)
    store = open_store(held.examples, load_local(AutoTokenizer, run.model), tokens)
    most = run.read_config().trainer.max_answer_tokens
    logits = read_context_logits(held, store, max_answer_tokens=most)
    columns = (held.examples[name] for name in ("corpus", "id", "answer_start"))
    rows = zip(*columns, choose_by_logits(held.examples, store, logits), strict=True)
    return {
        identity: (starts[0], chosen)
        for owner, identity, starts, chosen in rows
        if owner == corpus and chosen is not None
    }


def main() -> None:
    """Choose by the logits of every fold, write the file, and print how many answers moved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run with its folds")
    parser.add_argument("--corpus", default="chaii", help="the corpus whose answers are chosen")
    parser.add_argument("--output", type=Path, required=True, help="CSV: id, answer_start")
    parser.add_argument("--tokens", type=Path, default=Path("data/tokens"))
    arguments = parser.parse_args()
    with one_line_errors():
        labels: dict[str, tuple[int, int]] = {}
        for run in find_runs(arguments.run.parent, arguments.run.name):
            labels |= choose_labels(run, arguments.corpus, arguments.tokens)
        if not labels:
            raise ValueError(f"{arguments.run}: no row of corpus {arguments.corpus} was held out")
        LABELS.write(arguments.output, ((row, chosen) for row, (_, chosen) in labels.items()))
        moved = sum(given != chosen for given, chosen in labels.values())
        print(f"{arguments.output}: {len(labels)} rows, {moved} moved")


if __name__ == "__main__":
    main()
