"""Searches: their values, and the mistakes in a range that are named at once."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from chaii.config.checks import check_search, check_train
from chaii.config.compose import compose_config
from chaii.config.errors import ConfigError
from chaii.config.search import (
    HyperSearchConfig,
    RangeConfig,
    RangeKind,
    SearchScriptConfig,
    list_overrides,
    list_probes,
    list_values,
)

CONF = Path(__file__).parents[2] / "conf"
RATE, BATCH, MIXED = "backbone.learning_rate", "backbone.effective_batch_size", "recipe.mixed"
SPACE = {
    RATE: RangeConfig(RangeKind.float, low=0.001, high=0.01, log=True),
    BATCH: RangeConfig(RangeKind.int, low=8, high=24, step=8),
    MIXED: RangeConfig(RangeKind.choice, choices=[True, False]),
}


def test_integers_have_steps_of_one_unless_told():
    assert list(list_values(SPACE[BATCH])) == [8, 16, 24]
    assert list(list_values(RangeConfig(RangeKind.int, low=1, high=3))) == [1, 2, 3]


def test_probes_hold_every_choice_and_both_ends():
    probes = list(list_probes(SPACE))
    assert {values[RATE] for values in probes} == {0.001, 0.01}
    assert {values[BATCH] for values in probes} == {8, 24}
    assert {values[MIXED] for values in probes} == {True, False}


def test_values_come_after_the_base_as_a_command_line_has_them():
    search = HyperSearchConfig("toy", ["experiment=demo_muril"])
    values = {MIXED: False, "backbone": "tiny_xlmr", "trainer.max_steps": None}
    written = list_overrides(search, values)
    assert written[1:] == ["recipe.mixed=false", "backbone=tiny_xlmr", "trainer.max_steps=null"]


FLOAT = {"kind": "float", "low": 0.1, "high": 0.3}
GROUP = {"kind": "choice", "choices": ["tiny_muril"]}
RANGES = {  # of a setting x, and what is said
    "an empty range": (FLOAT | {"high": 0.1}, "x: low=0.1, high=0.1: low must be below high"),
    "no end": ({"kind": "float", "low": 1}, "x: low=1.0, high=None: low must be below high"),
    "log of 0": (FLOAT | {"low": 0, "log": True}, "x: low=0.0, step=None: low must be above 0"),
    "log with steps": (FLOAT | {"log": True, "step": 0.1}, "step null, where log is true"),
    "a step too wide": (FLOAT | {"step": 0.5}, "x: step=0.5: must be above 0 and at most high"),
    "parts of an integer": ({"kind": "int", "low": 1, "high": 2.5}, "x: low=1.0, .* be integers"),
    "not a number": (FLOAT | {"high": float("nan")}, "x.high=nan: must be finite"),
    "no choice": ({"kind": "choice"}, r"x: choices=\[\]: must be words or numbers"),
    "a choice twice": ({"kind": "choice", "choices": ["a", "a"]}, "words or numbers, each once"),
    "a list as a choice": ({"kind": "choice", "choices": [[1], 2]}, "words or numbers, each once"),
    "choices of floats": (FLOAT | {"choices": [1]}, "and choices empty"),
    "ends of choices": (GROUP | {"low": 1}, "without low, high and step"),
    "no kind": ({"low": 1, "high": 2}, "x.kind: must be set"),
}
SPACES = {  # overrides, the space, and what is said
    "a grid without steps": (
        ["search.sampler=grid"],
        {"x": FLOAT},
        "x: step=null: must be set, for search.sampler=grid",
    ),
    "the search's own": ([], {"seed": FLOAT}, "search.space.seed: the search sets it itself"),
    "set by the base": (["search.base=['a.b=9']"], {"a.b": FLOAT}, "a.b: search.base sets it too"),
    "replaced by another": (
        [],
        {"a.b": GROUP, "a.b.c": FLOAT},
        "search.space.a.b.c: the choices of a.b replace it",
    ),
    "nothing searched": ([], {}, "search.space={}: must hold at least one range"),
}
OVERRIDES = {
    "search.base=['~recipe.cutout']": "search.base: ~recipe.cutout: no experiment can hold it",
    "search.base=['+corpora=squad']": "no experiment can hold it; write a group as corpora=",
    "search.trials=null": "search.trials=null: set it, or max_hours",
    "search.trials=0": "search.trials=0: must be at least 1",
    "search.seen.folds=[]": r"search.seen.folds=\[\]: name at least one",
    "search.unseen.seeds=[1,1]": r"search.unseen.seeds=\[1, 1\]: name at least one, and each once",
    "search.name=a/b": "search.name=a/b: must be a plain name",
}


def check_space(space, *overrides):
    """Check a search of other ranges; dots in their names cannot be written on a command line."""
    plain = OmegaConf.to_container(compose_config(CONF, "search", overrides))
    plain["search"]["space"] = space
    return check_search(OmegaConf.merge(OmegaConf.structured(SearchScriptConfig), plain))


@pytest.mark.parametrize("case", RANGES)
def test_a_mistake_in_a_range_names_key_value_and_rule(case):
    range_, message = RANGES[case]
    with pytest.raises(ConfigError, match=message):
        check_space({"x": range_})


@pytest.mark.parametrize("case", SPACES)
def test_ranges_that_do_not_fit_together_are_named(case):
    overrides, space, message = SPACES[case]
    with pytest.raises(ConfigError, match=message):
        check_space(space, *overrides)


@pytest.mark.parametrize("override", OVERRIDES)
def test_a_broken_rule_names_key_value_and_rule(override):
    with pytest.raises(ConfigError, match=OVERRIDES[override]):
        check_search(compose_config(CONF, "search", [override]))


def test_the_reported_score_is_of_runs_that_the_search_did_not_see():
    common = ["search.unseen.folds=[1,0]", "search.unseen.seeds=[1]"]
    with pytest.raises(ConfigError, match=r"search.unseen: must have other folds or other seeds"):
        check_search(compose_config(CONF, "search", common))
    assert check_search(compose_config(CONF, "search", common[:1]))
    assert check_search(compose_config(CONF, "search", common[1:]))


def test_a_group_and_its_settings_may_be_searched_together():
    assert check_space({"backbone": GROUP, "backbone.warmup_ratio": FLOAT})


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "search").glob("*.yaml")))
def test_the_ends_of_a_shipped_search_compose(name):
    search = check_search(compose_config(CONF, "search", [f"search={name}"])).search
    assert search.name == name
    for values in list_probes(search.space):
        overrides = [*list_overrides(search, values), "name=x"]
        assert check_train(compose_config(CONF, "train", overrides))
