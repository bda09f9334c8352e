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
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from chaii.answer.blending import blend_logits, select_rows
from chaii.answer.decode import ContextLogits, decode_answers, merge_windows
from chaii.answer.metrics import METRICS, score_answers
from chaii.answer.submission import flatten_whitespace, write_submission
from chaii.answer.voting import vote
from chaii.config import EnsembleConfig, TrainConfig
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
    config: TrainConfig

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


@dataclass(frozen=True)
class Answered:
    """Examples and one backbone's answers to them."""

    examples: Dataset
    answers: pd.DataFrame


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
    out_of_fold = {
        name: answered
        for name, members in backbones.items()
        if (answered := answer_out_of_fold(members, tokens)) is not None
    }
    scores = score_all(backbones, out_of_fold)
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
    holders: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for number, prediction in enumerate(predictions):
        for row, key in enumerate(_keys(prediction.examples)):
            holders.setdefault(key, []).append((number, row))
    groups: dict[tuple[int, ...], list[list[tuple[int, int]]]] = {}
    for held in holders.values():
        groups.setdefault(tuple(number for number, _ in held), []).append(held)

    stores = [open_store(p.examples, members[0].tokenizer, tokens) for p in predictions]
    laid = [_lay_out(*pair) for pair in zip(predictions, stores, strict=True)]
    examples, answers = [], []
    for numbers, rows in groups.items():
        columns = [np.array(column) for column in zip(*[[r for _, r in row] for row in rows])]
        parts = [select_rows(laid[n], column) for n, column in zip(numbers, columns, strict=True)]
        first = numbers[0]
        examples.append(predictions[first].examples.select(columns[0]))
        store = stores[first].select(columns[0])
        answers.append(_decode(blend_logits(parts), examples[-1], store, members[0]))
    if not answers:
        return None
    return Answered(concatenate_datasets(examples), pd.concat(answers, ignore_index=True))


def score_all(
    backbones: Mapping[str, Sequence[Member]], out_of_fold: Mapping[str, Answered]
) -> pd.DataFrame:
    """One row for every member, every backbone's blend, and the vote on the rows all have held out.

    Members are scored on their own held-out rows, so compare scores only where `rows` agree.
    """
    lines = []
    for name, members in backbones.items():
        for member in members:
            metrics = member.run.read_metrics()
            if "jaccard" in metrics:
                lines.append({"kind": "member", "name": member.name, **_flatten(metrics)})
        if name in out_of_fold:
            answered = out_of_fold[name]
            lines.append({"kind": "blend", "name": name, **_score(answered)})
    if out_of_fold:
        lines.append({"kind": "vote", "name": " + ".join(out_of_fold), **_score_vote(out_of_fold)})
    return pd.DataFrame(lines, columns=["kind", "name", "rows", *METRICS, *_languages(lines)])


def rank_backbones(scores: pd.DataFrame, backbones: Sequence[str]) -> list[str]:
    """Backbones by out-of-fold Jaccard, best first; unscored ones follow in the order given."""
    blends = scores[scores["kind"] == "blend"].set_index("name")["jaccard"]
    return sorted(backbones, key=lambda name: -blends.get(name, -np.inf))


def _score_vote(out_of_fold: Mapping[str, Answered]) -> dict[str, Any]:
    """Scores of the vote over the rows that every backbone has held out."""
    rows = {
        name: {key: row for row, key in enumerate(_keys(answered.examples))}
        for name, answered in out_of_fold.items()
    }
    shared = sorted(set.intersection(*(set(known) for known in rows.values())))
    if not shared:
        return {"rows": 0}
    picked = {name: [known[key] for key in shared] for name, known in rows.items()}
    name = next(iter(out_of_fold))
    examples = out_of_fold[name].examples.select(picked[name])
    blends = {name: _score(out_of_fold[name], rows)["jaccard"] for name, rows in picked.items()}
    voted = vote(
        {n: out_of_fold[n].answers.iloc[rows].reset_index(drop=True) for n, rows in picked.items()},
        contexts=list(examples["context"]),
        ranking=sorted(blends, key=lambda name: -blends[name]),
    )
    return _score(Answered(examples, voted))


def _score(answered: Answered, rows: Sequence[int] | None = None) -> dict[str, Any]:
    rows = range(len(answered.answers)) if rows is None else rows
    examples = answered.examples.select(rows)
    predictions = list(answered.answers["prediction"].iloc[list(rows)])
    golds, languages = list(examples["answer_text"]), list(examples["language"])
    return _flatten(score_answers(predictions, golds, languages))


def _flatten(scores: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the score table: all rows, then the Jaccard of each language."""
    languages = {name: score["jaccard"] for name, score in scores["language"].items()}
    return {name: scores[name] for name in ("rows", *METRICS)} | languages


def _languages(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    known = {"kind", "name", "rows", *METRICS}
    return sorted({name for line in lines for name in line} - known)


def _keys(examples: Dataset) -> list[tuple[str, str]]:
    return list(zip(examples["corpus"], examples["id"], strict=True))


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
