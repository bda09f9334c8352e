"""Every published value of the winner's recipes and training, against the composed configs."""

from dataclasses import astuple
from pathlib import Path

import pytest

from chaii.config.checks import check_train
from chaii.config.schema import (
    BackboneConfig,
    CutoutConfig,
    FoldScheme,
    FoldsConfig,
    RecipeConfig,
    SourceConfig,
    StageConfig,
)

CONF = Path(__file__).parents[2] / "conf"
NAMES = {"TyDi": ["tydi_primary"], "SQuAD": ["squad"], "Hindi": ["mlqa_hi", "xquad_hi"]}
NAMES |= {"NQ": ["natural_questions"], "chaii": ["chaii"]}
PLAIN = (
    "TyDi 384/192 .1; SQuAD 384/192; Hindi 384/192; chaii 384/192 .1",
    "TyDi 384/192 .1; NQ 384/192 .06; Hindi 384/192; chaii 384/192 .2",
)
IN_ORDER, SHUFFLED = False, True

# parts (all shuffled but the last where it says so), cutout, lengths to predict
RECIPES = {
    "winner_119": (
        "TyDi 256/128 .1; SQuAD 256/128; Hindi 256/112; chaii 256/112 .1",
        "TyDi 384/192 .1; NQ 384/192 .06; Hindi 384/128; chaii 384/192 .2",
        ("chaii 384/128 .3", IN_ORDER),
        0.1,
        "384/128",
    ),
    "winner_116": (
        "TyDi 256/128 .1; SQuAD 256/128; Hindi 256/128; chaii 256/128 .1",
        "TyDi 384/192 .1; NQ 256/128 .06; Hindi 384/128; chaii 384/192 .2",
        ("chaii 448/192", IN_ORDER),
        0.0,
        "448/192",
    ),
    "winner_122": (
        "TyDi 384/192 .1; SQuAD 384/192; Hindi 384/192; chaii 384/192 .1",
        "TyDi 448/224 .1; NQ 448/224 .06; Hindi 448/224; chaii 448/192 .2",
        None,
        0.03,
        "448/192",
    ),
    "winner_68": (*PLAIN, ("chaii 384/192", IN_ORDER), 0.0, "384/192"),
    "winner_71": (*PLAIN, ("chaii 384/192", IN_ORDER), 0.0, "384/192"),
    "winner_77": (*PLAIN, ("chaii 384/192", SHUFFLED), 0.0, "384/192"),
    "winner_126": (
        "TyDi 384/192 .1; SQuAD 384/192; NQ 384/192 .06; Hindi 384/192; chaii 384/128 .3",
        None,
        None,
        0.0,
        "384/128",
    ),
    "winner_52": ("TyDi 384/192 .1; SQuAD 384/192", None, None, 0.0, "384/192"),
}
EPOCHS = {"winner_52": 2}  # of the same windows
XLMR = ("FacebookAI/xlm-roberta-large", 1e-5, 8 * 4, 0.2)
# weights, learning rate, windows per step, share of warm-up
BACKBONES = {
    "winner_119": XLMR,
    "winner_116": XLMR,
    "winner_122": ("google/muril-large-cased", 2.5e-5, 8 * 4, 0.1),
    "winner_68": XLMR,
    "winner_71": ("google/muril-large-cased", 3e-5, 8 * 4, 0.1),
    "winner_77": ("google/rembert", 9e-6, 8 * 16, 0.1),
    "winner_126": ("google/rembert", 1e-5, 8 * 16, 0.1),
    "winner_52": XLMR,
}
FAMILIES = {
    XLMR[0]: "xlm-roberta",
    "google/muril-large-cased": "bert",
    "google/rembert": "rembert",
}


def read_lengths(text):
    max_length, doc_stride = map(int, text.split("/"))
    return {"max_length": max_length, "doc_stride": doc_stride}


def read_stage(text, *, shuffle=True, epochs=1):
    sources = []
    for part in text.split("; "):
        name, lengths, *negatives = part.split()
        share = float(negatives[0]) if negatives else 1.0
        for corpus in NAMES[name]:
            sources.append(SourceConfig(corpus, **read_lengths(lengths), negatives=share))
    return StageConfig(sources, shuffle=shuffle, epochs=epochs)


def read_recipe(name):
    first, second, third, cutout, predict = RECIPES[name]
    stages = [read_stage(first, epochs=EPOCHS.get(name, 1))]
    stages += [read_stage(second)] if second else []
    stages += [read_stage(third[0], shuffle=third[1])] if third else []
    lengths = {f"predict_{key}": value for key, value in read_lengths(predict).items()}
    return RecipeConfig(stages=stages, cutout=CutoutConfig(rate=cutout), **lengths)


@pytest.fixture(params=RECIPES)
def winner(request, compose_config):
    return check_train(compose_config("train", f"experiment={request.param}"))


def test_every_winner_experiment_is_in_the_table():
    shipped = {path.stem for path in (CONF / "experiment").glob("winner_*.yaml")}
    assert shipped == set(RECIPES) == set(BACKBONES)
    assert len(shipped) == 8


def test_recipes_are_the_winners(winner):
    assert winner.recipe == read_recipe(winner.name)


def test_backbones_and_rates_are_the_winners(winner):
    weights, rate, step, warmup = BACKBONES[winner.name]
    assert winner.backbone == BackboneConfig(
        name=winner.backbone.name,
        pretrained=weights,
        family=FAMILIES[weights],
        learning_rate=rate,
        warmup_ratio=warmup,
        encoder_millions=winner.backbone.encoder_millions,
        effective_batch_size=step,
        licence=winner.backbone.licence,
    )


def test_training_and_folds_are_the_winners(winner):
    trainer = winner.trainer
    assert trainer.per_device_train_batch_size == 8
    assert trainer.weight_decay == 0.01
    assert trainer.lr_scheduler_type == "linear"
    assert trainer.max_answer_tokens == 30
    assert trainer.max_steps is None
    assert winner.folds == FoldsConfig(["chaii"], 3, FoldScheme.stratified, 2021)
    assert winner.max_examples is None
    assert set(winner.corpora) == {
        "chaii",
        *(source.corpus for stage in winner.recipe.stages for source in stage.sources),
    }


@pytest.mark.parametrize("experiment", ["two_stage", "shuffled"])
def test_a_baseline_differs_from_winner_119_in_its_order_alone(experiment, compose_config):
    winner, baseline = (
        check_train(compose_config("train", f"experiment={name}"))
        for name in ("winner_119", experiment)
    )
    parts, others = (
        sorted(astuple(source) for stage in config.recipe.stages for source in stage.sources)
        for config in (winner, baseline)
    )
    assert parts == others
    assert baseline.recipe.cutout == winner.recipe.cutout
    assert baseline.recipe.predict_max_length == winner.recipe.predict_max_length
    assert (baseline.backbone, baseline.trainer) == (winner.backbone, winner.trainer)
    assert (baseline.folds, set(baseline.corpora)) == (winner.folds, set(winner.corpora))
