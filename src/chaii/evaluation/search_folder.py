"""The folder of a hyper-parameter search: its trials, who works on them, and what they show."""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import product
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import torch
from filelock import FileLock
from optuna import pruners
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization.matplotlib import plot_optimization_history, plot_param_importances
from transformers import TrainerCallback

from chaii.config.errors import ConfigError, list_first
from chaii.config.schema import TrainConfig
from chaii.config.search import (
    HyperSearchConfig,
    RangeConfig,
    RangeKind,
    Sampler,
    list_overrides,
    list_values,
)
from chaii.config.settings import describe_changes
from chaii.files import claim, reading, save_text, write_whole
from chaii.model.collapse_guard import CollapseError
from chaii.run_folder import RunFolder

_CHANGEABLE = {"name", "trials", "unseen"}  # what may change in a search that has begun

Compose = Callable[..., Sequence[TrainConfig]]  # as chaii.config.experiment.compose_trial
Train = Callable[..., RunFolder]  # as chaii.train.train_fold


class SearchFolder:
    """Trials of a search in SQLite; several processes, also after kills, share them.

    A trial is begun with all its values at once, and held by a lock file while a process works on
    it. One that is begun and not held was left by a process that was killed: it is taken up again,
    and its run resumes.

    Raises:
        ConfigError: the folder holds a search of this name with other settings.
        ValueError: its trials cannot be read.
    """

    def __init__(self, path: Path, search: HyperSearchConfig) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path, self._search = path, search
        self._space = {key: _make_distribution(choice) for key, choice in search.space.items()}
        self._limit, self._grid = search.trials or inf, None
        if search.sampler is Sampler.grid:
            self._grid = list(product(*map(list_values, search.space.values())))
            self._limit = min(self._limit, len(self._grid))
        self._locks = path / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)
        settings = {key: value for key, value in asdict(search).items() if key not in _CHANGEABLE}
        settings = json.loads(json.dumps(settings, default=lambda option: option.value))
        with FileLock(self._locks / "next"), reading(path / "trials.db"):
            waiting = {"connect_args": {"timeout": 100}}  # seconds, while other processes write
            self._storage = optuna.storages.RDBStorage(f"sqlite:///{path / 'trials.db'}", waiting)
            pruner = pruners.MedianPruner() if search.prune else pruners.NopPruner()
            how = {"direction": "maximize", "load_if_exists": True, "pruner": pruner}
            self.study = optuna.create_study(storage=self._storage, study_name=search.name, **how)
            begun = self.study.user_attrs.get("settings", settings)
            self.study.set_user_attr("settings", begun)
        if changes := describe_changes(begun, settings):
            changed = list_first(changes, separator="; ")
            raise ConfigError(f"{path}: begun with other settings: {changed}. Take another name")

    @contextmanager
    def claim(self) -> Iterator[optuna.Trial | None]:
        """Hold a trial for this process: one that was left, else a new one; None: all are taken."""
        with ExitStack() as held:
            with FileLock(self._locks / "next"):
                trial = self._take(held)
            yield trial

    def _take(self, held: ExitStack) -> optuna.Trial | None:
        states = self._list_states()
        for number in range(int(min(self._limit, len(states) + 1))):
            is_new = number == len(states)
            if not is_new and states[number].is_finished():
                continue
            if held.enter_context(claim(self._locks / f"trial{number}")):
                if is_new:
                    self._begin(number)
                elif self._list_states()[number].is_finished():  # since the states were read
                    continue
                study = self._storage.get_study_id_from_name(self._search.name)
                own = self._storage.get_trial_id_from_study_id_trial_number(study, number)
                return optuna.Trial(self.study, own)
        return None

    def _list_states(self) -> list[TrialState]:
        return [trial.state for trial in self.study.get_trials(deepcopy=False)]

    def _begin(self, number: int) -> None:
        """Begin a trial, whose values depend on its number and the trials before it alone."""
        if self._grid is not None:
            values = dict(zip(self._space, self._grid[number], strict=True))
        else:
            seed = np.random.SeedSequence([self._search.seed, number]).generate_state(1)
            sampler = optuna.samplers.TPESampler(seed=int(seed[0]))
            draft = optuna.create_study(direction="maximize", sampler=sampler)
            draft.add_trials(self.study.get_trials())
            values = draft.ask(self._space).params
        begun = {"params": values, "distributions": self._space}
        self.study.add_trial(optuna.create_trial(state=TrialState.RUNNING, **begun))

    def run(self, trial: optuna.Trial, compose: Compose, train: Train) -> None:
        """Train the runs of a trial, and keep their mean Jaccard.

        A trial whose values break a rule fails. Where the first run is pruned, or any run collapses
        or does not fit into the GPU's memory, the others are not begun, and it is removed.
        """
        values = list_overrides(self._search, trial.params)[len(self._search.base) :]
        print(f"\ntrial {trial.number}: {' '.join(values)}", flush=True)
        try:
            runs = compose(trial.params, trial=trial.number)
        except ConfigError as why:
            return self._drop(trial, TrialState.FAIL, why)
        scores: list[float] = []
        for run in runs:
            try:
                trained = train(run, callbacks=[] if scores else [ReportScores(trial)])
            except (optuna.TrialPruned, CollapseError, torch.OutOfMemoryError) as why:
                unfinished = RunFolder(Path(run.paths.runs), run.name, run.fold)
                shutil.rmtree(unfinished.path, ignore_errors=True)
                return self._drop(trial, TrialState.PRUNED, why)
            scores.append(trained.read_metrics()["jaccard"])
        self.study.tell(trial.number, mean(scores))
        best = self.study.best_trial
        print(f"trial {trial.number}: jaccard {mean(scores):.4f}; best: trial {best.number}")
        return None

    def _drop(self, trial: optuna.Trial, state: TrialState, why: Exception) -> None:
        """End a trial without a score."""
        trial.set_user_attr("why", str(why))
        self.study.tell(trial.number, state=state)
        print(f"trial {trial.number}: {state.name.lower()}: {why}")

    def write_results(self) -> FrozenTrial | None:
        """Write the table of trials, and Optuna's plots of history and importance.

        Returns:
            The best trial; None, and a line that says why, where it cannot be known yet.
        """
        rows = [
            {"trial": trial.number, "state": trial.state.name.lower(), "jaccard": trial.value}
            | {key: trial.params[key] for key in self._space}
            | {"why": trial.user_attrs.get("why", "")}
            for trial in self.study.get_trials(deepcopy=False)
        ]
        with write_whole(self.path / "trials.csv") as building:
            pd.DataFrame(rows).to_csv(building, index=False)
        states = [row["state"] for row in rows]
        if running := states.count("running"):
            print(f"{self.path}: {running} trials are unfinished; who ends the last one reports")
            return None
        if "complete" not in states:
            print(f"{self.path}: none of {len(rows)} trials is complete; trials.csv says why")
            return None
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        draw = {"history": plot_optimization_history, "importances": plot_param_importances}
        for name, plot in draw.items() if states.count("complete") > 1 else ():
            with plt.rc_context(), write_whole(self.path / f"{name}.png") as building:
                plot(self.study).figure.savefig(building, format="png", bbox_inches="tight")
                plt.close()
        return self.study.best_trial

    def report(
        self, best: FrozenTrial, runs: Sequence[TrainConfig], train: Train, *, experiment: str
    ) -> None:
        """Train the best values on what the search did not see; print and write both scores."""
        unseen = mean(train(run).read_metrics()["jaccard"] for run in runs)
        search, name = self._search, f"{self._search.name}_best"
        note = (
            f"Trial {best.number} of {len(self._list_states())} of search {search.name}: "
            f"jaccard {best.value:.4f} where it searched (folds {search.seen.folds}, "
            f"seeds {search.seen.seeds}), {unseen:.4f} where it did not "
            f"(folds {search.unseen.folds}, seeds {search.unseen.seeds})."
        )
        head, rest = experiment.split("\n", maxsplit=1)
        save_text(self.path / "experiment" / f"{name}.yaml", f"{head}\n# {note}\n{rest}")
        print(f"\n{note}\n{self.path}: trials.csv, history.png, importances.png, experiment/")
        print(f"python scripts/train.py --config-dir {self.path} experiment={name}")


