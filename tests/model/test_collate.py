"""Batches: padded tensors of plan rows."""

from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler
from transformers import AutoConfig

from chaii.config.schema import CutoutConfig
from chaii.model.collate import PlanDataset, WholeSteps, collate, takes_type_ids
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import finished_input, slide


@pytest.fixture(scope="module", params=["wordpiece", "unigram"])
def store(request, tokenizers, make_examples, tmp_path_factory):
    rows = [(f"क्या {i}?", "गंगा नदी की लंबाई २५२५ है। " * (i + 1), "२५२५", 19) for i in range(9)]
    return open_store(
        make_examples(rows), tokenizers[request.param], tmp_path_factory.mktemp("tokens")
    )


@pytest.fixture
def plan(store):
    windows = slide(store, max_length=64, doc_stride=16)
    return windows.assign(corpus=pd.Categorical(["toy"] * len(windows)))


def test_labels_point_at_the_answer_or_at_cls(plan, store):
    dataset = PlanDataset(plan, {"toy": store})
    first, last = store.answers.of(0)[0]
    answer = store.tokens_of(store.context[0])[first : last + 1]
    positive = 0
    for i, window in enumerate(plan.itertuples()):
        feature = dataset[i]
        if window.start_token < 0:
            assert (feature.start_tokens.tolist(), feature.end_tokens.tolist()) == ([0], [0])
        else:
            span = feature.input_ids[feature.start_tokens[0] : feature.end_tokens[0] + 1]
            np.testing.assert_array_equal(span, answer)
            positive += 1
    assert 0 < positive < len(plan)


def test_a_batch_holds_the_inputs_and_padding_only(plan, store):
    dataset = PlanDataset(plan, {"toy": store})
    batch = collate([dataset[i] for i in range(len(plan))], template=store.template)
    assert batch["input_ids"].shape[1] == plan["length"].max()
    for i, window in enumerate(plan.itertuples()):
        ids, types, _ = finished_input(store, window)
        row, mask = batch["input_ids"][i], batch["attention_mask"][i].bool()
        assert row[mask].tolist() == ids.tolist()
        assert batch["token_type_ids"][i][mask].tolist() == types.tolist()
        assert (row[~mask] == store.template.pad_token_id).all()


def test_a_batch_can_be_padded_to_a_multiple(plan, store):
    features = [PlanDataset(plan, {"toy": store})[0]]
    batch = collate(features, template=store.template, pad_to_multiple_of=64)
    assert batch["input_ids"].shape[1] % 64 == 0


@pytest.mark.parametrize("question", [False, True])
def test_cutout_spares_special_tokens_and_the_question_where_asked(plan, store, question):
    clean = PlanDataset(plan, {"toy": store})
    config = CutoutConfig(rate=0.9, question=question)
    cut = PlanDataset(plan, {"toy": store}, cutout_config=config, seed=1)
    hits_in_question = 0
    for i, window in enumerate(plan.itertuples()):
        before, after = clean[i].input_ids, cut[i].input_ids
        special = np.isin(before, store.template.special_token_ids)
        np.testing.assert_array_equal(before[special], after[special])
        assert set(after[before != after]) <= {store.template.mask_token_id}
        context = finished_input(store, window)[2]
        hits_in_question += (before != after)[:context].sum()
    assert bool(hits_in_question) == question


def test_cutout_depends_on_seed_and_position_alone(plan, store):
    config = CutoutConfig(rate=0.5)
    one, two = (PlanDataset(plan, {"toy": store}, cutout_config=config, seed=1) for _ in range(2))
    forward = [one[i].input_ids.tolist() for i in range(len(plan))]
    backward = [two[i].input_ids.tolist() for i in reversed(range(len(plan)))]
    assert forward == backward[::-1]
    other = PlanDataset(plan, {"toy": store}, cutout_config=config, seed=2)
    assert forward != [other[i].input_ids.tolist() for i in range(len(plan))]


def test_equal_windows_are_masked_otherwise_at_each_position(plan, store):
    same = plan.iloc[[0, 0]]
    dataset = PlanDataset(same, {"toy": store}, cutout_config=CutoutConfig(rate=0.5), seed=1)
    assert dataset[0].input_ids.tolist() != dataset[1].input_ids.tolist()


