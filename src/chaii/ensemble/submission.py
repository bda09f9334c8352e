"""Answer the test rows within a time budget, and write the competition's submission file."""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from chaii.config.ensemble import EnsembleConfig, Merge, MethodConfig, MethodKind
from chaii.decoding.decode import decode_n_best
from chaii.ensemble.members import Ensemble, Inference, Shared, load_test_logits
from chaii.ensemble.methods import MemberPredictions
from chaii.ensemble.time_budget import Budget, interleave
from chaii.ensemble.vote import held_words
from chaii.files import write_whole
from chaii.run_folder import Prediction

_CHUNK_TOKENS = 2**18  # of contexts whose logits are in memory at a time
# Line breaks as in str.splitlines, NUL, and half surrogate pairs, which UTF-8 cannot hold.
_UNWRITABLE = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\0\ud800-\udfff]")
_SHOWN = 3


class SubmissionError(ValueError):
    """Answers that would make a wrong submission."""


def result_path(config: EnsembleConfig, suffix: str) -> Path:
    """Path of a result: `name`, or the names of the ensemble and of the method, and a suffix.

    A method whose settings are not those of its kind alone is named by their digest as well, so
    that no other method writes to the same files.
    """
    method = config.method
    name = f"{config.ensemble.name}_{method.group or method.kind.value}"
    if method != MethodConfig(kind=method.kind, group=method.group):
        name += f"-{hashlib.blake2b(repr(method).encode(), digest_size=3).hexdigest()}"
    return Path(config.paths.submissions, f"{config.name or name}{suffix}")


def answer_test(
    test: Dataset,
    ensemble: Ensemble,
    method: MethodConfig,
    *,
    config: EnsembleConfig,
    budget: Budget,
) -> pd.DataFrame:
    """Answer the test rows by `method`, write the submission, and return the answers.

    Members predict in turns, one of each group. With a budget, a valid submission exists from the
    start: its answers are empty at first, and it is written again after each member with the
    members so far. A member that would exceed the budget is left out.

    Raises:
        ValueError: the budget is too small for any member; the submission has empty answers.
    """
    order = {member.name: member for member in interleave(list(ensemble.groups.values()))}
    print(f"predicting {len(test)} test rows with {len(order)} models ...", flush=True)
    path = result_path(config, ".csv")
    if budget.minutes is not None:
        no_answers = pd.DataFrame({"id": test["id"][:], "prediction": ""})
        write_submission(path, no_answers, expected_ids=test["id"][:])
    shared: Shared = {}
    jobs = {name: Inference(one, test, config, shared=shared) for name, one in order.items()}
    seconds = dict.fromkeys(jobs, 0.0)
    if budget.minutes is not None:
        seconds = estimate_jobs(list(jobs.values()))
        total = sum(seconds.values())
        print(f"estimated: {total:.0f} s for all; {budget.seconds_left:.0f} s are left")
    done: dict[str, tuple[Inference, Prediction]] = {}
    answers = None
    for name, job in jobs.items():
        if not budget.allows(seconds[name]):
            print(f"{name}: left out, {max(0.0, budget.seconds_left):.0f} s are left")
            continue
        began = budget.seconds_taken
        done[name] = job, job.predict()
        if budget.minutes is not None:
            answers = write_answers(test, ensemble, done, method, config=config)
            budget.learn(seconds[name], budget.seconds_taken - began)
    if budget.minutes is None:
        answers = write_answers(test, ensemble, done, method, config=config)
    if answers is None:
        rule = f"too few minutes for any of {len(jobs)} models; the answers in {path} are empty"
        raise ValueError(f"time_budget={budget.minutes}: {rule}")
    print(f"{len(test)} answers by {len(done)} of {len(jobs)} models")
    return answers


def estimate_jobs(jobs: Sequence[Inference]) -> dict[str, float]:
    """Estimate the seconds of each member, 0 if it is cached, by name; print them.

    One fold of a run is measured for all: they share their backbone and their windows.
    """
    of_run: dict[str, float] = {}
    seconds = {}
    for job in jobs:
        name, run = job.member.name, job.member.run.name
        is_cached = job.is_cached
        if not is_cached and run not in of_run:
            of_run[run] = job.estimate_seconds()
        seconds[name] = 0.0 if is_cached else of_run[run]
        print(f"{name}: {seconds[name]:.0f} s estimated")
    return seconds


