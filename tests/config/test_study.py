"""Studies: the order of their runs, and the mistakes that are named at once."""

from pathlib import Path

import pytest

from chaii.config.checks import check_ablate
from chaii.config.compose import compose_config
from chaii.config.errors import ConfigError
from chaii.config.study import StudyConfig, list_overrides, list_runs

CONF = Path(__file__).parents[2] / "conf"
STUDY = StudyConfig("toy", ["a=1"], {"full": [], "short": ["b=2"]}, "full", [5, 6, 7], ["0", "1"])


def test_arms_have_equally_many_runs_at_any_moment():
    runs = list_runs(STUDY)
    assert [run.arm for run in runs] == ["full", "short"] * 3
    assert [run.seed for run in runs] == [5, 5, 6, 6, 7, 7]


def test_folds_are_dealt_to_the_seeds_in_turn():
    assert [run.fold for run in list_runs(STUDY)[::2]] == ["0", "1", "0"]


def test_an_arm_has_the_last_word_over_the_base_and_the_budget():
    study = StudyConfig("toy", ["a=1"], {"short": ["a=2"]}, "short", [5], tokens=9)
    overrides = list_overrides(study, list_runs(study)[0])
    assert overrides[:3] == ["a=1", "recipe.max_tokens=9", "a=2"]
    assert overrides[3:] == ["name=toy_short_s5", "fold=0", "seed=5"]


@pytest.mark.parametrize(
    ("override", "message"),
    {
        "study.reference=best": r"study.reference=best: must be one of the arms \['full'",
        "study.seeds=[1,1]": r"study.seeds=\[1, 1\]: name at least one, and each once",
        "study.seeds=[]": "name at least one",
        "study.folds=[]": "study.folds",
        "study.tokens=0": "study.tokens=0: must be at least 1",
    }.items(),
)
def test_a_broken_rule_names_key_value_and_rule(override, message):
    with pytest.raises(ConfigError, match=message):
        check_ablate(compose_config(CONF, "study", [override]))