def test_a_batch_comes_out_of_another_process_as_it_was(plan, store):
    dataset = PlanDataset(plan, {"toy": store})
    batch = collate([dataset[i] for i in range(3)], template=store.template)
    copy = ForkingPickler.loads(ForkingPickler.dumps(batch))
    assert type(copy) is type(batch)
    types = {name: tensor.dtype for name, tensor in copy.items()}
    assert types == dict.fromkeys(batch, torch.long) | {"weights": torch.float}
    assert all(torch.equal(copy[name], tensor) for name, tensor in batch.items())


def test_worker_processes_change_nothing(plan, store):
    config = CutoutConfig(rate=0.5)
    dataset = PlanDataset(plan, {"toy": store}, cutout_config=config, seed=1)
    batches = []
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(
            dataset,
            batch_size=4,
            num_workers=workers,
            collate_fn=lambda features: collate(features, template=store.template),
        )
        batches.append([batch["input_ids"] for batch in loader])
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))


def test_every_answer_of_a_window_is_a_position_once(tokenizers, make_examples, tmp_path):
    context = "गंगा नदी। यमुना। गंगा नदी। गंगा।"
    texts = ["गंगा", "गंगा नदी", "गंगा", "गंगा"]
    starts = [0, 0, 17, 27]  # the first two begin at the same token
    examples = make_examples([("कौन?", context, None, 0), ("कौन?", context, None, 0)])
    examples = examples.remove_columns(["answer_text", "answer_start"])
    examples = examples.add_column("answer_text", [texts, []])
    examples = examples.add_column("answer_start", [starts, []])
    store = open_store(examples, tokenizers["wordpiece"], tmp_path, every_answer=True)
    windows = slide(store, max_length=100, doc_stride=0)
    plan = windows.assign(corpus=pd.Categorical(["toy"] * len(windows)))
    dataset = PlanDataset(plan, {"toy": store})
    batch = collate([dataset[0], dataset[1]], template=store.template)
    first, last = store.answers.of(0).T + finished_input(store, windows.iloc[0])[2]
    assert batch["start_positions"].tolist() == [sorted({*first}), [0, -1, -1]]
    assert batch["end_positions"].tolist() == [sorted({*last}), [0, -1, -1, -1]]
    assert len({*first}) == 3
    assert len({*last}) == 4


TYPES = {
    "bert": True,
    "rembert": True,
    "xlm-roberta": False,
    "deberta-v2": False,
    "modernbert": False,
}


@pytest.mark.parametrize(("architecture", "expected"), TYPES.items())
def test_a_model_gets_token_types_if_it_distinguishes_them(architecture, expected):
    published = {"xlm-roberta": {"type_vocab_size": 1}, "deberta-v2": {"type_vocab_size": 0}}
    config = AutoConfig.for_model(architecture, **published.get(architecture, {}))
    assert takes_type_ids(SimpleNamespace(config=config)) == expected


@pytest.mark.parametrize(("processes", "batch_size"), [(1, 8), (1, 2), (2, 4), (2, 1), (4, 2)])
def test_every_window_is_trained_once_in_its_step_by_any_number_of_processes(
    processes, batch_size, plan, store
):
    steps = WholeSteps(PlanDataset(plan, {"toy": store}), effective_batch_size=8)
    batches = BatchSampler(range(len(steps)), batch_size, drop_last=False)
    shares = [list(BatchSamplerShard(batches, processes, rank)) for rank in range(processes)]
    accumulation = 8 // (batch_size * processes)
    assert len(plan) % 8
    for step in range(len(steps) // 8):
        own = [share[step * accumulation : (step + 1) * accumulation] for share in shares]
        positions = sorted(position for share in own for batch in share for position in batch)
        assert positions == [*range(8 * step, 8 * step + 8)]
    weights = np.array([steps[position].weight for position in range(len(steps))])
    assert (weights[: len(plan)] > 0).all()
    assert (weights[len(plan) :] == 0).all()
    np.testing.assert_allclose(weights.reshape(-1, 8).mean(axis=1), 1)
