"""Training: the plan's order, one schedule, and nothing that depends on how the work is cut."""

import json
import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import RemBertModel, TrainerCallback

from chaii.config.schema import CutoutConfig, Precision, TokenizerKind, TrainerConfig
from chaii.model.collate import PlanDataset
from chaii.model.predict import predict_logits
from chaii.model.trainer import PlanTrainer, summarise_log, train_model
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import finished_input, slide

KIND = TokenizerKind.wordpiece


@pytest.fixture
def train(make_model, tiny_backbone, toy_plan, toy_store, tmp_path):
    """Train the tiny model on the toy plan; returns the model and the log."""

    def run(*, folder="checkpoints", score=None, cutout=0.0, model=None, windows=None, **options):
        model = model or make_model(KIND)
        store, plan = toy_store[KIND], toy_plan[KIND][:windows]
        config = CutoutConfig(rate=cutout)
        options = {
            "per_device_train_batch_size": 8,
            "num_evaluations": 2,
            "logging_steps": 1,
            "precision": Precision.fp32,
        } | options
        history = train_model(
            model,
            PlanDataset(plan, {"toy": store}, cutout_config=config, seed=1),
            backbone=tiny_backbone(KIND, effective_batch_size=8),
            trainer=TrainerConfig(**options),
            folder=tmp_path / folder,
            seed=1,
            score=score,
        )
        return model, history

    return run


def losses(history):
    return [entry["loss"] for entry in history if "loss" in entry]


def test_the_model_sees_the_plan_in_its_order(train, make_model, toy_plan, toy_store):
    model, seen = make_model(KIND), []
    forward = model.forward

    def watch(*args, **kwargs):
        ids, mask = kwargs["input_ids"], kwargs["attention_mask"].bool()
        seen.extend(row[keep].tolist() for row, keep in zip(ids, mask, strict=True))
        return forward(*args, **kwargs)

    model.forward = watch
    train(model=model)
    windows = toy_plan[KIND].itertuples()
    plan = [finished_input(toy_store[KIND], window)[0].tolist() for window in windows]
    assert seen[: len(plan)] == plan
    assert seen[len(plan) :] == [plan[-1]] * (-len(plan) % 8)  # they weigh nothing


@pytest.fixture
def type_ids(monkeypatch):
    """The token types that any RemBERT gets to see."""
    seen, forward = [], RemBertModel.forward

    def watch(*args, **kwargs):
        seen.append(kwargs["token_type_ids"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(RemBertModel, "forward", watch)
    return seen


def test_rembert_gets_token_types_though_its_tokenizer_lists_none(
    make_model, tiny_backbone, tokenizers, make_examples, tmp_path, type_ids, monkeypatch
):
    kind = TokenizerKind.unigram_bert
    tokenizer = tokenizers[kind.value]
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids", "attention_mask"])
    store = open_store(make_examples([("क्या?", "गंगा नदी है।", "नदी", 5)] * 8), tokenizer, tmp_path)
    windows = slide(store, max_length=64, doc_stride=16)
    plan = windows.assign(corpus=pd.Categorical(["toy"] * len(windows)))
    model = make_model(kind)
    train_model(
        model,
        PlanDataset(plan, {"toy": store}),
        backbone=tiny_backbone(kind, effective_batch_size=8),
        trainer=TrainerConfig(precision=Precision.fp32),
        folder=tmp_path / "checkpoints",
        seed=1,
    )
    predict_logits(model, plan, store, batch_size=8)
    assert [types.unique().tolist() for types in type_ids] == [[0, 1], [0, 1]]


@pytest.mark.parametrize("windows", [40, 43, 45])  # the last step: complete, 3 and 5 windows
def test_accumulation_gives_the_losses_of_the_large_batch(windows, train):
    _, expected = train(folder="large", windows=windows)
    _, measured = train(folder="small", windows=windows, per_device_train_batch_size=2)
    np.testing.assert_allclose(losses(measured), losses(expected), atol=1e-5, rtol=0)
    assert len(losses(expected)) == -(-windows // 8)


class KilledError(Exception):
    """A process that dies."""


class Killer(TrainerCallback):
    """Dies in the step after the first checkpoint."""

    def on_step_begin(self, _args, state, _control, **_kwargs):
        if state.global_step == 5:
            raise KilledError


class KilledTrainer(PlanTrainer):
    """A trainer with a killer inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.add_callback(Killer())


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_killed_training_resumes_to_the_very_same_weights(
    train, make_model, monkeypatch, dropout
):
    def fresh():
        model = make_model(KIND)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        return model

    steps = []
    compute = PlanTrainer.compute_loss

    def count(*args, **kwargs):
        steps.append(args)
        return compute(*args, **kwargs)

    monkeypatch.setattr(PlanTrainer, "compute_loss", count)
    whole, _ = train(model=fresh(), folder="whole", cutout=0.2)
    all_steps = len(steps)
    with monkeypatch.context() as patch:
        patch.setattr("chaii.model.trainer.PlanTrainer", KilledTrainer)
        with pytest.raises(KilledError):
            train(model=fresh(), folder="parts", cutout=0.2)
    steps.clear()
    resumed, _ = train(model=fresh(), folder="parts", cutout=0.2)
    assert 0 < len(steps) < all_steps
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize(("best", "kept"), [(True, 0), (False, 1)])
def test_the_best_weights_by_jaccard_or_the_last_are_kept(train, best, kept):
    scores, weights = iter([0.9, 0.1, 0.1]), []

    def score(model):
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"jaccard": next(scores)}

    model, history = train(score=score, load_best_model_at_end=best)
    assert [entry["eval_jaccard"] for entry in history if "eval_jaccard" in entry] == [0.9, 0.1]
    again, _ = train(score=score, load_best_model_at_end=best)  # a process killed after the end
    for state in (model.state_dict(), again.state_dict()):
        for name, tensor in state.items():
            torch.testing.assert_close(tensor, weights[kept][name], atol=0, rtol=0)


def test_one_schedule_spans_the_whole_plan(train):
    _, history = train(num_evaluations=1)
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    assert np.argmax(rates) <= 1  # warm-up is a tenth of the steps
    assert all(late < early for early, late in pairwise(rates[1:]))
    assert rates[-1] < 0.2 * max(rates)


def test_activations_can_be_computed_twice(train):
    _, expected = train(folder="once")
    _, measured = train(folder="twice", gradient_checkpointing=True)
    np.testing.assert_allclose(losses(measured), losses(expected), atol=1e-4)


def test_training_can_be_stopped_early(train):
    _, history = train(max_steps=2)
    assert len(losses(history)) == 2


def test_a_rate_is_lowered_where_the_score_stays(train):
    scores = iter([0.5, 0.9, *[0.1] * 7])
    options = {"lr_scheduler_type": "reduce_lr_on_plateau", "num_evaluations": 40}
    _, history = train(score=lambda _: {"jaccard": next(scores)}, **options)
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    assert rates[0] == rates[2] == 1e-3
    assert rates[-1] < 0.2 * rates[0]


def test_a_log_holds_no_number_that_json_lacks():
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": math.nan, "grad_norm": math.inf}]
    lines = summarise_log([*log, {"step": 3, "loss": 4.0}])
    assert lines[1] == {"grad_norm": None, "loss": None, "step": 2}
    json.dumps(lines, allow_nan=False)
    assert lines[-1]["train_loss"] == pytest.approx((2.0 * 1 + 4.0 * 2) / 3)