def write_answers(
    test: Dataset,
    ensemble: Ensemble,
    done: Mapping[str, tuple[Inference, Prediction]],
    method: MethodConfig,
    *,
    config: EnsembleConfig,
) -> pd.DataFrame:
    """Write the submission of the members that are done, and return the answers.

    Where the only group of the method has no member yet, the others vote; where no voter of
    positive weight has, all voters count alike.
    """
    groups = {
        name: [done[member.name] for member in members if member.name in done]
        for name, members in ensemble.groups.items()
    }
    groups = {name: members for name, members in groups.items() if members}
    voters = [name for name in ensemble.voters if name in groups]
    if method.kind is MethodKind.single and method.group not in groups:
        method = replace(method, kind=MethodKind.vote)
    if not any(method.weights.get(name, 1.0) for name in voters):
        method = replace(method, weights={})
    answers, best = [], []
    tokens = np.cumsum(next(iter(done.values()))[0].store.context_lengths())
    borders = np.flatnonzero(np.diff(tokens // _CHUNK_TOKENS)) + 1
    for rows in np.split(np.arange(len(test)), borders):
        merge, every = method.decode.merge, groups.items()
        logits = {name: load_test_logits(some, merge=merge, rows=rows) for name, some in every}
        predictions = MemberPredictions(dict.fromkeys(Merge, logits).__getitem__, voters=voters)
        answers.append(predictions.answer(method))
        held_words.cache_clear()  # it holds the texts of these rows
        if config.n_best:
            for name, group in logits.items():
                answer = decode_n_best(group, n=config.n_best, decoding=method.decode)
                best.append(answer.assign(group=name))
    if best:
        with write_whole(result_path(config, "_nbest.csv")) as path:
            pd.concat(best).to_csv(path, index=False)
    table = pd.concat(answers, ignore_index=True)
    table["prediction"] = table["prediction"].map(flatten_whitespace)
    write_submission(result_path(config, ".csv"), table, expected_ids=test["id"][:])
    return table


def flatten_whitespace(text: str) -> str:
    """Replace every run of whitespace, line breaks included, by one space, and trim both ends.

    No score changes: the metric splits words at the same places.

    >>> flatten_whitespace(" 15 अगस्त\\n1947 ")
    '15 अगस्त 1947'
    """
    return " ".join(text.split())


def write_submission(path: Path, answers: pd.DataFrame, *, expected_ids: Sequence[str]) -> Path:
    """Write `id,PredictionString`, one row per expected id and in their order.

    The file is UTF-8 with "\\n" at line ends and quotes around every field, so that an empty answer
    or "NA" is read back as text by `pandas.read_csv(path, keep_default_na=False)`.

    Raises:
        SubmissionError: `answers` (id, prediction) lacks an expected id, has an id twice or an
            unexpected one, or has a prediction that is not text or that breaks a line (see
            `flatten_whitespace`). Nothing is written then.
    """
    ids, predictions = answers["id"].to_list(), answers["prediction"].to_list()
    rows = dict(zip(ids, predictions, strict=True))
    expected = set(expected_ids)
    texts = {row_id: text for row_id, text in rows.items() if isinstance(text, str)}
    faults = {
        "missing id": [row_id for row_id in expected_ids if row_id not in rows],
        "extra id": [row_id for row_id in ids if row_id not in expected],
        "duplicate id": [row_id for row_id, count in Counter(ids).items() if count > 1],
        "duplicate expected id": [name for name, n in Counter(expected_ids).items() if n > 1],
        "prediction that is no text (NaN, None)": [name for name in rows if name not in texts],
        "prediction with a line break": [name for name in texts if _UNWRITABLE.search(texts[name])],
    }
    messages = []
    for fault, found in faults.items():
        if found:
            more = ", …" * (len(found) > _SHOWN)
            messages.append(f"{len(found)} x {fault}: {', '.join(found[:_SHOWN])}{more}")
    if messages:
        raise SubmissionError(f"{path}: not written: {'; '.join(messages)}")
    with write_whole(path) as building, building.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["id", "PredictionString"])
        writer.writerows([row_id, rows[row_id]] for row_id in expected_ids)
    return path
