"""Train a fold of a student of other runs: ``scripts/distill.py name=b distill.teachers=[a]``."""

from omegaconf import DictConfig

from chaii.config.checks import check_train
from chaii.config.compose import hydra_script, load_libraries
from chaii.config.errors import ConfigError


@hydra_script("train")
def main(config: DictConfig) -> None:
    """Check that there is a teacher, tell who teaches whom, then train as scripts/train.py does."""
    checked = check_train(config)
    distill = checked.distill
    if not distill.teachers:
        raise ConfigError("distill.teachers=[]: name the finished runs that teach")
    print(
        f"{checked.name}, fold {checked.fold}: a student of {', '.join(distill.teachers)}, whose "
        f"share of the loss is {distill.weight:g}, at temperature {distill.temperature:g}"
    )
    load_libraries()
    from chaii.train import train_fold

    train_fold(checked)


if __name__ == "__main__":
    main()
