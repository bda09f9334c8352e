"""Train one fold of one run, from corpora to scored answers."""

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PreTrainedModel, SchedulerType, set_seed

from chaii.config.corpora import Labels
from chaii.config.errors import ConfigError, list_first
from chaii.config.schema import Debug, OnWarning, Tracker, TrainConfig
from chaii.corpus import training_data
from chaii.ensemble.members import Member
from chaii.ensemble.teachers import check_teachers, find_teachers, predict_teachers
from chaii.evaluation.evaluator import Evaluator
from chaii.evaluation.metrics import format_scores
from chaii.files import digest_folder
from chaii.model.backbone import load_model, load_tokenizer, position_limit
from chaii.model.checkpoints import find_checkpoint, read_seconds, read_step
from chaii.model.collapse_guard import CollapseError
from chaii.model.collate import PlanDataset
from chaii.model.debug import describe_batch, describe_overfit, repeat_batch
from chaii.model.processes import join_processes, share
from chaii.model.profile import profile_training
from chaii.model.resources import Meter
from chaii.model.stage_reset import find_borders
from chaii.model.trainer import Callbacks, Score, train_model
from chaii.recipe.plan import make_plan
from chaii.recipe.plan_checks import list_warnings
from chaii.recipe.plan_summary import format_summary, summarise_plan
from chaii.recipe.token_store import TokenStore, open_store
from chaii.run_folder import RunFolder


@dataclass(frozen=True)
class PreparedFold:
    """The data of a fold, ready to be laid out in training order."""

    config: TrainConfig
    corpora: dict[str, Dataset]
    rows: dict[str, NDArray[np.int64]]  # of each corpus, to train on
    held_out: Dataset | None  # None where fold=all
    tokenizer: Any
    stores: dict[str, TokenStore]
    leaks: training_data.LeakCheck  # from the rows to train on into the held-out rows
    teachers: Sequence[Member] = ()

    def make_plan(self, seed: int) -> pd.DataFrame:
        """Put the recipe's windows in training order; the seed decides what is drawn."""
        recipe, size = self.config.recipe, self.config.backbone.effective_batch_size
        return make_plan(recipe, self.stores, rows=self.rows, effective_batch_size=size, seed=seed)

    def check(self, plan: pd.DataFrame) -> None:
        """Print what is likely to spoil a training on a plan of the fold, a line each.

        Raises:
            ConfigError: there is such a thing, and `on_warning` is `fail`.
        """
        parts = {"corpora": self.corpora, "stores": self.stores, "rows": self.rows}
        lines = list_warnings(plan, config=self.config, **parts)
        if lines and self.config.on_warning is OnWarning.fail:
            raise ConfigError(f"on_warning=fail: {list_first(lines, separator='. ')}")
        for line in lines:
            print(f"warning: {line}")

    def fingerprint(self) -> str:
        """Digest the tokens, labels and rows to train on, those held out, and the teachers."""
        digest = hashlib.blake2b(digest_size=10)
        for name, store in self.stores.items():
            answers = store.answers
            texts = [store.input_ids, store.question, store.context]
            digest.update(name.encode())
            for array in (*texts, answers.tokens, answers.row_start, self.rows[name]):
                digest.update(array.tobytes())
        if self.held_out is not None:
            digest.update("\n".join(self.held_out["id"]).encode())
        for teacher in self.teachers:
            digest.update(digest_folder(teacher.run.model).encode())
        return digest.hexdigest()

    def fingerprints(self) -> dict[str, str]:
        """Digest each corpus, its rows to train on and the held-out rows, whatever the tokenizer.

        They tell what data two runs have in common whose `fingerprint` differs.
        """
        prints = {}
        for name, examples in self.corpora.items():
            store = self.stores[name]
            texts = str(store.home and store.home.name)  # their digest
            answers = repr((texts, examples["answer_text"][:], examples["answer_start"][:]))
            arrays = store.question, store.context, self.rows[name]
            prints[name] = _digest(answers.encode() + b"".join(map(bytes, arrays)))
        held_out = self.held_out["id"][:] if self.held_out else []
        return prints | {"held-out rows": _digest("\n".join(held_out).encode())}


@dataclass(frozen=True)
class Training:
    """One training on the plan in the run folder: what each process needs to take part."""

    config: TrainConfig
    run: RunFolder
    tokenizer: Any
    stores: dict[str, TokenStore]
    restart: int  # how many collapses came before
    is_scored: bool  # while it runs


def train_fold(config: TrainConfig, *, callbacks: Callbacks = ()) -> RunFolder:
    """Train, score and store one fold; a finished one is left as it is.

    Of several processes one leads: it prepares, scores and writes; the others only train with it.
    The `callbacks` are told of its steps and evaluations; what they raise ends the training.

    Raises:
        ConfigError: a run of this name was begun or finished with other settings or data.
        ValueError: a corpus cannot be read, or leaves nothing to train on.
        FileNotFoundError: a corpus or a pre-trained backbone is missing.
        CollapseError: the training collapsed, and no restart is left.
    """
    if config.trainer.num_threads is not None:
        torch.set_num_threads(config.trainer.num_threads)
    run = RunFolder(Path(config.paths.runs), config.name, config.fold)
    if join_processes().is_main_process:
        _lead(config, run, callbacks)
        share(None)  # the others are done too
    else:
        _follow()
    return run


