"""Training the same windows three ways: ours, and the standard script with either padding."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from measure import alternate
from standard_windows import map_windows
from transformers import (
    DataCollatorWithPadding,
    ProgressCallback,
    Trainer,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_utils import SaveStrategy

from chaii.config.schema import (
    BackboneConfig,
    Precision,
    RecipeConfig,
    SourceConfig,
    StageConfig,
    TrainerConfig,
)
from chaii.model.collate import TARGETS, PlanDataset, collate
from chaii.model.loss import span_loss
from chaii.model.predict import choose_precision, padding_step
from chaii.model.trainer import PlanTrainer, training_arguments
from chaii.recipe.plan import make_plan
from chaii.recipe.token_store import TokenStore, open_store
from chaii.recipe.windows import finished_input, slide

COLUMNS = ["input_ids", "token_type_ids", "attention_mask", "start_positions", "end_positions"]


@dataclass(frozen=True)
class Work:
    """The same windows in the form that each way needs."""

    plan: pd.DataFrame
    store: TokenStore
    padded: Dataset  # to max_length
    dynamic: Dataset  # not padded yet
    tokenizer: Any
    trainer: TrainerConfig

    @property
    def batch_size(self) -> int:
        """Windows per step."""
        return self.trainer.per_device_train_batch_size


def prepare_work(
    examples: Dataset,
    tokenizer: Any,
    *,
    max_length: int,
    doc_stride: int,
    batches: int,
    trainer: TrainerConfig,
) -> Work:
    """Draw batches at random from the plan of all windows; give the other ways the same windows.

    Raises:
        ValueError: Windows or labels of the other ways differ.
    """
    size = {"max_length": max_length, "doc_stride": doc_stride}
    store = _open_store(examples, tokenizer)
    recipe = RecipeConfig(stages=[StageConfig([SourceConfig("made", **size)])])
    plan = make_plan(
        recipe,
        {"made": store},
        rows={"made": np.arange(len(examples))},
        effective_batch_size=4 * trainer.per_device_train_batch_size,  # as the winner's
        seed=2021,
    )
    full = len(plan) // trainer.per_device_train_batch_size
    drawn = np.random.default_rng(2021).choice(full, size=min(full, batches), replace=False)
    rows = (
        drawn[:, None] * trainer.per_device_train_batch_size
        + np.arange(trainer.per_device_train_batch_size)
    ).ravel()
    plan = plan.iloc[rows].reset_index(drop=True)

    keys = ["example", "context_from"]
    all_windows = slide(store, **size)[keys].reset_index()
    numbers = plan[keys].merge(all_windows, how="left", on=keys)["index"].to_numpy()
    padded, dynamic = (
        map_windows(examples, tokenizer, **size, padding=padding).select(numbers)
        for padding in ("max_length", False)
    )
    work = Work(plan, store, padded, dynamic, tokenizer, trainer)
    _check_windows(work)
    return work


def check_loss(work: Work, model: Any) -> float:
    """Return the difference between our loss and that of transformers, without padding.

    Raises:
        ValueError: It is more than 1e-4.
    """
    lengths = work.plan["length"]
    rows = np.flatnonzero(lengths == lengths.mode()[0])[:8]
    dataset = PlanDataset(work.plan, {"made": work.store})
    ours = collate([dataset[row] for row in rows], template=work.store.template)
    theirs = DataCollatorWithPadding(work.tokenizer)([work.dynamic[int(row)] for row in rows])
    inputs = {name: part for name, part in ours.items() if name not in TARGETS}
    model = copy.deepcopy(model).cpu().eval()
    with torch.no_grad():
        loss = span_loss(model(**inputs), ours)
        difference = abs(float(loss - model(**theirs).loss))
    if difference > 1e-4:
        raise ValueError(f"losses differ by {difference:.1e}")
    return difference


def train_ours(work: Work, model: Any) -> float:
    """Return the seconds of one epoch in the plan's order."""
    trainer = work.trainer
    backbone = BackboneConfig(name="made", learning_rate=1e-4, effective_batch_size=work.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(
            len(work.plan),
            backbone=backbone,
            trainer=trainer,
            folder=Path(folder),
            seed=2021,
            score=None,
        )
        arguments.save_strategy = SaveStrategy.NO  # the other ways save nothing either
        loop = PlanTrainer(
            model=copy.deepcopy(model),
            args=arguments,
            train_dataset=PlanDataset(work.plan, {"made": work.store}),
            data_collator=partial(
                collate, template=work.store.template, pad_to_multiple_of=padding_step()
            ),
        )
        return _run(loop)


def train_standard(work: Work, model: Any, *, padded: bool) -> float:
    """Return the seconds of one epoch in random order by transformers' Trainer."""
    pad = DataCollatorWithPadding(work.tokenizer, pad_to_multiple_of=padding_step())
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=work.batch_size,
            num_train_epochs=1,
            learning_rate=1e-4,
            weight_decay=work.trainer.weight_decay,
            warmup_steps=0.1,
            bf16=choose_precision(work.trainer.precision) is Precision.bf16,
            use_cpu=not torch.cuda.is_available(),
            dataloader_num_workers=work.trainer.num_workers,
            save_strategy="no",
            report_to="none",
            seed=2021,
        )
        loop = Trainer(
            model=copy.deepcopy(model),
            args=arguments,
            train_dataset=work.padded if padded else work.dynamic,
            data_collator=default_data_collator if padded else pad,
        )
        return _run(loop)


def share_padded(work: Work) -> float:
    """Return the share of padding in our batches."""
    lengths = work.plan["length"].to_numpy().reshape(-1, work.batch_size)
    return float(1 - lengths.sum() / (lengths.max(axis=1) * work.batch_size).sum())


def alternate_reported(*ways: Any, pairs: int) -> list[list[float]]:
    """Run the ways in turns as `alternate` does, but return the seconds that each way returns."""
    reported: list[list[float]] = [[] for _ in ways]
    alternate(
        *(partial(_keep, way, seconds) for way, seconds in zip(ways, reported, strict=True)),
        pairs=pairs,
    )
    return reported


def _run(loop: Trainer) -> float:
    loop.remove_callback(ProgressCallback)
    return float(loop.train().metrics["train_runtime"])


def _open_store(examples: Dataset, tokenizer: Any) -> TokenStore:
    """Open a token store and keep it in memory."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(examples, tokenizer, Path(folder))
        arrays = {name: np.array(getattr(store, name)) for name in ("input_ids", "offsets")}
        return dataclasses.replace(store, **arrays)


def _check_windows(work: Work) -> None:
    """Check that windows and labels of all ways are equal."""
    rows = zip(work.plan.itertuples(), work.dynamic, work.padded, strict=True)
    for window, dynamic, padded in rows:
        ids = finished_input(work.store, window)[0].tolist()
        labels = [max(window.start_token, 0), max(window.end_token, 0)]
        for row in (dynamic, padded):
            real = [
                i for i, kept in zip(row["input_ids"], row["attention_mask"], strict=True) if kept
            ]
            if real != ids or [row["start_positions"], row["end_positions"]] != labels:
                raise ValueError(f"windows of example {window.example} differ")


def _keep(way: Any, seconds: list[float]) -> None:
    seconds.append(way())
