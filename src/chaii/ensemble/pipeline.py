"""The story of scripts/ensemble.py: from finished runs and a test file to a submission."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from omegaconf import OmegaConf

from chaii.config.ensemble import EnsembleConfig, Merge, MethodConfig, MethodKind
from chaii.corpus.checks import format_reports
from chaii.corpus.readers import read_corpus
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers
from chaii.demo.corpora import write_demo_corpora
from chaii.ensemble.members import Ensemble, OofPredictions, gather_members, load_oof_predictions
from chaii.ensemble.methods import MemberPredictions
from chaii.ensemble.selection import GoldAnswers, choose_method, describe_method
from chaii.ensemble.submission import answer_test, result_path
from chaii.ensemble.time_budget import Budget
from chaii.evaluation.metrics import format_table, score_answers, tabulate_scores
from chaii.evaluation.oof_table import example_keys, make_oof_table, write_oof_table
from chaii.files import write_whole

Oof = Mapping[str, OofPredictions]  # of each group
Line = tuple[str, str, Mapping[str, Any]]  # of the score table: kind, name, scores

_SHOWN = 5  # methods that are printed


def make_submission(config: EnsembleConfig) -> Path:
    """Score the runs out of fold, choose the method, answer the test file, write the submission.

    Returns the path of the submission; without a test file, of the scores. The scores, the method
    and the out-of-fold answers are written beside it.

    Raises:
        FileNotFoundError: a run has no finished fold.
        ValueError: the test file cannot be read, two runs of a backbone differ in tokenizer, a
            setting names a group or a cleaning rule that does not exist, or the time budget is too
            small for any member.
    """
    budget = Budget(config.time_budget)
    test = read_test(config)
    ensemble = gather_members(config)
    folds = f"{len(ensemble.members)} folds of {len(config.ensemble.members)} runs"
    print(f"scoring {folds} on the rows that they held out ...", flush=True)
    oof = load_oof(ensemble, config, config.method.decode.merge)
    lines = score_members(ensemble, oof, config)
    method = replace(config.method, ranking=rank_voters(ensemble, lines, config))
    method, scores = choose(ensemble, oof, method, config)
    table = write_scores(lines + scores, config)
    print(format_table(table), end="\n\n")
    write_method(method, config)
    if test is None:
        path = result_path(config, "_scores.csv")
    else:
        path = result_path(config, ".csv")
        answers = answer_test(test, ensemble, method, config=config, budget=budget)
        on_test = score_test(test, answers, method)
        write_scores(lines + scores + on_test, config)
    print_comparison(lines, scores)
    print(f"{path} was written in {budget.seconds_taken:.0f} s.")
    if scores:
        name = result_path(config, "").name
        print(f"next: `python scripts/report.py --ensemble {name}` writes a page on its errors.")
    return path


def read_test(config: EnsembleConfig) -> Dataset | None:
    """Read the rows to answer, if there are any, and print how it went.

    Every row is kept, whatever is wrong with its labels. The demo's are written first if they are
    asked for.
    """
    if config.ensemble.test is None:
        return None
    if Path(config.ensemble.test.path).is_relative_to(config.paths.demo):
        write_demo_corpora(Path(config.paths.demo))
    cache = Path(config.paths.tokens) / "corpora"
    test, report = read_corpus("test", config.ensemble.test, cache=cache, keep_all=True)
    print(format_reports([report]), end="\n\n")
    return test


def score(examples: Dataset, answers: pd.DataFrame) -> dict[str, Any]:
    """Score answers to examples, in their order."""
    accepted, languages = examples["answer_text"][:], examples["language"][:]
    return score_answers(list(answers["prediction"]), accepted, languages)


def load_oof(ensemble: Ensemble, config: EnsembleConfig, merge: Merge) -> Oof:
    """Load the out-of-fold predictions of every group that has some."""
    groups = ensemble.groups.items()
    found = {name: load_oof_predictions(group, config, merge=merge) for name, group in groups}
    return {name: predictions for name, predictions in found.items() if predictions}


def score_members(ensemble: Ensemble, oof: Oof, config: EnsembleConfig) -> list[Line]:
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
    ensemble: Ensemble, oof: Oof, method: MethodConfig, config: EnsembleConfig
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
    examples, logits = shared

    def load(merge: Merge) -> Mapping[str, ContextLogits]:
        if merge is config.method.decode.merge:
            return logits
        other = share_rows(ensemble, load_oof(ensemble, config, merge))
        assert other is not None
        return other[1]

    predictions = MemberPredictions(load, voters=ensemble.voters)
    nested = None
    if is_auto:
        method, nested = search_method(examples, predictions, method, config)
    answers = predictions.answer(method) if nested is None else nested
    voters = sorted(ensemble.voters, key=(method.ranking or ensemble.voters).index)
    members = {name: predictions.answer_alone(name, method) for name in voters}
    table = make_oof_table(examples, answers, members=members)
    write_oof_table(result_path(config, "_oof.parquet"), table)
    name = (method.kind.value, describe_method(method))
    if nested is not None:
        name = ("auto", "nested folds")
    return method, [(*name, score(examples, answers))]


def share_rows(ensemble: Ensemble, oof: Oof) -> tuple[Dataset, dict[str, ContextLogits]] | None:
    """Select the rows that every group held out, sorted by their keys; None if there is none."""
    if set(oof) != set(ensemble.groups):
        return None
    keys = {name: example_keys(predictions.examples) for name, predictions in oof.items()}
    rows_of = {name: {key: row for row, key in enumerate(of)} for name, of in keys.items()}
    shared = sorted(set.intersection(*map(set, rows_of.values())))
    if not shared:
        return None
    rows = {name: np.array([known[key] for key in shared]) for name, known in rows_of.items()}
    first = ensemble.voters[0]
    examples = oof[first].examples.select(rows[first])
    return examples, {name: group.logits.select(rows[name]) for name, group in oof.items()}


def search_method(
    examples: Dataset, predictions: MemberPredictions, base: MethodConfig, config: EnsembleConfig
) -> tuple[MethodConfig, pd.DataFrame | None]:
    """Choose a method, print the best ones, and write all of them.

    Returns the method and the answers of the nested folds, None if there are too few rows.
    """
    print(f"comparing methods on {len(examples)} out-of-fold rows ...", flush=True)
    gold = GoldAnswers(texts=examples["answer_text"][:], contexts=examples["context"][:])
    chosen = choose_method(predictions, gold, base=base, search=config.search)
    for suffix, table in (("_methods.csv", chosen.trials), ("_rules.csv", chosen.rules)):
        with write_whole(result_path(config, suffix)) as path:
            table.to_csv(path, index=False)
    if chosen.nested is None:
        rule = f"fewer than search.min_rows={config.search.min_rows}: too few to choose a method"
        print(f"{len(examples)} out-of-fold rows, {rule}; the default is kept")
        return chosen.method, None
    named = {"auto, nested", describe_method(replace(base, kind=MethodKind.vote))}
    is_shown = (chosen.trials.index < _SHOWN) | chosen.trials["method"].isin(named)
    columns = ["method", "jaccard", "gain", "gain_low", "gain_high"]
    print(format_table(chosen.trials.loc[is_shown, columns]))
    file, number = result_path(config, "_methods.csv"), len(chosen.trials)
    print(f"chosen: {describe_method(chosen.method)}; all {number} methods: {file}\n")
    return chosen.method, chosen.nested


def score_test(test: Dataset, answers: pd.DataFrame, method: MethodConfig) -> list[Line]:
    """Score the answers to the test rows that have accepted answers, and print the scores."""
    labelled = np.flatnonzero([bool(accepted) for accepted in test["answer_text"]])
    if not labelled.size:
        return []
    line = ("test", describe_method(method), score(test.select(labelled), answers.iloc[labelled]))
    print(format_table(tabulate_scores([line])), end="\n\n")
    return [line]


def write_scores(lines: Sequence[Line], config: EnsembleConfig) -> pd.DataFrame:
    """Write the score table, and return it."""
    table = tabulate_scores(lines)
    with write_whole(result_path(config, "_scores.csv")) as path:
        table.to_csv(path, index=False)
    return table


def write_method(method: MethodConfig, config: EnsembleConfig) -> None:
    """Write the method by which the test rows are answered, to be used again."""
    target = Path(config.paths.submissions, "method", result_path(config, ".yaml").name)
    with write_whole(target) as path:
        text = OmegaConf.to_yaml(OmegaConf.structured(method))
        path.write_text(f"# python scripts/ensemble.py method_file={target}\n{text}", "utf-8")


def print_comparison(lines: Sequence[Line], scores: Sequence[Line]) -> None:
    """Print the score of the ensemble beside that of the best group alone."""
    averages = {name: found["jaccard"] for kind, name, found in lines if kind == "average"}
    for _, _, found in scores:
        best = max(averages, key=lambda name: averages[name])
        ours = f"the ensemble has a Jaccard of {found['jaccard']:.3f}"
        theirs = f"the best group alone, {best}, has {averages[best]:.3f}"
        print(f"on {found['rows']} out-of-fold rows {ours}; {theirs}.")