def _follow() -> None:
    """Take part in each training that the leading process begins, until it is done."""
    training: Training | None
    while training := share(None):
        with suppress(CollapseError):  # the leading process meets it too
            _train_once(training, score=dict if training.is_scored else None)


def _lead(config: TrainConfig, run: RunFolder, callbacks: Callbacks) -> None:
    """Do all that is not training; the other processes wait meanwhile."""
    with run.lock():
        run.tidy()
        if config.debug not in (None, Debug.smoke):
            _look(config, run)
            return
        if run.is_finished and not config.overwrite:
            run.check(config)
            print(f"{run.path}: finished already; overwrite=true trains it anew")
            return
        newer = dataclasses.replace(run, replaces=config.overwrite and run.path.exists())
        newer.check(config)
        try:
            seconds = _train_and_score(config, newer, callbacks)
        except KeyboardInterrupt:
            checkpoint = find_checkpoint(newer.checkpoints)
            step = read_step(checkpoint) if checkpoint else 0
            print(f"\n{run.path}: interrupted; the same command goes on from step {step}")
            raise
        run.tidy()
    print(f"{run.path}: finished in {seconds / 60:.1f} minutes")


def _look(config: TrainConfig, run: RunFolder) -> None:
    """Do what `debug` asks for with a plan of the fold, instead of training on it."""
    fold = prepare_fold(config)
    plan = fold.make_plan(config.seed)
    if config.debug is Debug.shapes:
        model = load_model(config.backbone, fold.tokenizer)
        print(describe_batch(plan, fold.stores, model, fold.tokenizer, config=config))
        return
    if config.debug is Debug.overfit:
        size, steps = config.backbone.effective_batch_size, config.trainer.max_steps or 1
        plan = repeat_batch(plan, size=size, steps=steps)
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # nothing goes on from an earlier try
    run.write_plan(plan)
    training = Training(config, run, fold.tokenizer, fold.stores, restart=0, is_scored=False)
    if config.debug is Debug.profile:
        print(profile_training(partial(_train_once, training, score=None), run.trace))
    else:
        model, history = _train_once(training, score=None)
        print(describe_overfit(history, model, config=config))


def _train_and_score(config: TrainConfig, run: RunFolder, callbacks: Callbacks) -> float:
    """Train on the fold, answer its held-out questions, store the results; return the seconds."""
    earlier = read_seconds(run.checkpoints)
    began = time.perf_counter() - earlier
    with Meter() as meter:
        fold = prepare_fold(config)
        data = fold.fingerprint()
        run.check(config, data)
        run.begin(config, data, fold.fingerprints())
        evaluator, resources = None, dict[str, Any]()
        if fold.held_out is not None:
            evaluator = Evaluator(config, fold.held_out, fold.tokenizer)
            run.write_leaks(fold.leaks.pairs)
        score = evaluator.score if evaluator and config.trainer.num_evaluations else None
        model, metrics = _train(fold, run, score=score, callbacks=callbacks)
        run.write_model(model, fold.tokenizer)
        if evaluator:
            _notice("answering the held-out questions")
            answering = time.perf_counter()
            scores = evaluator.evaluate(model, run=run)
            milliseconds = 1000 * (time.perf_counter() - answering)
            resources["answer_ms"] = round(milliseconds / scores["rows"], 3)
            print(format_scores(scores))
            metrics |= scores
    resources |= meter.read(whole=not earlier)
    seconds = time.perf_counter() - began
    costs = {"seconds": round(seconds, 1), "resources": resources}
    run.finish(metrics | {"leaks": fold.leaks.counts} | costs)
    return seconds


def prepare_fold(config: TrainConfig) -> PreparedFold:
    """Read, check and split the corpora, and tokenise what is not yet in a token store.

    Raises:
        ValueError, FileNotFoundError: as `train_fold`.
    """
    print(f"{config.name}, fold {config.fold}")
    _check_early(config)
    teachers = find_teachers(config)
    _notice("reading the corpora")
    corpora = training_data.read_corpora(config)
    rows, held_out = training_data.split_examples(config, corpora)
    check_teachers(teachers, held_out)
    _notice("comparing the rows to train on with the held-out rows")
    leaks = training_data.check_leaks(config.folds.on_leak, corpora, rows, held_out)
    _notice("loading the tokenizer, training it where there is none yet")
    tokens = Path(config.paths.tokens)
    texts = training_data.distinct_texts(corpora) if config.backbone.scratch else []
    tokenizer = load_tokenizer(config.backbone, texts=texts, folder=tokens)
    _notice("tokenising what was not tokenised before")
    stores = {}
    for name, examples in corpora.items():
        every = config.corpora[name].labels is Labels.all
        inputs = examples, tokenizer, tokens
        stores[name] = open_store(*inputs, every_answer=every, verify=config.verify)
    return PreparedFold(config, corpora, leaks.rows, held_out, tokenizer, stores, leaks, teachers)


