"""Ensemble finished runs and write a submission: ``python scripts/ensemble.py ensemble=demo``."""

from omegaconf import DictConfig

from chaii.config.checks import check_ensemble
from chaii.config.compose import hydra_script, load_libraries


@hydra_script("ensemble")
def main(config: DictConfig) -> None:
    """Check the configuration, then load the large libraries and predict."""
    checked = check_ensemble(config)
    load_libraries()
    from datasets import disable_progress_bars

    from chaii.ensemble.pipeline import make_submission

    disable_progress_bars()
    make_submission(checked)


if __name__ == "__main__":
    main()
