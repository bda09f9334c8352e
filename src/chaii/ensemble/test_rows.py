"""Answer the test rows, member by member, within a budget of time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from datasets import Dataset

from chaii.config.ensemble import EnsembleConfig, MethodConfig, MethodKind
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_n_best
from chaii.ensemble.members import Ensemble, Member, hear_test
from chaii.ensemble.methods import Panel
from chaii.ensemble.submission import flatten_whitespace, write_submission
from chaii.ensemble.time_budget import Budget, interleave
from chaii.recipe.token_store import open_store
from chaii.run_folder import Prediction

_ROWS = 256  # test rows whose logits are in memory at a time


def answer_test(
    test: Dataset,
    ensemble: Ensemble,
    method: MethodConfig,
    *,
    config: EnsembleConfig,
    budget: Budget,
) -> Path:
    """Answer the test rows by `method`, write the submission, and return its path.

    Members are heard in turns, one of each voice. Within a budget a valid submission lies there
    from the first moment, at first without answers, and is written anew after each member by those
    heard so far; a member that would overrun the budget is left out.
    """
    turns = interleave(list(ensemble.voices.values()))
    order = list({member.name: member for member in turns}.values())
    heard: dict[str, Prediction] = {}
    estimates = dict.fromkeys((member.name for member in order), 0.0)
    if budget.minutes is not None:
        blank = pd.DataFrame({"id": test["id"][:], "prediction": ""})
        _write(blank, test, config)
        estimates = estimate_members(order, test, config, budget)
    for member in order:
        if not budget.allows(estimates[member.name]):
            print(f"{member.name}: left out, {max(0.0, budget.seconds_left):.0f} s are left")
            continue
        began = time.monotonic()
        heard[member.name] = member.predict(test, config)
        if budget.minutes is not None:
            answer_heard(ensemble, heard, method, test=test, config=config)
            budget.learn(estimates[member.name], time.monotonic() - began)
    path = Path(config.paths.submissions) / f"{config.ensemble.name}.csv"
    if heard and budget.minutes is None:
        path = answer_heard(ensemble, heard, method, test=test, config=config)
    print(f"{path}: {len(test)} answers by {len(heard)} of {len(order)} members")
    return path


def estimate_members(
    order: Sequence[Member], test: Dataset, config: EnsembleConfig, budget: Budget
) -> dict[str, float]:
    """Seconds each member will take, by a sample of its run; prints them and their sum.

    Folds of a run share their backbone and windows, so that one of them stands for all. A cached
    member takes none.
    """
    runs: dict[str, float] = {}
    seconds = dict.fromkeys((member.name for member in order), 0.0)
    for member in order:
        if not member.is_cached(test, config):
            if member.run.name not in runs:
                runs[member.run.name] = member.estimate(test, config)
            seconds[member.name] = runs[member.run.name]
    for name, estimate in seconds.items():
        print(f"{name}: {estimate:.0f} s estimated")
    print(f"{len(test)} rows: {sum(seconds.values()):.0f} s, {budget.seconds_left:.0f} s are left")
    return seconds


def answer_heard(
    ensemble: Ensemble,
    heard: Mapping[str, Prediction],
    method: MethodConfig,
    *,
    test: Dataset,
    config: EnsembleConfig,
) -> Path:
    """Write the submission of the members heard so far; who is not heard has no vote.

    Where the method's single voice is not heard yet, the others vote; where none that counts is,
    all heard count alike.
    """
    groups = {
        name: [member for member in members if member.name in heard]
        for name, members in ensemble.voices.items()
    }
    groups = {name: members for name, members in groups.items() if members}
    if method.kind is MethodKind.single and method.voice in set(ensemble.voices) - set(groups):
        method = dataclasses.replace(method, kind=MethodKind.vote)
    answers, best = [], []
    for voices in _hear_parts(groups, heard, method, test=test, config=config):
        voters = [name for name in ensemble.voters if name in voices]
        if not any(method.weights.get(name, 1.0) for name in voters):
            method = dataclasses.replace(method, weights={})
        answers.append(Panel(voices, voters=voters).answer(method))
        if config.n_best:
            best += [
                decode_n_best(voice, n=config.n_best, decoding=method.decode).assign(voice=name)
                for name, voice in voices.items()
            ]
    if best:
        path = Path(config.paths.submissions) / f"{config.ensemble.name}_nbest.csv"
        pd.concat(best).to_csv(path, index=False)
    return _write(pd.concat(answers, ignore_index=True), test, config)


def _hear_parts(
    groups: Mapping[str, Sequence[Member]],
    heard: Mapping[str, Prediction],
    method: MethodConfig,
    *,
    test: Dataset,
    config: EnsembleConfig,
) -> Iterator[dict[str, ContextLogits]]:
    """All voices on some of the test rows after the others, so that memory stays flat."""
    stores = {
        name: open_store(test, members[0].tokenizer, Path(config.paths.tokens))
        for name, members in groups.items()
    }
    for first in range(0, len(test), _ROWS):
        yield {
            name: hear_test(
                [heard[member.name] for member in members],
                members,
                stores[name],
                how=method.decode.merge,
                rows=slice(first, first + _ROWS),
            )
            for name, members in groups.items()
        }


def _write(answers: pd.DataFrame, test: Dataset, config: EnsembleConfig) -> Path:
    answers = answers.assign(prediction=answers["prediction"].map(flatten_whitespace))
    path = Path(config.paths.submissions) / f"{config.ensemble.name}.csv"
    return write_submission(path, answers, expected_ids=test["id"][:])