def _check_early(config: TrainConfig) -> None:
    """Check what only transformers knows, before all preparation: names, and the longest input."""
    schedule, known = config.trainer.lr_scheduler_type, [name.value for name in SchedulerType]
    if schedule not in known:
        raise ConfigError(f"trainer.lr_scheduler_type={schedule}: must be of {', '.join(known)}")
    tracker = config.trainer.tracker
    if tracker is not Tracker.none and find_spec(tracker.value) is None:
        rule = f"the package is not installed: pip install {tracker.value}"
        raise ConfigError(f"trainer.tracker={tracker.value}: {rule}")
    limit, recipe = position_limit(config.backbone), config.recipe
    lengths = {"recipe.predict_max_length": recipe.predict_max_length}
    for s, stage in enumerate(recipe.stages):
        for i, source in enumerate(stage.sources):
            lengths[f"recipe.stages[{s}].sources[{i}].max_length"] = source.max_length
    for key, length in lengths.items():
        if limit is not None and length > limit:
            rule = f"must be at most {limit}, the positions of {config.backbone.name}"
            raise ConfigError(f"{key}={length}: {rule}")


def _train(
    fold: PreparedFold, run: RunFolder, *, score: Score | None, callbacks: Callbacks
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Train on the plan; after a collapse go on from before it, as often as `restarts` allows.

    Each restart halves the learning rate and draws the rest of the plan with the next seed.

    Returns:
        The model, and metrics: windows, tokens, the plan's fingerprint, restarts and the log.

    Raises:
        CollapseError: there is no restart left.
    """
    config, restarts = fold.config, run.read_restarts()
    while True:
        plan = fold.make_plan(config.seed + len(restarts))
        run.write_plan(plan)
        size = config.trainer.per_device_train_batch_size
        steps = config.backbone.effective_batch_size
        table = summarise_plan(plan, batch_size=size, effective_batch_size=steps)
        print(format_summary(table, title="plan"))
        if not restarts:  # they change what is drawn alone
            fold.check(plan)
        if fold.teachers:
            _notice("the teachers read the windows of the plan")
            parts = {"corpora": fold.corpora, "stores": fold.stores, "tokenizer": fold.tokenizer}
            run.write_teacher(predict_teachers(fold.teachers, plan, config=config, **parts))
        training = Training(
            config, run, fold.tokenizer, fold.stores, len(restarts), is_scored=score is not None
        )
        try:
            model, history = _train_once(share(training), score=score, callbacks=callbacks)
        except CollapseError as collapse:
            if len(restarts) >= config.trainer.restarts:
                raise
            restarts.append({"step": collapse.step, "from": collapse.onset, "why": collapse.reason})
            run.write_restarts(restarts)
            continue
        rows = pd.util.hash_pandas_object(plan, index=False)
        counts: dict[str, Any] = {"windows": len(plan), "tokens": int(plan["length"].sum())}
        counts["plan"] = _digest(bytes(rows.to_numpy()))
        return model, counts | {"restarts": restarts, "history": history}


def _train_once(
    training: Training, *, score: Score | None, callbacks: Callbacks = ()
) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """Train a model until the end of the plan or until it collapses; return it and the log."""
    config, plan = training.config, pd.read_parquet(training.run.plan)
    set_seed(config.seed)
    model = load_model(config.backbone, training.tokenizer)
    seed = config.seed + training.restart
    borders = []
    if config.recipe.reset_optimizer:
        borders = find_borders(plan, effective_batch_size=config.backbone.effective_batch_size)
    cutout, teacher = config.recipe.cutout, training.run.read_teacher()
    dataset = PlanDataset(plan, training.stores, cutout_config=cutout, seed=seed, teacher=teacher)
    if config.recipe.hard_negatives:
        from chaii.model.hard_negatives import HardNegatives
        size = config.backbone.effective_batch_size
        parts = dict(recipe=config.recipe, effective_batch_size=size, seed=seed)
        callbacks = [*callbacks, HardNegatives(plan, training.stores, dataset, **parts)]
    history = train_model(
        model,
        dataset,
        backbone=config.backbone,
        trainer=config.trainer,
        folder=training.run.checkpoints,
        seed=seed,
        score=score,
        rate_factor=0.5**training.restart,
        curves=training.run.curves,
        borders=borders,
        distill=config.distill,
        callbacks=callbacks,
    )
    return model, history


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=10).hexdigest()


def _notice(step: str) -> None:
    """Tell what comes next, before the seconds that it takes."""
    print(f"{step} ...", flush=True)
