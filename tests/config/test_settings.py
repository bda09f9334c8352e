"""An old key is told its new name, which is a setting."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from chaii.config.compose import compose_config
from chaii.config.settings import RENAMED, find_renamed, list_renamed

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def settings():
    """A training's and an ensemble's settings in one."""
    return OmegaConf.merge(*(dict(compose_config(CONF, name)) for name in ("ensemble", "train")))


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_key_has_a_new_name_that_is_a_setting(old, settings):
    key = re.sub(r"\(\\w\+\)", "demo_squad", re.sub(r"\(\\d\+\)", "0", old))
    assert OmegaConf.select(settings, find_renamed(key), default="absent") != "absent"


def test_every_old_key_of_a_file_is_listed():
    old = {"trainer": {"batch_size": 8}, "recipe": {"stages": [{"ingredients": []}]}}
    assert list_renamed(old) == [
        "trainer.batch_size is now trainer.per_device_train_batch_size",
        "recipe.stages[0].ingredients is now recipe.stages.0.sources",
    ]


def test_a_key_that_was_never_renamed_has_no_new_name():
    assert find_renamed("trainer.num_workers") is None
