"""Every number of the schema has a rule, and every choice names what it may be."""

import dataclasses
import types
import typing
from copy import deepcopy
from enum import Enum
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from chaii.config.checks import check_ablate, check_ensemble, check_search, check_train
from chaii.config.compose import compose_config
from chaii.config.ensemble import EnsembleConfig
from chaii.config.errors import EXPECTED, describe_error
from chaii.config.schema import TrainConfig
from chaii.config.search import SearchScriptConfig
from chaii.config.study import AblateConfig

CONF = Path(__file__).parents[2] / "conf"
ROOTS = {
    "train": (TrainConfig, check_train),
    "ensemble": (EnsembleConfig, check_ensemble),
    "study": (AblateConfig, check_ablate),
    "search": (SearchScriptConfig, check_search),
}
NAMES = {
    "corpora": "demo_chaii",
    "weights": "demo_muril",
    "space": "backbone",
}  # a key of each dictionary
ANY_SIGN = {"method.decode.null_threshold"}


def list_keys(kind, key="", *, of):
    """The keys of all values of a type inside another; of lists and dictionaries, of one member."""
    options = [part for part in typing.get_args(kind) if part is not types.NoneType]
    if isinstance(kind, types.UnionType):
        return list_keys(options[0], key, of=of)
    if typing.get_origin(kind) is list:
        return list_keys(options[0], f"{key}.0", of=of)
    if typing.get_origin(kind) is dict:
        name = NAMES.get(key.rpartition(".")[2], "other")
        return list_keys(options[1], f"{key}.{name}", of=of)
    if not dataclasses.is_dataclass(kind):
        is_one = isinstance(kind, type) and issubclass(kind, of) and kind is not bool
        return [key.lstrip(".")] if is_one else []
    hints = typing.get_type_hints(kind)
    return [found for name in hints for found in list_keys(hints[name], f"{key}.{name}", of=of)]


NUMBERS, CHOICES = (
    [(root, key) for root, (kind, _) in ROOTS.items() for key in list_keys(kind, of=of)]
    for of in ((int, float), Enum)
)
COMPOSED = {}


def refuse(root, key, value):
    """The message with which a value is refused; an empty one where it is accepted."""
    if root not in COMPOSED:
        COMPOSED[root] = compose_config(CONF, root)
    config = deepcopy(COMPOSED[root])
    try:
        OmegaConf.update(config, key, value, force_add=True)
        ROOTS[root][1](config)
    except EXPECTED as error:
        return describe_error(error)
    return ""


def test_all_parts_of_the_schema_are_listed():
    keys = {key for _, key in NUMBERS}
    assert {"seed", "recipe.stages.0.sources.0.negatives", "ensemble.weights.demo_muril"} <= keys
    assert {"corpora.demo_chaii.max_examples", "time_budget", "study.seeds.0"} <= keys
    assert len(NUMBERS) >= 45
    assert ("ensemble", "method.tie") in CHOICES
    assert len(CHOICES) >= 20


@pytest.mark.parametrize(("root", "key"), NUMBERS)
def test_every_number_has_a_rule(root, key):
    leaf = key.removesuffix(".0").rpartition(".")[2]
    for value in (float("nan"), float("inf"), -1, "many"):
        message = refuse(root, key, value)
        if value == -1 and key in ANY_SIGN:
            continue
        assert leaf in message, f"{key}={value} is accepted"
        assert "\n" not in message


@pytest.mark.parametrize(("root", "key"), [one for one in CHOICES if ".hub." not in one[1]])
def test_every_choice_names_what_it_may_be(root, key):
    message = refuse(root, key, "guess")
    assert key.rpartition(".")[2] in message
    assert "Invalid value 'guess', expected one of" in message
