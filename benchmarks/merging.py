"""Row 6: how the logits of overlapping windows are best merged, on the held-out rows of runs.

Finished runs are decoded anew from their stored logits, by each value of `method.decode.merge`. The
effect of each on Jaccard, in points, is against the largest logit of each token (`max`), with an
interval over runs and articles as in a study.

    python benchmarks/merging.py --model "recipe_*"
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
from measure import Line, parse_arguments, report
from transformers import AutoTokenizer

from chaii.config.ensemble import Merge
from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.decode import decode_answers
from chaii.evaluation.metrics import score_rows
from chaii.evaluation.study import compare_arms
from chaii.recipe.token_store import tokenise_pairs
from chaii.run_folder import Prediction, RunFolder, find_runs, list_runs


def score_merges(run: RunFolder) -> pd.DataFrame:
    """Score the held-out rows of a run by each way of merging, the way as `arm`."""
    prediction = Prediction.load(run.logits)
    examples = prediction.examples
    texts = examples["question"][:], examples["context"][:]
    store = tokenise_pairs(*texts, AutoTokenizer.from_pretrained(run.model))
    most = run.read_config().trainer.max_answer_tokens
    rows = pd.DataFrame({"id": examples["id"][:], "article": examples["article"][:]})
    golds, languages = examples["answer_text"][:], examples["language"][:]
    parts = []
    for merge in Merge:
        logits = read_context_logits(prediction, store, max_answer_tokens=most, merge=merge)
        scores = score_rows(decode_answers(logits)["prediction"].to_list(), golds, languages)
        parts.append(pd.concat([rows, scores], axis="columns").assign(arm=merge.value))
    return pd.concat(parts).assign(seed=run.path.parent.name, fold=run.path.name)


def main() -> None:
    names = {"nargs": "+", "default": ["*"], "help": "names of finished runs, with *"}
    where = {"type": Path, "default": Path("data/runs"), "help": "folder of the runs"}
    arguments = parse_arguments(__doc__, model=names, runs=where)
    known = list_runs(arguments.runs)
    chosen = [name for name in known if any(fnmatch(name, given) for given in arguments.model)]
    runs = [run for name in chosen for run in find_runs(arguments.runs, name)]
    if not runs:
        raise SystemExit(f"{arguments.runs}: no finished run {' or '.join(arguments.model)}")
    rows = pd.concat(map(score_merges, runs[:2] if arguments.quick else runs), ignore_index=True)
    base, *others = compare_arms(rows, reference=Merge.max.value).to_dict("records")
    lines = []
    for found in others:
        low, high = 100 * found["jaccard_low"], 100 * found["jaccard_high"]
        line = Line(
            f"merge={found['arm']} against max, Jaccard",
            f"{100 * found['jaccard']:.1f}",
            f"{100 * base['jaccard']:.1f}",
            100 * found["jaccard_effect"],
            unit="points",
            note=f"{base['runs']} runs; 95 % from {low:+.1f} to {high:+.1f}, p = {found['p']:.3f}",
        )
        lines.append(line)
    report(6, "Merging of windows", lines, name="merging", quick=arguments.quick)


if __name__ == "__main__":
    main()
