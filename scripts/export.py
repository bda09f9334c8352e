"""Export models as ONNX, in float32 and 8-bit integers: ``python scripts/export.py RUN``."""

import argparse
from itertools import islice
from pathlib import Path

from chaii.config.errors import one_line_errors

CONF = Path(__file__).parents[1] / "conf"
_CHECKED = 200  # windows by which an export is compared with torch


def main() -> None:
    """Write the exports of every fold beside its model, each after its logits are checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run, a fold or the folder of a checkpoint")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    parser.add_argument(
        "--rows",
        type=Path,
        help="csv, jsonl or parquet with columns question and context, to check the exports on; "
        "default: the held-out rows of each fold",
    )
    arguments = parser.parse_args()

    with one_line_errors():
        from transformers import AutoTokenizer
        from transformers.utils import logging

        from chaii.ensemble.answer_file import check_texts, read_rows
        from chaii.ensemble.answerer import find_checkpoints
        from chaii.model.onnx import export_model
        from chaii.recipe.token_store import tokenise_pairs
        from chaii.recipe.windows import slide

        logging.disable_progress_bar()
        for checkpoint in find_checkpoints(arguments.run, runs=arguments.runs, conf=CONF):
            folder = checkpoint.exports
            given = read_rows(arguments.rows) if arguments.rows else checkpoint.read_held_out()
            rows = list(islice(given, _CHECKED))
            for number, row in enumerate(rows, start=1):
                check_texts(row, f"{arguments.rows}, row {number}", names=("question", "context"))
            texts = ([row[name] for row in rows] for name in ("question", "context"))
            tokenizer = checkpoint.load(AutoTokenizer)
            store = tokenise_pairs(*texts, tokenizer)
            windows = slide(store, **checkpoint.choose_windows(tokenizer)).head(_CHECKED)
            difference, same = export_model(
                checkpoint.load_model(), folder, windows=windows, store=store
            )
            print(
                f"{folder}: on {len(windows)} windows the logits are within "
                f"{difference:.0e} of torch's; in 8-bit integers {same:.0%} keep their best tokens"
            )


if __name__ == "__main__":
    main()
