"""A student takes over its teacher's probabilities, which follow the windows of the plan."""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
import torch

from chaii.config.schema import CutoutConfig, DistillConfig, Precision, TokenizerKind, TrainerConfig
from chaii.model.collate import PlanDataset, collate
from chaii.model.loss import teacher_loss
from chaii.model.predict import predict_logits
from chaii.model.trainer import train_model
from chaii.recipe.windows import crop, finished_input

KIND = TokenizerKind.wordpiece


def make_teacher(plan):
    """A teacher who expects each answer to start at the first context token or at [CLS]."""
    parts = []
    for width in (plan["context_to"] - plan["context_from"]).to_numpy():
        chances = np.full((2, width + 1), 0.1 / width)
        chances[0, 1] = chances[1, -1] = 0.6
        chances[:, 0] = 0.4 - 0.1 + 0.1 / width
        parts.append(np.log(chances))
    return np.concatenate(parts, axis=1).astype(np.float16)


def measure(model, plan, store, teacher):
    """Mean divergence from the teacher over windows and sides, and the student's probabilities."""
    logits = predict_logits(
        model, plan, store, batch_size=32, precision=Precision.fp32, progress=False
    )
    size = (plan["context_to"] - plan["context_from"]).to_numpy()
    edges = np.cumsum(size)[:-1]
    losses, chances = [], []
    for side, half in enumerate(logits[:2]):
        parts = np.split(teacher[side], np.cumsum(size + 1)[:-1])
        for null, row, told in zip(logits.null[:, side], np.split(half, edges), parts, strict=True):
            ours = torch.from_numpy(np.append(null, row)[None].astype(np.float32))
            theirs = torch.from_numpy(told[None].astype(np.float32))
            losses.append(float(teacher_loss(ours, theirs, 1.0)))
            chances.append(ours.softmax(dim=1)[0].numpy())
    return np.mean(losses), chances


@pytest.fixture
def train(make_model, tiny_backbone, toy_store, tmp_path):
    """Train the tiny model on its teacher; returns it."""

    def run(plan, teacher, *, kind=KIND, **distill):
        model = make_model(kind)
        train_model(
            model,
            PlanDataset(plan, {"toy": toy_store[kind]}, teacher=teacher),
            backbone=tiny_backbone(kind, effective_batch_size=8, learning_rate=1e-2),
            trainer=TrainerConfig(precision=Precision.fp32, num_evaluations=0),
            folder=Path(mkdtemp(dir=tmp_path)),
            seed=1,
            distill=DistillConfig(["teacher"], **distill),
        )
        return model

    return run


@pytest.mark.parametrize("kind", [TokenizerKind.wordpiece, TokenizerKind.unigram])
def test_a_student_of_weight_1_takes_over_the_probabilities(
    kind, train, make_model, toy_plan, toy_store
):
    plan = pd.concat([toy_plan[kind]] * 8, ignore_index=True)
    plan, teacher = plan.assign(corpus=plan["corpus"].astype("category")), make_teacher(plan)
    few = plan.iloc[: len(toy_plan[kind])]
    before, _ = measure(make_model(kind), few, toy_store[kind], make_teacher(few))
    student = train(plan, teacher, kind=kind, temperature=1.0, weight=1.0)
    after, chances = measure(student, few, toy_store[kind], make_teacher(few))
    assert after < 0.15 * before
    starts = np.array([row[:2] for row in chances[: len(few)]])
    np.testing.assert_allclose(starts.mean(axis=0), [0.3, 0.6], atol=0.1)


def test_temperature_and_weight_reach_the_training(train, toy_plan):
    plan = toy_plan[KIND]
    students = [
        train(plan, make_teacher(plan), temperature=temperature, weight=weight).state_dict()
        for temperature, weight in ((2.0, 0.5), (2.0, 0.5), (4.0, 0.5), (2.0, 0.9))
    ]
    heads = [student["qa_outputs.weight"] for student in students]
    assert torch.equal(heads[0], heads[1])
    assert not torch.allclose(heads[0], heads[2], atol=1e-4)
    assert not torch.allclose(heads[0], heads[3], atol=1e-4)


def test_each_token_of_a_moved_and_cut_window_keeps_its_own_probability(toy_plan, toy_store):
    store, generator = toy_store[KIND], np.random.default_rng(0)
    plan = toy_plan[KIND].sample(frac=1, random_state=0)
    moved = crop(plan, store, generator=generator).assign(corpus=plan["corpus"])
    names = [
        np.append(
            -1,
            store.text_start[store.context[row.example]]
            + np.arange(row.context_from, row.context_to),
        )
        for row in moved.itertuples()
    ]  # the number of each token in the store
    numbers = np.concatenate(names)
    teacher = -np.stack([numbers % 512, numbers % 509]).astype(np.float16)
    dataset = PlanDataset(
        moved, {"toy": store}, cutout_config=CutoutConfig(0.3), seed=1, teacher=teacher
    )
    batch = collate([dataset[i] for i in range(8)], template=store.template, pad_to_multiple_of=8)
    for i, window in enumerate(moved.head(8).itertuples()):
        context = finished_input(store, window)[2]
        width = window.context_to - window.context_from
        for side, prime in (("start", 512), ("end", 509)):
            expected = np.full(batch["input_ids"].shape[1], -np.inf)
            expected[store.template.cls_position] = -(-1 % prime)
            expected[context : context + width] = -(names[i][1:] % prime)
            np.testing.assert_array_equal(batch[f"{side}_teacher"][i].numpy(), expected)
    assert batch["start_teacher"].dtype is torch.float32
