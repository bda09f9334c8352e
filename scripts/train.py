"""Train one fold of one run: ``python scripts/train.py experiment=demo_muril fold=0``."""

from omegaconf import DictConfig

from chaii.config.checks import check_train
from chaii.config.compose import hydra_script, load_libraries


@hydra_script("train")
def main(config: DictConfig) -> None:
    """Check the configuration, then load the large libraries and train."""
    checked = check_train(config)
    load_libraries()
    from chaii.train import train_fold

    train_fold(checked)


if __name__ == "__main__":
    main()
