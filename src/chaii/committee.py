"""Ensemble finished runs: from their folders and a test file to a submission."""

from __future__ import annotations

import hashlib
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
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from chaii.answer.blending import blend_logits, select_rows
from chaii.answer.decode import ContextLogits, decode_answers, merge_windows
from chaii.answer.scoreboard import Answered, Key, example_keys, tabulate_scores, vote_shared
from chaii.answer.submission import flatten_whitespace, write_submission
from chaii.answer.voting import vote
from chaii.config import EnsembleConfig
from chaii.corpus.demo import write_demo_corpora
from chaii.corpus.readers import read_corpus
from chaii.model.inference import predict_logits
from chaii.recipe.template import fingerprint_tokenizer
from chaii.recipe.tokens import TokenStore, open_store
from chaii.recipe.windows import slide
from chaii.runs import Prediction, RunFolder, find_runs


@dataclass(frozen=True)
class Member:
    """One finished fold of one run."""

    run: RunFolder
    config: DictConfig

    @property
    def name(self) -> str:
        """Run and fold, as the score table shows them."""
        return f"{self.run.name}/{self.run.fold}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer the run was trained with."""
        return AutoTokenizer.from_pretrained(self.run.model)

    def predict(self, test: Dataset, config: EnsembleConfig) -> Prediction:
        """Logits of the test rows: from the cache if this very model has seen these very rows."""
        recipe = self.config.recipe
        lengths = recipe.predict_max_length, recipe.predict_stride
        key = hashlib.blake2b(repr(lengths).encode(), digest_size=10)
        key.update(self.run.metrics.read_bytes())
        key.update(repr([test["id"][:], test["question"][:], test["context"][:]]).encode())
        cache = Path(config.paths.predictions) / self.name / key.hexdigest()
        if not cache.is_dir():
            store = open_store(test, self.tokenizer, Path(config.paths.tokens))
            windows = slide(store, max_length=lengths[0], stride=lengths[1])
            model = AutoModelForQuestionAnswering.from_pretrained(self.run.model)
            logits = predict_logits(
                model.to("cuda" if torch.cuda.is_available() else "cpu"),
                windows,
                store,
                batch_size=config.predict_batch_size,
                precision=config.precision,
            )
            Prediction(test, windows, *logits).save(cache)
        return Prediction.load(cache)


def make_submission(config: EnsembleConfig) -> Path:
    """Score the runs out of fold, answer the test file, and write the submission.

    Raises:
        FileNotFoundError: a member has no finished fold.
        ValueError: the test file cannot be read, or two runs of a backbone differ in tokenizer.
    """
    backbones = gather_members(config)
    if Path(config.blend.test.path).is_relative_to(config.paths.demo):
        write_demo_corpora(Path(config.paths.demo))
    test, _ = read_corpus("test", config.blend.test)

    tokens = Path(config.paths.tokens)
    blends = {name: answer_out_of_fold(members, tokens) for name, members in backbones.items()}
    scores = score_all(backbones, {name: blend for name, blend in blends.items() if blend})
    print(scores.to_string(index=False, float_format="{:.4f}".format))
    ranking = rank_backbones(scores, list(backbones))

    answers = {}
    for name, members in backbones.items():
        predictions = [member.predict(test, config) for member in members]
        answers[name] = answer_blend(predictions, test, members[0], tokens)
    voted = vote(answers, contexts=list(test["context"]), ranking=ranking)
    voted = voted.assign(prediction=voted["prediction"].map(flatten_whitespace))
    folder = Path(config.paths.submissions)
    path = write_submission(
        folder / f"{config.blend.name}.csv", voted, expected_ids=list(test["id"])
    )
    scores.to_csv(folder / f"{config.blend.name}_scores.csv", index=False)
    print(f"{path}: {len(voted)} answers")
    return path


