"""The story of scripts/ensemble.py: from finished runs and a test file to a submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from omegaconf import OmegaConf

from chaii.config.ensemble import EnsembleConfig, MethodConfig, MethodKind
from chaii.corpus.readers import read_corpus
from chaii.decoding.decode import decode_answers, decode_n_best
from chaii.demo.corpora import write_demo_corpora
from chaii.ensemble.members import (
    Ensemble,
    Inference,
    OofPredictions,
    gather_members,
    load_oof_predictions,
    load_test_logits,
)
from chaii.ensemble.methods import MemberPredictions
from chaii.ensemble.selection import GoldAnswers, choose_method, describe_method
from chaii.ensemble.submission import flatten_whitespace, write_submission
from chaii.ensemble.time_budget import Budget, interleave
from chaii.evaluation.metrics import score_answers
from chaii.evaluation.oof_table import example_keys, make_oof_table, write_oof_table
from chaii.evaluation.score_table import format_table, tabulate_scores
from chaii.files import write_whole
from chaii.run_folder import Prediction

Line = tuple[str, str, Mapping[str, Any]]  # of the score table: kind, name, scores

_ROWS = 256  # test rows whose logits are in memory at a time
_SHOWN = 5  # methods that are printed


def make_submission(config: EnsembleConfig) -> Path:
    """Score the runs out of fold, choose the method, answer the test file, write the submission.

    Returns the path of the submission; without a test file, of the scores. The scores, the method
    and the out-of-fold answers are written beside it.

    Raises:
        FileNotFoundError: a run has no finished fold.
        ValueError: the test file cannot be read, two runs of a backbone differ in tokenizer, or a
            setting names a group or a cleaning rule that does not exist.
    """
    budget = Budget(config.time_budget)
    test = read_test(config)
    ensemble = gather_members(config)
    folds = f"{len(ensemble.members)} folds of {len(config.ensemble.members)} runs"
    print(f"Scoring {folds} on the rows that they held out")
    oof = {
        name: predictions
        for name, members in ensemble.groups.items()
        if (predictions := load_oof_predictions(members, config))
    }
    lines = score_members(ensemble, oof, config)
    method = replace(config.method, ranking=rank_voters(ensemble, lines, config))
    method, scores = choose(ensemble, oof, method, config)
    print_scores(lines + scores, config)
    write_method(method, config)
    if test is None:
        path = Path(config.paths.submissions, f"{config.ensemble.name}_scores.csv")
    else:
        path = answer_test(test, ensemble, method, config=config, budget=budget)
    print_result(path, lines, scores, config=config, seconds=budget.seconds_taken)
    return path


def read_test(config: EnsembleConfig) -> Dataset | None:
    """Read the rows to answer, if there are any; write the demo's first if they are asked for."""
    if config.ensemble.test is None:
        return None
    if Path(config.ensemble.test.path).is_relative_to(config.paths.demo):
        write_demo_corpora(Path(config.paths.demo))
    return read_corpus("test", config.ensemble.test)[0]


def score(examples: Dataset, answers: pd.DataFrame) -> dict[str, Any]:
    """Score answers to examples, in their order."""
    accepted, languages = examples["answer_text"][:], examples["language"][:]
    return score_answers(list(answers["prediction"]), accepted, languages)


def score_members(
    ensemble: Ensemble, oof: Mapping[str, OofPredictions], config: EnsembleConfig
) -> list[Line]:
    """Score every member and the average of every group, each on the rows that it held out."""
    metrics = [(member.name, member.run.read_metrics()) for member in ensemble.members]
    lines: list[Line] = [("member", name, found) for name, found in metrics if "jaccard" in found]
    for name, (examples, logits) in oof.items():
        answers = decode_answers(logits, decoding=config.method.decode)
        lines.append(("average", name, score(examples, answers)))
    return lines


def rank_voters(ensemble: Ensemble, lines: Sequence[Line], config: EnsembleConfig) -> list[str]:
    """Rank the voters as the method does, then by out-of-fold Jaccard, best first."""
    jaccard = {name: scores["jaccard"] for kind, name, scores in lines if kind == "average"}
    first = [name for name in config.method.ranking if name in ensemble.voters]
    others = [name for name in ensemble.voters if name not in first]
    return first + sorted(others, key=lambda name: -jaccard.get(name, -np.inf))