class ReportScores(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Reports the Jaccard of each evaluation of a run to a trial, and stops it where it is poor."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def on_evaluate(self, _args: Any, state: Any, _control: Any, metrics: Any, **_: Any) -> None:
        """Report, by the number of the evaluation: the steps of two trials may differ.

        Raises:
            TrialPruned: the trial is below the median of those before, and the run not at its end.
        """
        number = sum("eval_jaccard" in line for line in state.log_history)
        score = metrics["eval_jaccard"]
        known = self._trial.study.get_trials(deepcopy=False)[self._trial.number]
        if number not in known.intermediate_values:  # a run that resumes may come by once more
            self._trial.report(score, number)
        if state.global_step < state.max_steps and self._trial.should_prune():
            raise optuna.TrialPruned(f"evaluation {number}: jaccard {score:.4f}, below the median")


def _make_distribution(choice: RangeConfig) -> Any:
    if choice.kind is RangeKind.choice:
        return optuna.distributions.CategoricalDistribution(choice.choices)
    ends = {"low": choice.low, "high": choice.high, "log": choice.log}
    if choice.kind is RangeKind.int:
        return optuna.distributions.IntDistribution(**ends, step=choice.step or 1)
    return optuna.distributions.FloatDistribution(**ends, step=choice.step)
