"""Train one fold of one run, from corpora to scored answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedModel, set_seed

from chaii.config.corpora import Labels
from chaii.config.schema import TrainConfig
from chaii.corpus.training_data import (
    LeakCheck,
    check_leaks,
    distinct_texts,
    read_corpora,
    split_examples,
)
from chaii.evaluation.evaluator import Evaluator, format_scores
from chaii.model.backbone import load_model, load_tokenizer
from chaii.model.collapse_guard import CollapseError
from chaii.model.collate import PlanDataset
from chaii.model.trainer import train_model
from chaii.recipe.pair_template import read_pair_template
from chaii.recipe.plan import make_plan
from chaii.recipe.plan_summary import summarise_plan
from chaii.recipe.token_store import TokenStore, open_store
from chaii.run_folder import RunFolder


@dataclass(frozen=True)
class Prepared:
    """All that a fold is trained on, before the order is drawn."""

    config: TrainConfig
    corpora: dict[str, Dataset]
    rows: dict[str, NDArray[np.int64]]  # of each corpus, to train on
    held_out: Dataset | None
    tokenizer: Any
    stores: dict[str, TokenStore]
    leaks: LeakCheck  # into the held-out rows

    def make_plan(self, seed: int) -> pd.DataFrame:
        """The recipe, made real with this seed."""
        return make_plan(
            self.config.recipe,
            self.stores,
            rows=self.rows,
            batch_size=self.config.trainer.per_device_train_batch_size,
            seed=seed,
        )


def train_fold(config: TrainConfig) -> RunFolder:
    """Train, score and store one fold; a finished one is left as it is.

    Raises:
        ValueError: a corpus cannot be read, or leaves nothing to train on.
        FileNotFoundError: a corpus, or a pre-trained backbone, is not there.
    """
    run = RunFolder(Path(config.paths.runs), config.name, config.fold)
    if run.is_finished and not config.overwrite:
        print(f"{run.path}: finished; overwrite=true trains it again")
        return run
    run.check(config)
    if config.trainer.num_threads is not None:
        torch.set_num_threads(config.trainer.num_threads)
    began = time.perf_counter()

    prepared = prepare_fold(config)
    judge = None
    if prepared.held_out is not None:
        judge = Evaluator(config, prepared.held_out, prepared.tokenizer)
    run.begin(config)
    if judge:
        prepared.leaks.pairs.to_csv(run.leaks, index=False)
    model, metrics = _train_attempts(config, run, prepared, judge)
    model.save_pretrained(run.model)
    prepared.tokenizer.save_pretrained(run.model)

    oof = None
    if judge:
        scores, oof = judge.finish(model, run.logits)
        metrics = scores | metrics
        print(format_scores(scores))
    seconds = round(time.perf_counter() - began, 1)
    run.finish(metrics | {"leaks": prepared.leaks.counts, "seconds": seconds}, oof=oof)
    return run


def prepare_fold(config: TrainConfig) -> Prepared:
    """Read, check and split the corpora, and tokenise what is not yet in a token store.

    Raises:
        ValueError, FileNotFoundError: as `train_fold`.
    """
    corpora = read_corpora(config)
    rows, held_out = split_examples(config, corpora)
    leaks = check_leaks(config.folds.on_leak, corpora, rows, held_out)
    tokens = Path(config.paths.tokens)
    texts = distinct_texts(corpora) if config.backbone.scratch else []
    tokenizer = load_tokenizer(config.backbone, texts=texts, folder=tokens)
    stores = {}
    for name, examples in corpora.items():
        every = config.corpora[name].labels is Labels.all
        stores[name] = open_store(examples, tokenizer, tokens, every_answer=every)
    return Prepared(config, corpora, leaks.rows, held_out, tokenizer, stores, leaks)


def _train_attempts(
    config: TrainConfig, run: RunFolder, prepared: Prepared, judge: Evaluator | None
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Train on the plan; after a collapse go on from before it, as often as `restarts` allows.

    Each restart halves the learning rate and draws the rest of the plan with the next seed.

    Raises:
        CollapseError: there is no restart left.
    """
    restarts: list[dict[str, Any]] = run.read_restarts()
    while True:
        seed = config.seed + len(restarts)
        plan = prepared.make_plan(seed)
        plan.to_parquet(run.plan)
        print(_format_plan(plan, config))
        set_seed(config.seed)
        model = load_model(config.backbone, prepared.tokenizer)
        try:
            history = train_model(
                model,
                PlanDataset(plan, prepared.stores, cutout_config=config.recipe.cutout, seed=seed),
                template=read_pair_template(prepared.tokenizer),
                backbone=config.backbone,
                trainer=config.trainer,
                folder=run.checkpoints,
                seed=seed,
                score=judge.score if judge else None,
                rate_factor=0.5 ** len(restarts),
            )
        except CollapseError as collapse:
            if len(restarts) >= config.trainer.restarts:
                raise
            restarts.append({"step": collapse.step, "from": collapse.onset, "why": collapse.reason})
            run.write_restarts(restarts)
            continue
        counts = {"windows": len(plan), "tokens": int(plan["length"].sum())}
        return model, counts | {"restarts": restarts, "history": history}


def _format_plan(plan: pd.DataFrame, config: TrainConfig) -> str:
    """The plan as a table: windows, steps, tokens, padding, negatives and corpora of each stage."""
    table = summarise_plan(
        plan,
        batch_size=config.trainer.per_device_train_batch_size,
        effective_batch_size=config.backbone.effective_batch_size,
    )
    return str(table.to_string(float_format="{:.3f}".format, na_rep="-"))
