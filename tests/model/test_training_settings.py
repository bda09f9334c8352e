"""Every setting of a training acts: another value gives other weights."""

from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    PreTrainedModel,
    TrainingArguments,
)

from chaii.config.schema import Precision, TokenizerKind, Tracker, TrainerConfig
from chaii.model.collate import PlanDataset
from chaii.model.trainer import train_model, training_arguments

KIND = TokenizerKind.wordpiece


@pytest.fixture
def train(make_model, tiny_backbone, toy_plan, toy_store, tmp_path):
    """Train the tiny model; returns its weights as one vector, and the log."""

    def run(
        *, seed=1, rate_factor=1.0, dropout=0.0, learning_rate=1e-3, warmup_ratio=0.1, **options
    ):
        model = make_model(KIND)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        rates = {"learning_rate": learning_rate, "warmup_ratio": warmup_ratio}
        options = {"precision": Precision.fp32, "logging_steps": 1, "num_evaluations": 0} | options
        history = train_model(
            model,
            PlanDataset(toy_plan[KIND], {"toy": toy_store[KIND]}),
            backbone=tiny_backbone(KIND, effective_batch_size=8, **rates),
            trainer=TrainerConfig(**options),
            folder=Path(mkdtemp(dir=tmp_path)),
            seed=seed,
            rate_factor=rate_factor,
        )
        weights = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        return weights, history

    return run


SETTINGS = {
    "learning_rate": 2e-3,
    "warmup_ratio": 0.5,
    "weight_decay": 1.0,
    "max_grad_norm": 0.01,
    "lr_scheduler_type": "constant",
    "precision": Precision.bf16,
    "max_steps": 3,
    "rate_factor": 0.5,
}


PLAIN = {}  # the weights without any setting, trained once


@pytest.mark.parametrize(("setting", "value"), [(None, None), *SETTINGS.items()])
def test_another_value_gives_other_weights(setting, value, train):
    if not PLAIN:
        PLAIN["weights"] = train()[0]
    weights, _ = train(**{setting: value} if setting else {})
    assert torch.allclose(PLAIN["weights"], weights, atol=1e-6) == (setting is None)


def test_the_seed_draws_the_dropout(train):
    one, same, other = (train(dropout=0.2, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("setting", ["num_workers", "gradient_checkpointing"])
def test_how_a_batch_is_made_changes_no_weight(setting, train):
    torch.testing.assert_close(train()[0], train(**{setting: 1})[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("version", ["activation", "gradient"])  # of the library
@pytest.mark.filterwarnings("error::FutureWarning")
def test_activations_are_computed_twice_where_it_is_asked_for(asked, version, train, monkeypatch):
    told = []
    if version == "gradient":
        newer = "activation_checkpointing_enable"
        monkeypatch.delattr(PreTrainedModel, newer, raising=False)
    enable = f"{version}_checkpointing_enable"
    monkeypatch.setattr(PreTrainedModel, enable, lambda *_, **__: told.append(True), raising=False)
    train(gradient_checkpointing=asked, max_steps=1)
    assert told == [True] * asked


@pytest.mark.parametrize("learning_rate", [1e-3, 3e-4])
def test_the_highest_rate_is_the_configured_one_at_the_end_of_the_warm_up(learning_rate, train):
    _, history = train(learning_rate=learning_rate, warmup_ratio=0.4)
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    assert max(rates) == pytest.approx(learning_rate)
    assert np.argmax(rates) == 4  # of 9 steps, the first at rate 0


ARGUMENTS = {  # ours: another value, what the library is told
    "weight_decay": (0.3, {"weight_decay": 0.3}),
    "max_grad_norm": (0.3, {"max_grad_norm": 0.3}),
    "lr_scheduler_type": ("cosine", {"lr_scheduler_type": "cosine"}),
    "per_device_train_batch_size": (
        4,
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    ),
    "num_workers": (3, {"dataloader_num_workers": 3}),
    "logging_steps": (7, {"logging_steps": 7}),
    "precision": (Precision.bf16, {"bf16": True, "fp16": False}),
    "num_evaluations": (5, {"save_steps": 3, "save_strategy": "steps"}),
    "max_steps": (4, {"max_steps": 4}),
    "fsdp": (True, {"fsdp": True}),
    "tracker": (Tracker.tensorboard, {"report_to": ["tensorboard"]}),
}


@pytest.fixture
def translate(tiny_backbone, tmp_path):
    def run(**options):
        return training_arguments(
            100,
            backbone=tiny_backbone(KIND, effective_batch_size=8),
            trainer=TrainerConfig(**{"precision": Precision.fp32} | options),
            folder=tmp_path,
            seed=5,
            score=None,
        )

    return run


@pytest.mark.parametrize(("setting", "value", "told"), [(k, *v) for k, v in ARGUMENTS.items()])
def test_the_library_is_told(setting, value, told, translate):
    plain, changed = translate(), translate(**{setting: value})
    assert {name: getattr(changed, name) for name in told} == told
    assert any(getattr(plain, name) != getattr(changed, name) for name in told)
    assert plain.seed == 5
    assert plain.train_sampling_strategy == "sequential"
    assert not plain.logging_nan_inf_filter


@pytest.mark.parametrize(("processes", "batch_size", "batches"), [(1, 2, 4), (2, 2, 2), (4, 2, 1)])
def test_accumulation_is_divided_by_the_processes(
    processes, batch_size, batches, translate, monkeypatch
):
    joined = SimpleNamespace(num_processes=processes)
    monkeypatch.setattr("chaii.model.trainer.join_processes", lambda: joined)
    arguments = translate(per_device_train_batch_size=batch_size)
    assert arguments.gradient_accumulation_steps == batches


def test_one_process_that_sees_two_gpus_says_so_and_uses_one(translate, monkeypatch, capsys):
    # The number alone is faked: no test here has two GPUs.
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda told: told._n_gpu))
    setup = TrainingArguments._setup_devices.func

    def see_two(told):
        device = setup(told)
        told._n_gpu = 2
        return device

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(see_two))
    arguments = translate(per_device_train_batch_size=4)
    assert "2 GPUs are visible, 1 is used" in capsys.readouterr().out
    assert arguments.n_gpu == 1
    assert arguments.train_batch_size * arguments.gradient_accumulation_steps == 8


@pytest.mark.parametrize(
    "architecture", ["bert", "xlm-roberta", "rembert", "deberta-v2", "modernbert"]
)
def test_every_weight_takes_part_in_a_step(architecture):
    # several processes wait for each other's gradient of every weight
    sizes = dict.fromkeys(("hidden_size", "intermediate_size", "vocab_size"), 32)
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0}
    model = AutoModelForQuestionAnswering.from_config(AutoConfig.for_model(architecture, **sizes))
    model(input_ids=torch.arange(9)[None]).start_logits.sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(
    ("precision", "flags"),
    [("fp32", (False, False)), ("bf16", (True, False)), ("fp16", (False, True))],
)
def test_the_precision_sets_both_flags_of_the_library(precision, flags, translate):
    arguments = translate(precision=Precision[precision])
    assert (arguments.bf16, arguments.fp16) == flags
