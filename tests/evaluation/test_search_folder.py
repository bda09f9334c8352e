"""Searches with made-up trainings: kills, several processes, pruning, and what is written."""

import dataclasses
import os
import signal
from contextlib import ExitStack
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

pytest.importorskip("optuna")

from optuna.trial import TrialState

from chaii.config.errors import ConfigError
from chaii.config.search import (
    HyperSearchConfig,
    RangeConfig,
    RangeKind,
    Sampler,
    ScoredByConfig,
)
from chaii.evaluation import search_folder
from chaii.evaluation.search_folder import SearchFolder
from chaii.files import claim
from chaii.model.collapse_guard import CollapseError

SPACE = {
    "x": RangeConfig(RangeKind.float, low=-1.0, high=1.0),
    "n": RangeConfig(RangeKind.int, low=1, high=4),
    "word": RangeConfig(RangeKind.choice, choices=["a", "b"]),
}
ONE, OTHER = ScoredByConfig(["0"], [1]), ScoredByConfig(["1"], [2])
SEARCH = HyperSearchConfig("toy", [], SPACE, ONE, OTHER, trials=13)
GRID = dataclasses.replace(
    SEARCH, space={key: SPACE[key] for key in ("n", "word")}, sampler=Sampler.grid, trials=None
)


def score(values):
    return 1 - abs(values.get("x", 0.2) - 0.3) - 0.01 * values["n"] - 0.05 * (values["word"] == "a")


class Toy:
    """Composes and trains runs that take no time."""

    def __init__(self, path, log=None, kills=(), evaluations=(), steps=9):
        self.path, self.log, self.kills = path, log, kills
        self.evaluations, self.steps = evaluations, steps

    def compose(self, values, *, trial):
        paths = SimpleNamespace(runs=str(self.path / "runs"))
        return [SimpleNamespace(name=f"t{trial}", fold="0", paths=paths, values=values)]

    def train(self, config, *, callbacks=()):
        folder = self.path / "runs" / config.name / "fold0"
        folder.mkdir(parents=True, exist_ok=True)
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{config.name}\n")
        value = score(config.values)
        for number, share in enumerate(self.evaluations, start=1):
            history = [{"eval_jaccard": 0.0}] * number
            state = SimpleNamespace(log_history=history, global_step=number, max_steps=self.steps)
            for callback in callbacks:
                callback.on_evaluate(None, state, None, {"eval_jaccard": share * value})
            self.kill(config, f"at evaluation {number}")
        self.kill(config, "at the end")
        return SimpleNamespace(read_metrics=lambda: {"jaccard": value})

    def kill(self, config, when):
        if (config.name, when) in self.kills:
            os.kill(os.getpid(), signal.SIGKILL)


def work(path, search=SEARCH, **options):
    """Run a search to its end; returns its folder."""
    toy, folder = Toy(path, **options), SearchFolder(path, search)
    while True:
        with folder.claim() as trial:
            if trial is None:
                return folder
            folder.run(trial, toy.compose, toy.train)


def start(path, search=SEARCH, **options):
    """Run a search in a process of its own; returns its number."""
    if child := os.fork():
        return child
    try:
        work(path, search, **options)
    finally:
        os._exit(0)


