"""Model cards: the metadata that the Hub reads, and text that strangers may have written."""

import dataclasses
import json
import re
from contextlib import nullcontext

import pytest
import yaml
from huggingface_hub import ModelCard
from omegaconf import OmegaConf

from chaii.config.checks import check_train
from chaii.config.errors import ConfigError
from chaii.config.schema import DistillConfig
from chaii.evaluation.model_card import choose_fold, render_card
from chaii.run_folder import RunFolder

HUB = {"squad": "rajpurkar/squad", "xquad_hi": "google/xquad"}
SCORES = {"jaccard": 0.71239, "exact": 0.5, "f1": 0.75, "rows": 9}
HARDWARE = {"cpu": "AMD EPYC", "cores": 2, "gpus": []}


@pytest.fixture
def make_fold(compose_config, tmp_path):
    """Make a finished fold without weights: its settings, scores and environment."""

    def make(*overrides, change=None, hardware=HARDWARE, **scores):
        config = check_train(compose_config("train", *overrides))
        if change:
            config = change(config)
        run = RunFolder(tmp_path, config.name, config.fold)
        run.begin(config, "data", {})
        environment = json.dumps(run.read_environment() | {"hardware": hardware})
        (run.path / "environment.json").write_text(environment, encoding="utf-8")
        run.finish({"windows": 7, "seconds": 60, "language": {"hindi": SCORES}} | scores)
        return run

    return make


def render(run, **options):
    return render_card(
        run, **{"repository": "me/demo", "licence": None, "hub_names": HUB} | options
    )


def test_the_metadata_are_those_of_the_run(make_fold):
    run = make_fold("experiment=rembert", **SCORES)
    data = ModelCard(render(run)).data
    assert data.language == ["bn", "en", "hi", "te"]
    assert (data.license, data.base_model) == ("apache-2.0", "google/rembert")
    assert data.datasets == ["google/xquad", "rajpurkar/squad"]
    assert (data.pipeline_tag, data.library_name) == ("question-answering", "transformers")
    assert data.model_name == "rembert"
    found = {(r.dataset_config, r.metric_type): r.metric_value for r in data.eval_results}
    assert len(found) == 6
    assert found[None, "jaccard"] == found["hindi", "jaccard"] == 0.7124
    assert found[None, "exact_match"] == 0.5


def test_the_example_has_the_windows_of_the_run(make_fold):
    lengths = "recipe.predict_max_length=77", "recipe.predict_doc_stride=11"
    card = render(make_fold(*lengths, "trainer.max_answer_tokens=9", **SCORES))
    assert 'Reader.from_pretrained("me/demo")' in card
    assert re.search(r"max_seq_len=77,.*\n *doc_stride=11,\n *max_answer_len=9,", card)


def test_a_run_from_before_a_setting_was_removed_has_the_same_card(make_fold):
    run = make_fold(**SCORES)
    card = render(run)
    assert write_balance(run, on=False) > 1
    assert render(run) == card


@pytest.mark.parametrize("on", [False, True])
def test_a_removed_setting_stops_a_run_only_where_it_was_on(make_fold, compose_config, on):
    run = make_fold(**SCORES)
    write_balance(run, on=on)
    changed = pytest.raises(ConfigError, match="balance: no such setting") if on else nullcontext()
    with changed:
        run.check(check_train(compose_config("train")))


def write_balance(run, *, on):
    """Give every source of a stored run the setting that older versions had; counts them."""
    config = OmegaConf.load(run.config)
    sources = [source for stage in config.recipe.stages for source in stage.sources]
    for source in sources:
        source["balance"] = on
    OmegaConf.save(config, run.config)
    return len(sources)


def test_a_licence_that_is_given_takes_the_place_of_the_backbones(make_fold):
    run = make_fold("experiment=muril", **SCORES)
    assert ModelCard(render(run)).data.license is None
    assert "No licence of the weights is stated" in render(run)
    assert ModelCard(render(run, licence="mit")).data.license == "mit"


def test_a_folder_of_weights_is_no_base_model(make_fold):
    run = make_fold("backbone.scratch=null", "backbone.pretrained=/home/me/weights", **SCORES)
    assert "/home/me" not in render(run)
    assert ModelCard(render(run)).data.base_model is None


def test_a_fold_that_held_out_nothing_has_no_scores(make_fold):
    card = render(make_fold("fold=all"))
    assert "## Scores" not in card
    assert ModelCard(card).data.eval_results is None


def test_the_fold_with_the_best_scores_is_chosen(make_fold):
    scores = {"all": {}, "0": SCORES, "1": SCORES | {"jaccard": 0.8}}
    folds = [make_fold(f"fold={fold}", **given) for fold, given in scores.items()]
    assert choose_fold(folds).fold == "1"
    assert choose_fold(folds[:2]).fold == "0"
    assert choose_fold(folds[:1]).fold == "all"


@pytest.mark.parametrize("score", [float("nan"), 1.5, "many", None])
def test_scores_that_are_none_are_refused(score, make_fold):
    run = make_fold(**SCORES | {"jaccard": score})
    with pytest.raises(ValueError, match=r"metrics\.json: cannot be read"):
        render(run)


EVIL = "</td><script>alert(1)</script>\n---\nlicense: mit\n```\n# [a](javascript:b) {{ 7 * 7 }} |"


def test_text_of_strangers_becomes_neither_markup_nor_metadata(make_fold):
    def change(config):
        corpora = {
            name: dataclasses.replace(corpus, homepage=EVIL, licence=EVIL)
            for name, corpus in config.corpora.items()
        }
        backbone = dataclasses.replace(config.backbone, licence=EVIL)
        return dataclasses.replace(config, corpora=corpora, backbone=backbone)

    hardware = HARDWARE | {"cpu": EVIL}
    languages = {"hindi": SCORES, EVIL: SCORES}
    run = make_fold(change=change, hardware=hardware, **SCORES | {"language": languages})
    card = render(run)
    begin, metadata, body = re.split("^---$", card, flags=re.M)
    assert begin == ""
    assert yaml.safe_load(metadata)["license"] == " ".join(EVIL.split())
    outside = re.sub(r"(?s)^```python\n.*?^```$", "", body, flags=re.M)
    assert "alert(1)" in outside
    assert r"{{ 7 \* 7 }}" in outside
    assert not re.search(r"<|(?<!\\)\[|^(# \[|```|license)", outside, re.M)
    assert {row.replace(r"\|", "").count("|") for row in outside.splitlines()} <= {0, 4, 6, 11}
    assert ModelCard(card).data.model_name == "demo_muril"


def test_settings_that_no_run_has_are_refused(make_fold):
    run = make_fold(**SCORES)
    text = run.config.read_text(encoding="utf-8")
    run.config.write_text(text.replace("seed: 2021", "seed: -1", 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.yaml: cannot be read: seed=-1"):
        render(run)


def test_the_teachers_of_a_student_are_named(make_fold):
    teach = {"change": lambda run: dataclasses.replace(run, distill=DistillConfig(["a", "<b>"]))}
    assert "It also learned from other models: a, &lt;b&gt;." in render(make_fold(**teach))
    assert "learned from" not in render(make_fold(**SCORES))
