"""Row 8: the winner's 13 members inside a time budget, estimated from a sample of windows.

The members belong to three small families with random weights, in finished run folders. The test
rows are generated and as long as those of chaii. First all members answer without a limit, and
their time is compared with the estimate. Then the ensemble gets half of that time: it must write a
valid submission within it.

    python benchmarks/ensemble_budget.py
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from made import make_examples, make_tokenizer
from measure import Line, format_range, parse_arguments, report
from omegaconf import OmegaConf
from transformers import AutoConfig, AutoModelForQuestionAnswering, set_seed

from chaii.config.checks import check_ensemble
from chaii.config.compose import compose_config
from chaii.config.ensemble import EnsembleConfig
from chaii.corpus.readers import read_corpus
from chaii.ensemble.members import Inference, gather_members
from chaii.ensemble.pipeline import make_submission
from chaii.ensemble.submission import estimate_jobs

FOLDS = {"bert": 3, "rembert": 5, "xlm-roberta": 5}  # MuRIL's family, RemBERT's, XLM-R's
CONF = Path(__file__).parents[1] / "conf"
SIZE = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3}
SIZE |= {"num_attention_heads": 4, "max_position_embeddings": 514}


def make_runs(folder: Path) -> None:
    """Write finished folds with random weights, as `fold=all` leaves them."""
    tokenizer = make_tokenizer()
    recipe = {"predict_max_length": 384, "predict_doc_stride": 128}
    for architecture, folds in FOLDS.items():
        extra = {"input_embedding_size": 128, "output_embedding_size": 128}
        size = SIZE | (extra if architecture == "rembert" else {})
        config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), **size)
        for fold in range(folds):
            run = folder / "runs" / architecture / f"fold{fold}"
            set_seed(fold)
            AutoModelForQuestionAnswering.from_config(config).save_pretrained(run / "model")
            tokenizer.save_pretrained(run / "model")
            settings: dict[str, Any] = {"backbone": {"name": architecture}, "recipe": recipe}
            settings |= {"trainer": {"max_answer_tokens": 30, "precision": "fp32"}}
            OmegaConf.save(OmegaConf.create(settings), run / "config.yaml")
            (run / "metrics.json").write_text(json.dumps({"windows": 0, "fold": fold}))


def make_test(path: Path, rows: int) -> None:
    """Write a test file in the format of the competition."""
    examples = make_examples(rows, words=1500)
    columns = {name: examples[name][:] for name in ("id", "context", "question", "language")}
    pd.DataFrame(columns).to_csv(path, index=False, quoting=csv.QUOTE_ALL)


def configure(folder: Path, *overrides: str) -> EnsembleConfig:
    """Configure the ensemble of all members in one folder."""
    paths = [f"paths.output={folder}", f"paths.submissions={folder}/submissions"]
    members = [f"ensemble.members=[{','.join(FOLDS)}]", f"ensemble.test.path={folder}/test.csv"]
    return check_ensemble(compose_config(CONF, "ensemble", [*paths, *members, *overrides]))


def estimate(config: EnsembleConfig) -> float:
    """Estimate the seconds of all members from a sample of each run."""
    test, _ = read_corpus("test", config.ensemble.test)
    jobs = [Inference(member, test, config, shared={}) for member in gather_members(config).members]
    return sum(estimate_jobs(jobs).values())


def answer(config: EnsembleConfig, rows: int) -> float:
    """Return the seconds that the ensemble takes.

    Raises:
        ValueError: Its submission does not answer every row.
    """
    began = time.perf_counter()
    path = make_submission(config)
    seconds = time.perf_counter() - began
    if len(pd.read_csv(path, keep_default_na=False)) != rows:
        raise ValueError(f"{path}: must have {rows} rows")
    return seconds


def main() -> None:
    quick = parse_arguments(__doc__).quick
    rows = 4 if quick else 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder)
        make_test(folder / "test.csv", rows)
        open_end = configure(folder, f"paths.predictions={folder}/open")
        estimated = estimate(open_end)
        taken = answer(open_end, rows)
        limit = taken / 2
        tight = configure(folder, f"paths.predictions={folder}/tight", f"time_budget={limit / 60}")
        in_time = answer(tight, rows)
        used = len(list((folder / "tight").glob("*/*")))
    everyone = sum(FOLDS.values())
    lines = [
        Line(
            f"{everyone} members, {rows} rows: estimated against taken",
            format_range([estimated]),
            format_range([taken]),
            estimated / taken,
            at_least=0.75,
            at_most=1.33,
            note="the estimate covers loading, windows and logits of each member; the time taken "
            "includes decoding",
        ),
        Line(
            "a budget of half of that",
            format_range([in_time]),
            format_range([limit]),
            in_time / limit,
            at_most=1.0,
            note=f"a valid submission by {used} of {everyone} members",
        ),
    ]
    report(8, "Ensemble budget", lines, name="ensemble_budget", quick=quick)


if __name__ == "__main__":
    main()
