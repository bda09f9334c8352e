"""Studies: the order of their runs, and the mistakes that are named at once."""

from pathlib import Path

import pytest
import yaml

from chaii.config.checks import check_ablate, check_train
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


STUDIES = sorted(path.stem for path in (CONF / "study").glob("*.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_of_a_shipped_study_composes(name):
    study = check_ablate(compose_config(CONF, "study", [f"study={name}"])).study
    assert study.name == name
    composed = [
        check_train(compose_config(CONF, "train", list_overrides(study, run)))
        for run in list_runs(study)[: len(study.arms)]
    ]
    recipes = [
        (config.recipe, config.corpora, config.backbone, config.distill) for config in composed
    ]
    assert all(recipes.count(recipe) == 1 for recipe in recipes)


ARM_RECIPES = [
    path
    for base in ("english_chaii", "hindi_scratch")
    for path in (CONF / "recipe" / base).iterdir()
]
CHANGED = {  # the fields of sources that an arm's recipe may change
    "crop": {"crop"},
    "final_length": {"max_length", "doc_stride", "max_examples"},
    "negatives_0": {"negatives", "max_examples"},
    "negatives_10": {"negatives"},
    "negatives_30": {"negatives"},
    "negatives_all": {"negatives"},
    "no_squad": {"corpus", "max_examples"},
    "no_squad_articles": {"corpus", "max_examples"},
    "no_tydi": {"corpus", "max_examples"},
    "reverse": set(),
    "target_last": {"corpus", "max_examples"},
}


@pytest.mark.parametrize("path", ARM_RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_recipe_of_an_arm_changes_only_what_its_name_says(path):
    base = yaml.safe_load(path.parent.with_suffix(".yaml").read_text(encoding="utf-8"))
    arm = yaml.safe_load(path.read_text(encoding="utf-8"))
    changed = CHANGED[path.stem]
    stages = arm["stages"][::-1] if path.stem == "reverse" else arm["stages"]
    assert {key: arm[key] for key in arm if key != "stages"} == {
        key: base[key] for key in base if key != "stages"
    }
    for ours, theirs in zip(stages, base["stages"], strict=True):
        assert ours.get("shuffle") == theirs.get("shuffle")
        kept = {source["corpus"]: source for source in theirs["sources"]}
        if "corpus" in changed:
            kept = {source["corpus"]: kept[source["corpus"]] for source in ours["sources"]}
        assert [source["corpus"] for source in ours["sources"]] == list(kept)
        for source in ours["sources"]:
            before = kept[source["corpus"]]
            names = {name for name in {*source, *before} if source.get(name) != before.get(name)}
            assert names <= changed