def describe(folder):
    return [(trial.number, trial.state, trial.value, trial.params) for trial in folder.study.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search of 13 trials with two evaluations each that nothing interrupted."""
    return work(tmp_path_factory.mktemp("whole"), evaluations=(0.5, 0.9))


def test_a_search_has_as_many_trials_as_its_budget(whole):
    assert [trial.number for trial in whole.study.trials] == list(range(13))


def test_every_trial_has_values_of_its_own(whole):
    assert len({trial.params["x"] for trial in whole.study.trials}) == 13


def test_some_trials_are_pruned_and_their_runs_are_removed(whole):
    states = [trial.state for trial in whole.study.trials]
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    kept = {path.parent.name for path in whole.path.glob("runs/*/fold0")}
    finished = {f"t{n}" for n, state in enumerate(states) if state is TrialState.COMPLETE}
    assert kept == finished


@pytest.mark.parametrize(
    "kills",
    [
        [("t3", "at the end"), ("t12", "at the end")],
        [("t0", "at evaluation 1"), ("t11", "at evaluation 2")],
    ],
)
def test_a_search_that_is_killed_twice_ends_with_the_same_trials(kills, whole, tmp_path):
    for kill in kills:
        _, status = os.waitpid(start(tmp_path, kills=[kill], evaluations=(0.5, 0.9)), 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert describe(work(tmp_path, evaluations=(0.5, 0.9))) == describe(whole)


def test_a_kill_while_a_trial_begins_or_ends_changes_nothing(whole, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    for place in ("_begin", "run", "_drop"):
        with monkeypatch.context() as patch:
            patch.setattr(SearchFolder, place, stop)
            with pytest.raises(KeyboardInterrupt):
                work(tmp_path, evaluations=(0.5, 0.9))
    assert describe(work(tmp_path, evaluations=(0.5, 0.9))) == describe(whole)


def test_processes_side_by_side_train_every_trial_once(tmp_path):
    log = tmp_path / "log"
    for child in [start(tmp_path / "search", log=log) for _ in range(3)]:
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(log.read_text().split()) == sorted(f"t{number}" for number in range(13))
    states = {trial.state for trial in SearchFolder(tmp_path / "search", SEARCH).study.trials}
    assert states == {TrialState.COMPLETE}


def test_a_trial_that_another_process_ends_meanwhile_is_not_done_again(tmp_path, monkeypatch):
    ours, theirs, toy = SearchFolder(tmp_path, GRID), SearchFolder(tmp_path, GRID), Toy(tmp_path)
    held = ExitStack()
    first = held.enter_context(theirs.claim())

    def claim_late(file):
        if not theirs.study.trials[0].state.is_finished():
            theirs.run(first, toy.compose, toy.train)
            held.close()
        return claim(file)

    monkeypatch.setattr(search_folder, "claim", claim_late)
    with ours.claim() as second:
        assert second.number == 1


def test_a_grid_is_tried_once_and_in_order(tmp_path):
    tried = [trial.params for trial in work(tmp_path, GRID).study.trials]
    assert tried == [{"n": n, "word": word} for n in (1, 2, 3, 4) for word in "ab"]


def test_more_trials_go_on_and_other_settings_are_refused(tmp_path):
    few, more = (dataclasses.replace(GRID, trials=number) for number in (2, 3))
    assert len(work(tmp_path, few).study.trials) == 2
    assert len(work(tmp_path, more).study.trials) == 3
    other = dataclasses.replace(more, base=["max_examples=9"])
    with pytest.raises(ConfigError, match=r"begun with other settings: .*max_examples=9"):
        SearchFolder(tmp_path, other)


def test_a_damaged_file_of_trials_is_named(tmp_path):
    (tmp_path / "trials.db").write_bytes(b"torn" * 300)
    with pytest.raises(ValueError, match=r"trials\.db: cannot be read: .*not a database"):
        SearchFolder(tmp_path, GRID)


def test_without_pruning_every_trial_is_complete(tmp_path):
    search = dataclasses.replace(SEARCH, prune=False, trials=12)
    folder = work(tmp_path, search, evaluations=(0.5, 0.9))
    assert {trial.state for trial in folder.study.trials} == {TrialState.COMPLETE}


def test_a_run_at_its_end_is_not_pruned(tmp_path):
    folder = work(tmp_path, evaluations=(0.9,), steps=1)
    assert {trial.state for trial in folder.study.trials} == {TrialState.COMPLETE}


FAULTS = [
    ("compose", ConfigError("effective_batch_size=12: must be a multiple"), "fail"),
    ("train", CollapseError(step=9, onset=3, reason="a weight is not finite"), "pruned"),
    ("train", torch.OutOfMemoryError("tried to allocate 20 GiB"), "pruned"),
]


@pytest.mark.parametrize(("place", "error", "state"), FAULTS)
def test_a_trial_without_a_score_counts_and_says_why(place, error, state, tmp_path):

    def fail(*_, **__):
        raise error

    toy, folder = Toy(tmp_path), SearchFolder(tmp_path, dataclasses.replace(GRID, trials=1))
    setattr(toy, place, fail)
    with folder.claim() as trial:
        folder.run(trial, toy.compose, toy.train)
    assert folder.write_results() is None
    [row] = pd.read_csv(tmp_path / "trials.csv").to_dict("records")
    assert row["state"] == state
    assert row["why"] == str(error)
    with folder.claim() as trial:
        assert trial is None


def test_the_score_is_the_mean_of_its_runs_and_only_the_first_is_pruned(tmp_path):
    scores, watched = iter([0.2, 0.4]), []

    def train(_config, *, callbacks=()):
        watched.append(len(callbacks))
        value = next(scores)
        return SimpleNamespace(read_metrics=lambda: {"jaccard": value})

    folder = SearchFolder(tmp_path, GRID)
    with folder.claim() as trial:
        folder.run(trial, lambda *_, **__: [None, None], train)
    assert folder.study.best_value == pytest.approx(0.3)
    assert watched == [1, 0]


def test_while_another_process_runs_a_trial_nothing_is_reported(tmp_path, capsys):
    folder = work(tmp_path, dataclasses.replace(GRID, trials=3))
    more = SearchFolder(tmp_path, dataclasses.replace(GRID, trials=4))
    with more.claim():
        assert folder.write_results() is None
    assert "1 trials are unfinished; who ends the last one reports" in capsys.readouterr().out


def test_both_scores_are_reported_with_the_best_as_an_experiment(whole, capsys):
    best = whole.write_results()
    assert best.value == max(trial.value for trial in whole.study.trials if trial.state.value == 1)
    unseen = SimpleNamespace(read_metrics=lambda: {"jaccard": 0.1234})
    head = "# @package _global_\nname: toy_best\n"
    whole.report(best, [None], lambda _: unseen, experiment=head)
    printed = capsys.readouterr().out
    text = f"jaccard {best.value:.4f} where it searched (folds ['0'], seeds [1]), "
    text += "0.1234 where it did not (folds ['1'], seeds [2])"
    assert text in printed
    written = (whole.path / "experiment/toy_best.yaml").read_text().splitlines()
    assert written[0] == "# @package _global_"
    assert text in written[1]
    assert written[2] == "name: toy_best"


def test_the_table_and_the_plots_are_written(whole):
    whole.write_results()
    table = pd.read_csv(whole.path / "trials.csv")
    assert list(table) == ["trial", "state", "jaccard", "x", "n", "word", "why"]
    assert table["trial"].tolist() == list(range(13))
    for name in ("history.png", "importances.png"):
        assert (whole.path / name).read_bytes().startswith(b"\x89PNG")
