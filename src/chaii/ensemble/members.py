"""Members of an ensemble: finished folds, and their logits for out-of-fold and for test rows."""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, concatenate_datasets
from omegaconf import DictConfig
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedModel

from chaii.config.ensemble import EnsembleConfig, Merge, MethodConfig, Voters
from chaii.config.errors import ConfigError
from chaii.config.schema import Precision
from chaii.decoding.cleaning import RULES
from chaii.decoding.context_logits import ContextLogits, join_logits, read_context_logits
from chaii.ensemble.average import average_logits
from chaii.ensemble.methods import FUSION
from chaii.evaluation.oof_table import Key, example_keys
from chaii.files import digest_folder, is_intact, open_or_make, seal_folder
from chaii.model.backbone import load_local
from chaii.model.predict import WindowLogits, choose_precision, predict_logits
from chaii.recipe.mapped_memory import release_pages, release_table
from chaii.recipe.pair_template import fingerprint_tokenizer
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import TokenStore, open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction, RunFolder, find_runs

_PART = 8192  # windows whose logits are in memory at once

# The tokens and windows of the test rows by the digest of a tokenizer, length and stride.
Shared = dict[tuple[str, int, int], tuple[TokenStore, pd.DataFrame]]


@dataclass(frozen=True)
class Member:
    """One finished fold of one run."""

    run: RunFolder
    config: DictConfig
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Run and fold, as in the score table."""
        return f"{self.run.name}/{self.run.fold}"

    @property
    def max_answer_tokens(self) -> int:
        """The longest answer that the run was trained to give."""
        return int(self.config.trainer.max_answer_tokens)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer that the run was trained with."""
        return load_local(AutoTokenizer, self.run.model)

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the tokenizer, which takes a second for a large vocabulary."""
        return fingerprint_tokenizer(self.tokenizer)


class Inference:
    """One member applied to the test rows: its logits, and how long they take.

    Logits are cached in a folder that is named by what they depend on: the files of the model, the
    precision, the tokens and the windows. Members with one tokenizer and windows of one length
    have their tokens and windows from the dictionary `shared`.
    """

    def __init__(
        self, member: Member, test: Dataset, config: EnsembleConfig, *, shared: Shared
    ) -> None:
        recipe = member.config.recipe
        length, stride = recipe.predict_max_length, recipe.predict_doc_stride
        self.member = member
        self.config = config
        self.batch_size = config.predict_batch_size
        precision = config.precision or Precision[member.config.trainer.precision]
        self.precision = choose_precision(precision)
        self.test = test
        key = member.fingerprint, length, stride
        if key not in shared:
            tokens = Path(config.paths.tokens)
            store = open_store(test, member.tokenizer, tokens, verify=config.verify)
            shared[key] = store, slide(store, max_length=length, doc_stride=stride)
            release_table(test)
        self.store, self.windows = shared[key]
        self._folder = Path(config.paths.predictions) / member.name

    @cached_property
    def cache(self) -> Path:
        """The folder of the cached logits."""
        key = hashlib.blake2b(self.precision.value.encode(), digest_size=10)
        key.update(digest_folder(self.member.run.model).encode())
        store, columns = self.store, ("example", "context_from", "context_to", "length")
        tokens = (store.input_ids, store.text_start, store.question, store.context)
        for array in (*tokens, *(self.windows[name].to_numpy() for name in columns)):
            key.update(np.ascontiguousarray(array).data)
        release_pages(self.store.input_ids)
        return self._folder / key.hexdigest()

    @property
    def is_cached(self) -> bool:
        """Whether `predict` has nothing to compute; a damaged cache counts as none."""
        return is_intact(self.cache)

    def predict(self) -> Prediction:
        """Logits of the test rows: from the cache, or computed and cached."""

        def make(building: Path) -> None:
            model, windows = self._load_model(), self.windows
            firsts = range(0, len(windows), _PART)
            parts = (self._run(model, windows.iloc[first : first + _PART]) for first in firsts)
            Prediction.write(building, self.test.select_columns(["id"]), windows, parts)
            seal_folder(building)
            release_pages(self.store.input_ids)

        remedy = "its logits are computed again"
        open_or_make(self.cache, lambda: self.is_cached or None, make, remedy=remedy)
        stored = Prediction.load(self.cache)
        return replace(stored, examples=self.test, windows=self.windows)

    def estimate_seconds(self) -> float:
        """Seconds that `predict` takes if nothing is cached, from a sample of windows.

        The sample has windows of all lengths. A first batch is not measured: it warms up the
        device.
        """
        began = time.perf_counter()
        model = self._load_model()
        loading = time.perf_counter() - began
        length = self.windows["length"]
        size = max(2 * self.batch_size, len(length) // 100)
        places = np.linspace(0, len(length) - 1, min(size, len(length))).astype(int)
        sample = self.windows.iloc[np.argsort(length, kind="stable")].iloc[places]
        self._run(model, sample.tail(self.batch_size))
        began = time.perf_counter()
        self._run(model, sample)
        seconds_per_token = (time.perf_counter() - began) / sample["length"].sum()
        return loading + float(seconds_per_token * length.sum())

    def _load_model(self) -> PreTrainedModel:
        model = load_local(AutoModelForQuestionAnswering, self.member.run.model)
        return model.to("cuda" if torch.cuda.is_available() else "cpu")

    def _run(self, model: PreTrainedModel, windows: pd.DataFrame) -> WindowLogits:
        size, precision = self.batch_size, self.precision
        return predict_logits(model, windows, self.store, batch_size=size, precision=precision)


class OofPredictions(NamedTuple):
    """Rows that members of a group held out, and the averaged logits of those that did."""

    examples: Dataset
    logits: ContextLogits


@dataclass(frozen=True)
class Ensemble:
    """Members in groups; all members of a group share a tokenizer."""

    groups: Mapping[str, Sequence[Member]]
    voters: Sequence[str]  # the groups that vote and are fused

    @property
    def members(self) -> list[Member]:
        """Every member once."""
        every = (member for group in self.groups.values() for member in group)
        return list({member.name: member for member in every}.values())


def gather_members(config: EnsembleConfig) -> Ensemble:
    """Find the finished folds of all runs and group them, in the order of `ensemble.members`.

    Groups are backbones; where runs vote, they are the runs, and the backbones that several runs
    share. Runs of weight 0 take no part.

    Raises:
        FileNotFoundError: a run has no finished fold.
        ConfigError: two runs of a backbone differ in tokenizer, or a setting names a group or a
            cleaning rule that does not exist.
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
        if len({member.fingerprint for member in members}) > 1:
            names = ", ".join(member.name for member in members)
            raise ConfigError(f"backbone {backbone}: {names} do not share a tokenizer")
    if config.ensemble.voters is Voters.backbones:
        ensemble = Ensemble(backbones, list(backbones))
    else:
        shared = {name: group for name, group in backbones.items() if group not in runs.values()}
        ensemble = Ensemble({**runs, **shared}, list(runs))
    check_method(config.method, groups=list(ensemble.groups), voters=ensemble.voters)
    check_names("search.rules", config.search.rules, known=RULES)
    return ensemble


