"""Average, vote, and write a submission: ``python scripts/ensemble.py ensemble=demo``."""

from omegaconf import DictConfig

from chaii.config.checks import check_ensemble
from chaii.config.compose import hydra_script


@hydra_script("ensemble")
def main(config: DictConfig) -> None:
    """Check the configuration, then load what is heavy and predict."""
    checked = check_ensemble(config)
    from transformers.utils import logging

    from chaii.ensemble.pipeline import make_submission

    logging.set_verbosity_error()  # our own words and bars are enough
    logging.disable_progress_bar()
    make_submission(checked)


if __name__ == "__main__":
    main()
