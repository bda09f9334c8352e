"""Train one fold of one run, from corpora to scored answers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from transformers import PreTrainedModel, set_seed

from chaii.answer.decode import decode_answers, merge_windows
from chaii.answer.metrics import METRICS, score_answers, score_rows
from chaii.config import TrainConfig
from chaii.corpus.checks import format_reports
from chaii.corpus.demo import write_demo_corpora
from chaii.corpus.folds import assign_folds, split_fold
from chaii.corpus.readers import find_files, read_corpus
from chaii.model.backbone import load_model, load_tokenizer
from chaii.model.batches import PlanDataset
from chaii.model.inference import predict_logits
from chaii.model.training import train_model
from chaii.recipe.plan import make_plan
from chaii.recipe.tokens import open_store
from chaii.recipe.windows import slide
from chaii.runs import Prediction, RunFolder


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
    began = time.perf_counter()

    corpora = read_corpora(config)
    train_rows, held_out = split_corpora(config, corpora)
    tokenizer = load_tokenizer(
        config.backbone, texts=distinct_texts(corpora), folder=Path(config.paths.tokens)
    )
    tokens = Path(config.paths.tokens)
    stores = {name: open_store(examples, tokenizer, tokens) for name, examples in corpora.items()}
    plan = make_plan(
        config.recipe,
        stores,
        rows=train_rows,
        batch_size=config.trainer.batch_size,
        seed=config.seed,
    )
    run.begin(config)
    plan.to_parquet(run.plan)
    print(describe_plan(plan))

    set_seed(config.seed)
    model = load_model(config.backbone, tokenizer)
    judge = Judge(config, held_out, tokenizer) if held_out is not None else None
    dataset = PlanDataset(plan, stores, cutout_config=config.recipe.cutout, seed=config.seed)
    history = train_model(
        model,
        dataset,
        template=next(iter(stores.values())).template,
        backbone=config.backbone,
        trainer=config.trainer,
        folder=run.checkpoints,
        seed=config.seed,
        score=judge.score if judge else None,
    )
    model.save_pretrained(run.model)
    tokenizer.save_pretrained(run.model)

    metrics = {"windows": len(plan), "tokens": int(plan["length"].sum())}
    oof = None
    if judge:
        scores, oof = judge.finish(model, run.logits)
        metrics = scores | metrics
        print(format_scores(scores))
    seconds = round(time.perf_counter() - began, 1)
    run.finish(metrics | {"seconds": seconds, "history": history}, oof=oof)
    return run


def read_corpora(config: TrainConfig) -> dict[str, Dataset]:
    """Read and check every corpus of the run; prints what was repaired and dropped."""
    demo = Path(config.paths.demo)
    if any(Path(source.path).is_relative_to(demo) for source in config.corpora.sources.values()):
        write_demo_corpora(demo)
    for name, source in config.corpora.sources.items():
        find_files(name, source.path)  # a wrong path must not cost the time to read the others
    corpora, reports = {}, []
    for name, source in config.corpora.sources.items():
        limits = [limit for limit in (source.limit, config.corpora.limit) if limit is not None]
        source = dataclasses.replace(source, limit=min(limits, default=None))
        corpora[name], report = read_corpus(name, source)
        reports.append(report)
    print(format_reports(reports))
    return corpora


def split_corpora(
    config: TrainConfig, corpora: Mapping[str, Dataset]
) -> tuple[dict[str, NDArray[np.int64]], Dataset | None]:
    """Rows of each corpus to train on, and the held-out examples (None where ``fold=all``)."""
    examples = concatenate_datasets(list(corpora.values()))
    names = np.array(examples["corpus"])
    folds = assign_folds(
        examples,
        validated=config.folds.validated,
        count=config.folds.count,
        scheme=config.folds.scheme.value,
        seed=config.folds.seed,
    )
    fold = config.fold if config.fold == "all" else int(config.fold)
    train, held_out = split_fold(folds, examples, validated=config.folds.validated, fold=fold)
    first = dict(zip(corpora, np.cumsum([0, *map(len, corpora.values())]), strict=False))
    rows = {name: train[names[train] == name] - first[name] for name in corpora}
    return rows, examples.select(held_out) if len(held_out) else None


def distinct_texts(corpora: Mapping[str, Dataset]) -> list[str]:
    """Every distinct context and question once, in the order of the corpora."""
    columns = [corpora[name][column] for name in corpora for column in ("context", "question")]
    return list(dict.fromkeys(text for column in columns for text in column))


class Judge:
    """Answers the held-out examples with a model, and scores the answers."""

    def __init__(self, config: TrainConfig, examples: Dataset, tokenizer: Any) -> None:
        self._trainer = config.trainer
        self._examples = examples
        self._golds = list(examples["answer_text"]), list(examples["language"])
        self._store = open_store(examples, tokenizer, Path(config.paths.tokens))
        self._windows = slide(
            self._store,
            max_length=config.recipe.predict_max_length,
            stride=config.recipe.predict_stride,
        )

    def score(self, model: PreTrainedModel) -> dict[str, float]:
        """Jaccard, exact match and F1 over all held-out rows."""
        scores = score_answers(self._answer(self._predict(model)), *self._golds)
        return {name: float(scores[name]) for name in METRICS}

    def finish(self, model: PreTrainedModel, folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
        """Store the logits in `folder`; return all scores and the table of held-out answers."""
        prediction = self._predict(model)
        prediction.save(folder)
        answers = self._answer(prediction)
        oof = pd.DataFrame({name: self._examples[name] for name in ("id", "corpus", "language")})
        oof = oof.assign(
            gold=self._golds[0],
            prediction=answers,
            jaccard=score_rows(answers, *self._golds)["jaccard"],
        )
        return score_answers(answers, *self._golds), oof

    def _predict(self, model: PreTrainedModel) -> Prediction:
        logits = predict_logits(
            model,
            self._windows,
            self._store,
            batch_size=self._trainer.predict_batch_size,
            precision=self._trainer.precision,
        )
        return Prediction(self._examples, self._windows, *logits)

    def _answer(self, prediction: Prediction) -> list[str]:
        answers = decode_answers(
            merge_windows(
                prediction.windows,
                prediction.start_logits,
                prediction.end_logits,
                lengths=self._store.context_lengths(),
            ),
            ids=self._examples["id"],
            contexts=self._examples["context"],
            offsets=self._store.offsets,
            offset_start=self._store.text_start[self._store.context],
            max_tokens=self._trainer.max_answer_tokens,
        )
        return list(answers["prediction"])


def describe_plan(plan: pd.DataFrame) -> str:
    """A table of the plan: windows, tokens and share of negatives by stage and corpus."""
    grouped = plan.assign(negative=plan["start_token"] < 0).groupby(
        ["stage", "corpus"], observed=True
    )
    table = grouped.agg(
        windows=("length", "size"), tokens=("length", "sum"), negatives=("negative", "mean")
    )
    return str(table.to_string(float_format="{:.3f}".format))


def format_scores(scores: Mapping[str, Any]) -> str:
    """A table of the scores: all rows, then each language."""
    rows = {"all": scores, **scores["language"]}
    table = pd.DataFrame(rows, index=[*METRICS, "rows"]).T.astype({"rows": int})
    return str(table.to_string(float_format="{:.4f}".format))
