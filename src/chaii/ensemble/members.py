"""Members of an ensemble: finished folds, and what they say of held-out and of test rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from omegaconf import DictConfig
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedModel

from chaii.config.ensemble import EnsembleConfig, Merge, Voters
from chaii.decoding.context_logits import ContextLogits, join_logits, read_context_logits
from chaii.ensemble.average import average_logits
from chaii.ensemble.oof_table import Key, example_keys
from chaii.model.predict import predict_logits
from chaii.recipe.pair_template import fingerprint_tokenizer
from chaii.recipe.token_store import TokenStore, open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction, RunFolder, find_runs


@dataclass(frozen=True)
class Member:
    """One finished fold of one run."""

    run: RunFolder
    config: DictConfig
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Run and fold, as the score table shows them."""
        return f"{self.run.name}/{self.run.fold}"

    @property
    def max_tokens(self) -> int:
        """Longest answer it was trained to give."""
        return int(self.config.trainer.max_answer_tokens)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer the run was trained with."""
        return AutoTokenizer.from_pretrained(self.run.model)

    def predict(self, test: Dataset, config: EnsembleConfig) -> Prediction:
        """Logits of the test rows: from the cache if this very model has seen these very rows."""
        cache = self._find_cache(test, config)
        if not self.is_cached(test, config):
            store, windows = self._cut(test, config)
            logits = self._run_model(self._load(), windows, store, config)
            Prediction(test, windows, *logits).save(cache)
        return Prediction.load(cache)

    def is_cached(self, test: Dataset, config: EnsembleConfig) -> bool:
        """Whether `predict` has nothing to do."""
        return self._find_cache(test, config).is_dir()

    def estimate(self, test: Dataset, config: EnsembleConfig) -> float:
        """Seconds `predict` will take if not cached, from a sample of windows of all lengths.

        A first batch is not measured: it warms up the device.
        """
        began = time.perf_counter()
        store, windows = self._cut(test, config)
        model = self._load()
        loading = time.perf_counter() - began
        size = max(2 * config.predict_batch_size, len(windows) // 100)
        places = np.linspace(0, len(windows) - 1, min(size, len(windows))).astype(int)
        sample = windows.iloc[np.argsort(windows["length"], kind="stable")].iloc[places]
        self._run_model(model, sample.tail(config.predict_batch_size), store, config)
        began = time.perf_counter()
        self._run_model(model, sample, store, config)
        pace = (time.perf_counter() - began) / sample["length"].sum()
        return loading + float(pace * windows["length"].sum())

    def _find_cache(self, test: Dataset, config: EnsembleConfig) -> Path:
        key = hashlib.blake2b(repr(self._lengths).encode(), digest_size=10)
        key.update(config.precision.value.encode())
        key.update(self.run.metrics.read_bytes())
        key.update(repr([test["id"][:], test["question"][:], test["context"][:]]).encode())
        return Path(config.paths.predictions) / self.name / key.hexdigest()

    @property
    def _lengths(self) -> tuple[int, int]:
        recipe = self.config.recipe
        return recipe.predict_max_length, recipe.predict_doc_stride

    def _cut(self, test: Dataset, config: EnsembleConfig) -> tuple[TokenStore, pd.DataFrame]:
        store = open_store(test, self.tokenizer, Path(config.paths.tokens))
        return store, slide(store, max_length=self._lengths[0], doc_stride=self._lengths[1])

    def _load(self) -> PreTrainedModel:
        model = AutoModelForQuestionAnswering.from_pretrained(self.run.model)
        return model.to("cuda" if torch.cuda.is_available() else "cpu")

    def _run_model(
        self,
        model: PreTrainedModel,
        windows: pd.DataFrame,
        store: TokenStore,
        config: EnsembleConfig,
    ) -> Any:
        return predict_logits(
            model,
            windows,
            store,
            batch_size=config.predict_batch_size,
            precision=config.precision,
        )


@dataclass(frozen=True)
class Ensemble:
    """Members by the voice they speak with; all members of a voice share a tokenizer."""

    voices: Mapping[str, Sequence[Member]]
    voters: Sequence[str]

    @property
    def members(self) -> list[Member]:
        """Every member once."""
        return list(
            {member.name: member for group in self.voices.values() for member in group}.values()
        )


def gather_members(config: EnsembleConfig) -> Ensemble:
    """Finished folds of all runs, grouped into voices, in the order the blend names them.

    Voices are backbones; where runs vote, the runs and the blends of those that share a backbone.
    Runs of weight 0 take no part.

    Raises:
        FileNotFoundError: a run has no finished fold.
        ValueError: two runs of a backbone differ in tokenizer.
    """
    runs: dict[str, list[Member]] = {}
    backbones: dict[str, list[Member]] = {}
    for name in config.ensemble.members:
        weight = config.ensemble.weights.get(name, 1.0)
        for run in find_runs(Path(config.paths.runs), name) if weight else []:
            member = Member(run, run.read_config(), weight)
            runs.setdefault(name, []).append(member)
            backbones.setdefault(member.config.backbone.name, []).append(member)
    for backbone, members in backbones.items():
        prints = {fingerprint_tokenizer(member.tokenizer) for member in members}
        if len(prints) > 1:
            names = ", ".join(member.name for member in members)
            raise ValueError(f"backbone {backbone}: {names} do not share a tokenizer")
    if config.ensemble.voters is Voters.backbones:
        return Ensemble(backbones, list(backbones))
    blends = {name: group for name, group in backbones.items() if group not in runs.values()}
    return Ensemble({**runs, **blends}, list(runs))


def hear_test(
    predictions: Sequence[Prediction],
    members: Sequence[Member],
    store: TokenStore,
    *,
    how: Merge,
    rows: slice,
) -> ContextLogits:
    """What members that share a tokenizer, hence a token store, say of some of the test rows."""
    numbers = np.arange(*rows.indices(len(predictions[0].examples)))
    merged = [
        read_context_logits(
            prediction, store, max_answer_tokens=members[0].max_tokens, merge=how, rows=numbers
        )
        for prediction in predictions
    ]
    return average_logits(merged, weights=[member.weight for member in members])


def hear_held_out(
    members: Sequence[Member], config: EnsembleConfig
) -> tuple[Dataset, ContextLogits] | None:
    """What members say of the rows they held out, each row by all that held it out.

    Folds of several runs may differ: rows are grouped by the set of members that held them out.
    None where no member held out any.
    """
    judged = [member for member in members if member.run.logits.is_dir()]
    predictions = [Prediction.load(member.run.logits) for member in judged]
    stores = [
        open_store(p.examples, members[0].tokenizer, Path(config.paths.tokens)) for p in predictions
    ]
    parts = []
    for holders, rows in _group_by_holders([p.examples for p in predictions]).items():
        merged = [
            read_context_logits(
                predictions[holder],
                stores[holder],
                max_answer_tokens=members[0].max_tokens,
                merge=config.method.decode.merge,
                rows=rows[:, i],
            )
            for i, holder in enumerate(holders)
        ]
        voice = average_logits(merged, weights=[judged[holder].weight for holder in holders])
        parts.append((predictions[holders[0]].examples.select(rows[:, 0]), voice))
    if not parts:
        return None
    return concatenate_datasets([p[0] for p in parts]), join_logits([p[1] for p in parts])


def _group_by_holders(examples: Sequence[Dataset]) -> dict[tuple[int, ...], NDArray[np.int64]]:
    """For each set of members that hold the same rows: ``(rows, members)`` row numbers in each."""
    places: dict[Key, list[tuple[int, int]]] = {}
    for number, held in enumerate(examples):
        for row, key in enumerate(example_keys(held)):
            places.setdefault(key, []).append((number, row))
    groups: dict[tuple[int, ...], list[list[int]]] = {}
    for place in places.values():
        groups.setdefault(tuple(n for n, _ in place), []).append([row for _, row in place])
    return {holders: np.array(rows) for holders, rows in groups.items()}
