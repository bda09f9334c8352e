"""Search the settings of a training: ``python scripts/search.py search=demo``."""

import os
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from chaii.config.checks import check_search
from chaii.config.compose import hydra_script, load_libraries
from chaii.config.errors import ConfigError
from chaii.config.experiment import compose_trial, write_experiment
from chaii.config.search import list_overrides, list_probes


@hydra_script("search")
def main(config: DictConfig) -> None:
    """Check all ranges, train what no process has trained or is training, report the best."""
    script = check_search(config)
    search, path = script.search, Path(script.paths.output, "search", script.search.name)
    if find_spec("optuna") is None:
        raise ConfigError("optuna: is not installed; run: pip install -e '.[search]'")
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ConfigError("search: each process has trials of its own; start it without torchrun")
    compose = partial(compose_trial, search, script.paths)
    for values in list_probes(search.space):
        compose(values, trial=0, scored_by=search.seen)  # a mistake in a range must not cost hours
        compose(values, trial=0, scored_by=search.unseen)
    load_libraries()
    from chaii.evaluation.search_folder import SearchFolder
    from chaii.files import claim
    from chaii.train import train_fold

    folder = SearchFolder(path, search)
    seconds = float("inf") if script.max_hours is None else 3600 * script.max_hours
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        with folder.claim() as trial:
            if trial is None:
                break
            folder.run(trial, partial(compose, scored_by=search.seen), train_fold)
    best = folder.write_results()
    with claim(path / ".locks" / "report") as is_ours:
        if best and is_ours:
            runs = compose(best.params, trial=best.number, scored_by=search.unseen)
            overrides = list_overrides(search, best.params)
            experiment = write_experiment(overrides, name=f"{search.name}_best")
            folder.report(best, runs, train_fold, experiment=experiment)


if __name__ == "__main__":
    main()
