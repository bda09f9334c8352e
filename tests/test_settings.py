"""Every setting of a recipe reaches the training: what the model is shown changes with it."""

import numpy as np
import pytest

import chaii.model.collate
import chaii.train
from chaii.config.checks import check_train
from chaii.model.collapse_guard import CollapseError

FEW = ("max_examples=40", "trainer.num_evaluations=0")


class ReachedTrainingError(Exception):
    """Stops a run where its training would begin."""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("settings")


@pytest.fixture
def begin(compose_config, output, monkeypatch):
    """Run a fold of the demo until its training begins; returns what the model would be shown."""

    def run(*overrides):
        caught = []

        def catch(model, dataset, **options):
            caught.append((model, dataset, options))
            raise ReachedTrainingError

        monkeypatch.setattr(chaii.train, "train_model", catch)
        config = compose_config(
            "train", *FEW, f"paths.output={output}", "overwrite=true", *overrides
        )
        with pytest.raises(ReachedTrainingError):
            chaii.train.train_fold(check_train(config))
        model, dataset, options = caught[0]
        features = [dataset[i] for i in range(0, len(dataset), 3)]
        return {
            "ids": [feature.input_ids.tolist() for feature in features],
            "labels": [feature.start_tokens.tolist() for feature in features],
            "lengths": [len(feature.input_ids) for feature in features],
            "weights": float(
                sum(weight.detach().double().abs().sum() for weight in model.parameters())
            ),
            "rate": options["rate_factor"],
            "seed": options["seed"],
            "learning_rate": options["backbone"].learning_rate,
            "distill": (options["distill"].temperature, options["distill"].weight),
        }

    return run


PLAIN = {}  # what it would be shown as shipped, prepared once


@pytest.fixture
def plain(begin):
    return PLAIN or PLAIN.update(begin()) or PLAIN


def test_nothing_changes_by_itself(begin, plain):
    assert begin() == plain


SOURCE = "recipe.stages.0.sources.0"
CHANGES = {  # what changes of that which the model is shown
    "seed=5": ["ids", "weights", "seed"],
    "recipe.cutout.rate=0.3": ["ids"],
    "recipe.cutout.span=4": ["ids"],
    "recipe.cutout.question=false": ["ids"],
    "recipe.mixed=true": ["ids", "lengths"],
    "recipe.stages.0.shuffle=false": ["ids", "lengths"],
    "recipe.stages.0.epochs=2": ["ids", "lengths"],
    f"{SOURCE}.max_length=64": ["ids", "lengths"],
    f"{SOURCE}.doc_stride=8": ["ids"],
    f"{SOURCE}.negatives=1.0": ["ids", "lengths"],
    f"{SOURCE}.crop=false": ["ids"],
    f"{SOURCE}.max_examples=5": ["ids", "lengths"],
    "corpora.demo_chaii.labels=all": ["labels"],
    "backbone.effective_batch_size=16": ["lengths"],
    "backbone.learning_rate=0.5": ["learning_rate"],
    "backbone.config.hidden_size=32": ["weights"],
    "backbone.shrink=true": ["weights"],
    "distill.temperature=5": ["distill"],
    "distill.weight=0.9": ["distill"],
    "fold=1": ["ids"],
    "folds.seed=7": ["ids"],
    "max_examples=20": ["ids", "lengths"],
}


@pytest.mark.parametrize(("setting", "changed"), CHANGES.items())
def test_a_setting_acts(setting, changed, begin, plain):
    shown = begin(setting)
    assert {name for name in changed if shown[name] == plain[name]} == set()


def test_cutout_alone_masks(begin, plain):
    clean, cut = begin("recipe.cutout.rate=0"), begin("recipe.cutout.rate=0.3")
    assert clean["lengths"] == cut["lengths"] == plain["lengths"]
    assert clean["labels"] == cut["labels"]
    masked = np.concatenate(
        [np.not_equal(a, b) for a, b in zip(clean["ids"], cut["ids"], strict=True)]
    )
    assert 0.2 < masked.mean() < 0.35


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_the_order_is_the_same_for_any_batch_size(batch_size, begin, plain):
    shown = begin(f"trainer.per_device_train_batch_size={batch_size}")
    assert shown == plain


def flip_a_byte(output):
    file = max(output.glob("tokens/*/*/input_ids.bin"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


def test_verify_compares_every_byte_of_a_large_store(compose_config, output, monkeypatch, capsys):
    monkeypatch.setattr("chaii.recipe.token_store._SMALL", 0)

    def count_notices(verify):
        overrides = (*FEW, f"paths.output={output}", f"verify={verify}")
        capsys.readouterr()
        chaii.train.prepare_fold(check_train(compose_config("train", *overrides)))
        return capsys.readouterr().out.count("damaged; its texts are tokenised again")

    assert count_notices("true") == 0
    flip_a_byte(output)
    assert count_notices("false") == 0
    assert count_notices("true") == 1


def test_cutout_is_drawn_by_the_seed_of_the_training(begin, monkeypatch):
    seeds = []
    draw = chaii.model.collate.window_generator

    def spy(seed, position):
        seeds.append(seed)
        return draw(seed, position)

    monkeypatch.setattr(chaii.model.collate, "window_generator", spy)
    begin("seed=5", "recipe.cutout.rate=0.3")
    assert set(seeds) == {5}


def test_the_number_of_threads_reaches_torch(begin, monkeypatch):
    told = []
    monkeypatch.setattr("torch.set_num_threads", told.append)
    begin("trainer.num_threads=3")
    assert told == [3]


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_restart_halves_the_rate_and_draws_the_rest_anew(
    restarts, compose_config, output, monkeypatch
):
    seen = []

    def collapse(_, dataset, **options):
        first = [dataset[i].input_ids.tolist() for i in range(9)]
        seen.append((options["rate_factor"], options["seed"], first))
        raise CollapseError(step=2, onset=1, reason="a test")

    monkeypatch.setattr(chaii.train, "train_model", collapse)
    overrides = (*FEW, f"paths.output={output}", "overwrite=true", "recipe.cutout.rate=0")
    overrides += (f"trainer.restarts={restarts}",)
    with pytest.raises(CollapseError):
        chaii.train.train_fold(check_train(compose_config("train", *overrides, "name=collapsing")))
    assert [(rate, seed) for rate, seed, _ in seen] == [(1.0, 2021), (0.5, 2022)][: restarts + 1]
    assert len({str(first) for *_, first in seen}) == len(seen)