def check_method(method: MethodConfig, *, groups: Sequence[str], voters: Sequence[str]) -> None:
    """Check the settings of a method that name groups, voters or cleaning rules.

    Raises:
        ConfigError: a name is unknown, or no voter has a weight above 0.
    """
    used: dict[str, tuple[Iterable[str], Iterable[str]]] = {
        "method.group": ([method.group] if method.group else [], groups),
        "method.weights": (method.weights, voters),
        "method.ranking": (method.ranking, voters),
        "method.cleaning": (method.cleaning, [*groups, FUSION]),
    }
    used |= {f"method.cleaning.{name}": (rules, RULES) for name, rules in method.cleaning.items()}
    for key, (names, known) in used.items():
        check_names(key, names, known=known)
    if not any(method.weights.get(name, 1.0) for name in voters):
        raise ConfigError(f"method.weights: one of {', '.join(voters)} must be above 0")


def check_names(key: str, names: Iterable[str], *, known: Iterable[str]) -> None:
    """Check that the setting `key` holds known names alone.

    Raises:
        ConfigError: one is unknown.
    """
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"{key}: {unknown[0]!r} is none of {', '.join(known)}")


def load_test_logits(
    group: Sequence[tuple[Inference, Prediction]], *, merge: Merge, rows: IntArray
) -> ContextLogits:
    """Average the logits of the members of a group for some of the test rows."""
    most = group[0][0].member.max_answer_tokens
    logits = [
        read_context_logits(found, job.store, max_answer_tokens=most, merge=merge, rows=rows)
        for job, found in group
    ]
    for inference, prediction in group:
        release_pages(inference.store.offsets, prediction.start_logits, prediction.end_logits)
        release_table(prediction.examples)
    return average_logits(logits, [inference.member.weight for inference, _ in group])


def load_oof_predictions(
    members: Sequence[Member], config: EnsembleConfig, *, merge: Merge
) -> OofPredictions | None:
    """Average the logits of a group for each row over the members that held it out.

    The folds of several runs may differ, so rows are averaged by the set of members that held them
    out. None where no member held out any.
    """
    members = [member for member in members if member.run.logits.is_dir()]
    stored = [Prediction.load(member.run.logits) for member in members]
    tokens = Path(config.paths.tokens)
    logits = [
        read_context_logits(
            prediction,
            open_store(prediction.examples, members[0].tokenizer, tokens, verify=config.verify),
            max_answer_tokens=members[0].max_answer_tokens,
            merge=merge,
        )
        for prediction in stored
    ]
    places: dict[Key, list[tuple[int, int]]] = {}  # (member, row) of each example
    for number, prediction in enumerate(stored):
        for row, key in enumerate(example_keys(prediction.examples)):
            places.setdefault(key, []).append((number, row))
    rows_of: dict[tuple[int, ...], list[list[int]]] = {}  # rows of each set of members
    for place in places.values():
        rows_of.setdefault(tuple(n for n, _ in place), []).append([row for _, row in place])
    examples, averages = [], []
    for holders, rows in rows_of.items():
        columns = np.array(rows).T
        held = [logits[n].select(column) for n, column in zip(holders, columns, strict=True)]
        averages.append(average_logits(held, [members[n].weight for n in holders]))
        examples.append(stored[holders[0]].examples.select(columns[0]))
    if not rows_of:
        return None
    return OofPredictions(concatenate_datasets(examples), join_logits(averages))