def choose(
    ensemble: Ensemble,
    oof: Mapping[str, OofPredictions],
    method: MethodConfig,
    config: EnsembleConfig,
) -> tuple[MethodConfig, list[Line]]:
    """Choose the method if it is ``auto``, and score it on the rows that every group held out.

    The score of a chosen method is that of the nested folds: no answer comes from a choice that
    used its row. Writes the out-of-fold answers.
    """
    shared = share_rows(ensemble, oof)
    is_auto = config.method.kind is MethodKind.auto
    if is_auto:
        method = replace(method, kind=MethodKind.vote)
    if shared is None:
        if is_auto:
            print("method=auto: no row was held out by every voter; the vote is used")
        return method, []
    examples, predictions = shared
    nested = None
    if is_auto:
        method, nested = search_method(examples, predictions, method, config)
    answers = predictions.answer(method) if nested is None else nested
    voters = sorted(ensemble.voters, key=(method.ranking or ensemble.voters).index)
    members = {name: predictions.answer_alone(name, method) for name in voters}
    table = make_oof_table(examples, answers, members=members)
    write_oof_table(_beside(config, "_oof.parquet"), table)
    name = (method.kind.value, describe_method(method))
    if nested is not None:
        name = ("auto", "nested folds")
    return method, [(*name, score(examples, answers))]


def share_rows(
    ensemble: Ensemble, oof: Mapping[str, OofPredictions]
) -> tuple[Dataset, MemberPredictions] | None:
    """Select the rows that every group held out, sorted by their keys; None if there is none."""
    if set(oof) != set(ensemble.groups):
        return None
    rows_of = {
        name: {key: row for row, key in enumerate(example_keys(predictions.examples))}
        for name, predictions in oof.items()
    }
    shared = sorted(set.intersection(*map(set, rows_of.values())))
    if not shared:
        return None
    rows = {name: np.array([known[key] for key in shared]) for name, known in rows_of.items()}
    groups = {name: predictions.logits.select(rows[name]) for name, predictions in oof.items()}
    first = ensemble.voters[0]
    examples = oof[first].examples.select(rows[first])
    return examples, MemberPredictions(groups, voters=ensemble.voters)


def search_method(
    examples: Dataset, predictions: MemberPredictions, base: MethodConfig, config: EnsembleConfig
) -> tuple[MethodConfig, pd.DataFrame | None]:
    """Choose a method, print the best ones, and write all of them.

    Returns the method and the answers of the nested folds, None if there are too few rows.
    """
    print(f"Comparing methods on {len(examples)} out-of-fold rows")
    gold = GoldAnswers(texts=examples["answer_text"][:], contexts=examples["context"][:])
    chosen = choose_method(predictions, gold, base=base, search=config.search)
    paths: dict[str, Path] = {}
    for title, table in (("methods", chosen.trials), ("rules", chosen.rules)):
        with write_whole(paths.setdefault(title, _beside(config, f"_{title}.csv"))) as path:
            table.to_csv(path, index=False)
    if chosen.nested is None:
        print(
            f"{len(examples)} out-of-fold rows, fewer than search.min_rows="
            f"{config.search.min_rows}: too few to choose a method; the default is kept"
        )
        return chosen.method, None
    named = {"auto, nested", describe_method(replace(base, kind=MethodKind.vote))}
    is_shown = (chosen.trials.index < _SHOWN) | chosen.trials["method"].isin(named)
    columns = ["method", "jaccard", "gain", "gain_low", "gain_high"]
    print(format_table(chosen.trials.loc[is_shown, columns]))
    print(f"Chosen: {describe_method(chosen.method)}; all methods: {paths['methods']}\n")
    return chosen.method, chosen.nested


