"""Ensemble finished runs: from their folders and a test file to a submission."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from omegaconf import OmegaConf

from chaii.config.ensemble import EnsembleConfig, MethodConfig, MethodKind
from chaii.corpus.readers import read_corpus
from chaii.decoding.cleaning import RULES
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers
from chaii.demo.corpora import write_demo_corpora
from chaii.ensemble.members import Ensemble, gather_members, hear_held_out
from chaii.ensemble.methods import FUSION, Panel
from chaii.ensemble.oof_table import example_keys, tabulate_oof, tabulate_scores
from chaii.ensemble.selection import Truth, choose_method, describe_method
from chaii.ensemble.test_rows import answer_test
from chaii.ensemble.time_budget import Budget
from chaii.evaluation.metrics import score_answers


@dataclass(frozen=True, eq=False)
class Hearing:
    """What all voices say of the rows that all of them held out."""

    examples: Dataset
    panel: Panel

    def scores(self, answers: pd.DataFrame) -> dict[str, object]:
        """What `score_answers` says of answers to these rows."""
        golds, languages = self.examples["answer_text"][:], self.examples["language"][:]
        return score_answers(list(answers["prediction"]), golds, languages)


def make_submission(config: EnsembleConfig) -> Path:
    """Score the runs out of fold, choose how to answer, answer the test file, write the submission.

    Everything lies beside the submission, whose path is returned: ``<ensemble>_scores.csv``, the
    method in ``method/<ensemble>.yaml``, answers of held-out rows in ``<ensemble>_oof.parquet``.
    Without a test file that is all, and the path is that of the scores.

    Raises:
        FileNotFoundError: a member has no finished fold.
        ValueError: the test file cannot be read, two runs of a backbone differ in tokenizer, or
            the method names a voice or a rule that is not there.
    """
    budget = Budget(config.time_budget)
    test = read_test(config)
    ensemble = gather_members(config)
    _check_names(ensemble, config)
    held = {
        name: heard
        for name, members in ensemble.voices.items()
        if (heard := hear_held_out(members, config))
    }
    lines = score_members(ensemble, held, config)
    method = dataclasses.replace(config.method, ranking=rank_voters(ensemble, lines, config))
    hearing = share_rows(ensemble, held)
    folder = Path(config.paths.submissions)
    folder.mkdir(parents=True, exist_ok=True)
    if hearing:
        method, answers, title = decide(hearing, method, config)
        lines.append((config.method.kind.value, title, hearing.scores(answers)))
        oof = tabulate_oof(hearing.examples, answers, hearing.panel, method)
        oof.to_parquet(folder / f"{config.ensemble.name}_oof.parquet")
    elif method.kind is MethodKind.auto:
        print("method=auto: no row was held out by every voter; keeping the vote")
        method = dataclasses.replace(method, kind=MethodKind.vote)
    scores = tabulate_scores(lines)
    print(scores.to_string(index=False, float_format="{:.4f}".format))
    scores.to_csv(path := folder / f"{config.ensemble.name}_scores.csv", index=False)
    _write_method(folder / "method" / f"{config.ensemble.name}.yaml", method)
    if test is None:
        return path
    return answer_test(test, ensemble, method, config=config, budget=budget)


def read_test(config: EnsembleConfig) -> Dataset | None:
    """The rows to answer, None where the blend has none; writes the demo's if it is asked for."""
    if config.ensemble.test is None:
        return None
    if Path(config.ensemble.test.path).is_relative_to(config.paths.demo):
        write_demo_corpora(Path(config.paths.demo))
    return read_corpus("test", config.ensemble.test)[0]


def score_members(
    ensemble: Ensemble, held: Mapping[str, tuple[Dataset, ContextLogits]], config: EnsembleConfig
) -> list[tuple[str, str, dict[str, object]]]:
    """Kind, name and scores of every member and every voice, each on the rows it held out."""
    metrics = [(member.name, member.run.read_metrics()) for member in ensemble.members]
    lines = [("member", name, scores) for name, scores in metrics if "jaccard" in scores]
    for name, (examples, voice) in held.items():
        answers = decode_answers(voice, decoding=config.method.decode)
        golds, languages = examples["answer_text"][:], examples["language"][:]
        scores = score_answers(list(answers["prediction"]), golds, languages)
        lines.append(("blend", name, scores))
    return lines


