"""Train the missing runs of a study, then compare its arms: ``scripts/ablate.py study=demo``."""

import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from chaii.config.checks import check_ablate, check_train
from chaii.config.compose import hydra_script, load_libraries
from chaii.config.schema import TrainConfig
from chaii.config.study import AblateConfig, StudyRun, list_overrides, list_runs


def compose_run(config: AblateConfig, run: StudyRun) -> TrainConfig:
    """Compose and check the configuration of one run."""
    composed = hydra.compose("train", overrides=list_overrides(config.study, run))
    composed.paths = config.paths
    return check_train(composed)


@hydra_script("study")
def main(config: DictConfig) -> None:
    """Check all arms, train what no process has trained or is training, compare."""
    checked = check_ablate(config)
    study, runs = checked.study, list_runs(checked.study)
    for run in runs[: len(study.arms)]:
        compose_run(checked, run)  # a mistake in the last arm must not cost hours
    load_libraries()
    from chaii.evaluation.leaderboard import write_table
    from chaii.evaluation.study import StudyFolder
    from chaii.run_folder import RunFolder
    from chaii.train import train_fold

    folder = StudyFolder(Path(checked.results, study.name))
    began = time.monotonic()
    for run in runs:
        if checked.max_hours is not None and time.monotonic() - began >= 3600 * checked.max_hours:
            break
        with folder.claim(run) as is_ours:
            settings = compose_run(checked, run)
            if not is_ours or folder.holds(run, settings):
                continue
            begun = RunFolder(Path(checked.paths.runs), run.name, run.fold).path.exists()
            before = time.process_time()
            trained = train_fold(settings)
            seconds = None if begun else time.process_time() - before
            folder.add(run, trained, overrides=study.arms[run.arm], cpu_seconds=seconds)
    table = folder.report(study, rounds=checked.rounds)
    print("\n" + table)
    if checked.readme:
        write_table(Path(checked.readme), table, name=f"study {study.name}")


if __name__ == "__main__":
    main()