def answer_test(
    test: Dataset,
    ensemble: Ensemble,
    method: MethodConfig,
    *,
    config: EnsembleConfig,
    budget: Budget,
) -> Path:
    """Answer the test rows by `method`, write the submission, and return its path.

    Members predict in turns, one of each group. With a budget, a valid submission exists from the
    start: its answers are empty at first, and it is written again after each member with the
    members so far. A member that would exceed the budget is left out.
    """
    order = {member.name: member for member in interleave(list(ensemble.groups.values()))}
    print(f"Predicting {len(test)} test rows with {len(order)} models")
    if budget.minutes is not None:
        no_answers = pd.DataFrame({"id": test["id"][:], "prediction": ""})
        write_submission(_beside(config, ".csv"), no_answers, expected_ids=test["id"][:])
    jobs = {name: Inference(member, test, config) for name, member in order.items()}
    seconds = dict.fromkeys(jobs, 0.0)
    if budget.minutes is not None:
        seconds = estimate_jobs(list(jobs.values()))
        total = sum(seconds.values())
        print(f"estimated: {total:.0f} s for all; {budget.seconds_left:.0f} s are left")
    done: dict[str, tuple[Inference, Prediction]] = {}
    for name, job in jobs.items():
        if not budget.allows(seconds[name]):
            print(f"{name}: left out, {max(0.0, budget.seconds_left):.0f} s are left")
            continue
        began = budget.seconds_taken
        done[name] = job, job.predict()
        if budget.minutes is not None:
            write_answers(test, ensemble, done, method, config=config)
            budget.learn(seconds[name], budget.seconds_taken - began)
    if done and budget.minutes is None:
        write_answers(test, ensemble, done, method, config=config)
    print(f"{len(test)} answers by {len(done)} of {len(jobs)} models")
    return _beside(config, ".csv")


def estimate_jobs(jobs: Sequence[Inference]) -> dict[str, float]:
    """Estimate the seconds of each member, 0 if it is cached, by name; print them.

    One fold of a run stands for all: they share their backbone and their windows.
    """
    of_run: dict[str, float] = {}
    seconds = {}
    for job in jobs:
        name, run = job.member.name, job.member.run.name
        if not job.is_cached and run not in of_run:
            of_run[run] = job.estimate_seconds()
        seconds[name] = 0.0 if job.is_cached else of_run[run]
        print(f"{name}: {seconds[name]:.0f} s estimated")
    return seconds


def write_answers(
    test: Dataset,
    ensemble: Ensemble,
    done: Mapping[str, tuple[Inference, Prediction]],
    method: MethodConfig,
    *,
    config: EnsembleConfig,
) -> None:
    """Write the submission of the members that are done.

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
    for rows in np.array_split(np.arange(len(test)), range(_ROWS, len(test), _ROWS)):
        logits = {
            name: load_test_logits(members, merge=method.decode.merge, rows=rows)
            for name, members in groups.items()
        }
        answers.append(MemberPredictions(logits, voters=voters).answer(method))
        if config.n_best:
            best += [
                decode_n_best(group, n=config.n_best, decoding=method.decode).assign(group=name)
                for name, group in logits.items()
            ]
    if best:
        with write_whole(_beside(config, "_nbest.csv")) as path:
            pd.concat(best).to_csv(path, index=False)
    table = pd.concat(answers, ignore_index=True)
    table["prediction"] = table["prediction"].map(flatten_whitespace)
    write_submission(_beside(config, ".csv"), table, expected_ids=test["id"][:])


def write_method(method: MethodConfig, config: EnsembleConfig) -> None:
    """Write the method by which the test rows are answered, to be used again."""
    target = Path(config.paths.submissions, "method", f"{config.ensemble.name}.yaml")
    command = f"python scripts/ensemble.py --config-dir {target.parents[1]} method={target.stem}"
    with write_whole(target) as path:
        text = OmegaConf.to_yaml(OmegaConf.structured(method))
        path.write_text(f"# {command} …\n{text}", encoding="utf-8")


def print_scores(lines: Sequence[Line], config: EnsembleConfig) -> None:
    """Print the score table and write it."""
    table = tabulate_scores(lines)
    with write_whole(_beside(config, "_scores.csv")) as path:
        table.to_csv(path, index=False)
    print(format_table(table), end="\n\n")


def print_result(
    path: Path,
    lines: Sequence[Line],
    scores: Sequence[Line],
    *,
    config: EnsembleConfig,
    seconds: float,
) -> None:
    """Print what was reached, where it is, how long it took, and what to do next."""
    averages = {name: found["jaccard"] for kind, name, found in lines if kind == "average"}
    for _, _, found in scores:
        best = max(averages, key=lambda name: averages[name])
        print(
            f"On {found['rows']} out-of-fold rows the ensemble has a Jaccard of "
            f"{found['jaccard']:.3f}; the best group alone, {best}, has {averages[best]:.3f}."
        )
    print(f"{path} was written in {seconds:.0f} s.")
    if scores:
        name = config.ensemble.name
        print(f"Next: `python scripts/report.py --ensemble {name}` writes a page on its errors.")


def _beside(config: EnsembleConfig, suffix: str) -> Path:
    """The path of a result: the ensemble's name and a suffix."""
    return Path(config.paths.submissions, f"{config.ensemble.name}{suffix}")