def rank_voters(
    ensemble: Ensemble, lines: list[tuple[str, str, dict[str, object]]], config: EnsembleConfig
) -> list[str]:
    """Voters as ranked by hand, then by out-of-fold Jaccard, best first, then as they are named."""
    jaccard = {name: scores["jaccard"] for kind, name, scores in lines if kind == "blend"}
    by_hand = [name for name in config.method.ranking if name in ensemble.voters]
    others = [name for name in ensemble.voters if name not in by_hand]
    return by_hand + sorted(others, key=lambda name: -float(str(jaccard.get(name, "-inf"))))


def share_rows(
    ensemble: Ensemble, held: Mapping[str, tuple[Dataset, ContextLogits]]
) -> Hearing | None:
    """The rows that every voice has held out, in the order of their keys; None without any."""
    if set(held) != set(ensemble.voices):
        return None
    places = {
        name: {key: row for row, key in enumerate(example_keys(examples))}
        for name, (examples, _) in held.items()
    }
    shared = sorted(set.intersection(*(set(known) for known in places.values())))
    if not shared:
        return None
    rows = {name: np.array([known[key] for key in shared]) for name, known in places.items()}
    voices = {name: voice.select(rows[name]) for name, (_, voice) in held.items()}
    first = ensemble.voters[0]
    examples = held[first][0].select(rows[first])
    return Hearing(examples, Panel(voices, voters=ensemble.voters))


def decide(
    hearing: Hearing, method: MethodConfig, config: EnsembleConfig
) -> tuple[MethodConfig, pd.DataFrame, str]:
    """The method to answer with, its answers to the held-out rows, and what these are called.

    Where it is chosen here, these are the answers of the nested folds: no row's answer comes from
    a choice that has seen the row.
    """
    if method.kind is not MethodKind.auto:
        return method, hearing.panel.answer(method), describe_method(method)
    truth = Truth(golds=hearing.examples["answer_text"][:], groups=hearing.examples["context"][:])
    base = dataclasses.replace(method, kind=MethodKind.vote)
    chosen = choose_method(hearing.panel, truth, base=base, search=config.search)
    folder, name = Path(config.paths.submissions), config.ensemble.name
    for table, title in ((chosen.trials, "methods"), (chosen.rules, "rules")):
        print(table.to_string(index=False, float_format="{:.4f}".format), end="\n\n")
        table.to_csv(folder / f"{name}_{title}.csv", index=False)
    if chosen.nested is None:
        print(
            f"{len(truth.golds)} held-out rows, fewer than search.min_rows="
            f"{config.search.min_rows}: the evidence is too thin; keeping the default"
        )
        return chosen.method, hearing.panel.answer(chosen.method), describe_method(chosen.method)
    print(f"chosen: {describe_method(chosen.method)}")
    return chosen.method, chosen.nested, "nested folds"


def _check_names(ensemble: Ensemble, config: EnsembleConfig) -> None:
    """Refuse a method that names what is not there, before any work is done."""
    method, voices = config.method, list(ensemble.voices)
    used = {
        "method.voice": ([method.voice] if method.voice else [], voices),
        "method.weights": (method.weights, ensemble.voters),
        "method.ranking": (method.ranking, ensemble.voters),
        "method.cleaning": (method.cleaning, [*voices, FUSION]),
        "search.rules": (config.search.rules, RULES),
    }
    used |= {f"method.cleaning.{name}": (rules, RULES) for name, rules in method.cleaning.items()}
    for key, (names, known) in used.items():
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{key}: {unknown[0]!r} is none of {', '.join(known)}")


def _write_method(path: Path, method: MethodConfig) -> None:
    """Write how the test rows are answered, to be taken by hand another time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"# python scripts/ensemble.py --config-dir {path.parents[1]} method={path.stem} …\n"
    path.write_text(head + OmegaConf.to_yaml(OmegaConf.structured(method)))