def gather_members(config: EnsembleConfig) -> dict[str, list[Member]]:
    """Finished folds of all runs, grouped by backbone, in the order the blend names them."""
    backbones: dict[str, list[Member]] = {}
    for name in config.blend.members:
        for run in find_runs(Path(config.paths.runs), name):
            member = Member(run, run.read_config())
            backbones.setdefault(member.config.backbone.name, []).append(member)
    for backbone, members in backbones.items():
        prints = {fingerprint_tokenizer(member.tokenizer) for member in members}
        if len(prints) > 1:
            names = ", ".join(member.name for member in members)
            raise ValueError(f"backbone {backbone}: {names} do not share a tokenizer")
    return backbones


def answer_blend(
    predictions: Sequence[Prediction], examples: Dataset, member: Member, tokens: Path
) -> pd.DataFrame:
    """Average the logits of one backbone's predictions of the same examples, and decode them."""
    store = open_store(examples, member.tokenizer, tokens)
    logits = blend_logits([_lay_out(prediction, store) for prediction in predictions])
    return _decode(logits, examples, store, member)


def answer_out_of_fold(members: Sequence[Member], tokens: Path) -> Answered | None:
    """Answer each row with the mean logits of the folds that held it out; None without any.

    Folds of several runs may differ: rows are grouped by the set of members that held them out.
    """
    judged = [member for member in members if member.run.logits.is_dir()]
    predictions = [Prediction.load(member.run.logits) for member in judged]
    stores = [open_store(p.examples, members[0].tokenizer, tokens) for p in predictions]
    laid = [_lay_out(*pair) for pair in zip(predictions, stores, strict=True)]

    answered = []
    for holders, rows in _group_by_holders([p.examples for p in predictions]).items():
        parts = [select_rows(laid[n], rows[:, i]) for i, n in enumerate(holders)]
        first = holders[0]
        examples, store = predictions[first].examples.select(rows[:, 0]), stores[first]
        answers = _decode(blend_logits(parts), examples, store.select(rows[:, 0]), members[0])
        answered.append(Answered(examples, answers))
    if not answered:
        return None
    return Answered(
        concatenate_datasets([part.examples for part in answered]),
        pd.concat([part.answers for part in answered], ignore_index=True),
    )


def score_all(
    backbones: Mapping[str, Sequence[Member]], blends: Mapping[str, Answered]
) -> pd.DataFrame:
    """One row for every member, every backbone's blend, and the vote on the rows all have held out.

    Each is scored on the rows it held out, so compare scores only where ``rows`` agree.
    """
    members = [member for group in backbones.values() for member in group]
    metrics = [(member.name, member.run.read_metrics()) for member in members]
    lines = [("member", name, scores) for name, scores in metrics if "jaccard" in scores]
    lines += [("blend", name, answered.scores()) for name, answered in blends.items()]
    if blends and (voted := vote_shared(blends)):
        lines.append(("vote", " + ".join(blends), voted.scores()))
    return tabulate_scores(lines)


def rank_backbones(scores: pd.DataFrame, backbones: Sequence[str]) -> list[str]:
    """Backbones by out-of-fold Jaccard, best first; unscored ones follow in the order given."""
    blends = scores[scores["kind"] == "blend"].set_index("name")["jaccard"]
    return sorted(backbones, key=lambda name: -blends.get(name, -np.inf))


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


def _lay_out(prediction: Prediction, store: TokenStore) -> ContextLogits:
    return merge_windows(
        prediction.windows,
        prediction.start_logits,
        prediction.end_logits,
        lengths=store.context_lengths(),
    )


def _decode(
    logits: ContextLogits, examples: Dataset, store: TokenStore, member: Member
) -> pd.DataFrame:
    return decode_answers(
        logits,
        ids=list(examples["id"]),
        contexts=list(examples["context"]),
        offsets=store.offsets,
        offset_start=store.text_start[store.context],
        max_tokens=member.config.trainer.max_answer_tokens,
    )
