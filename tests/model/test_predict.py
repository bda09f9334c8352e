"""Inference: unpadded logits, whatever the batches."""

import numpy as np
import pytest
import torch

from chaii.config.schema import Precision, TokenizerKind
from chaii.model.predict import choose_precision, predict_logits
from chaii.recipe.windows import finished_input


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_logits_equal_those_of_each_window_alone(kind, make_model, toy_plan, toy_store):
    model, plan, store = make_model(kind).eval(), toy_plan[kind], toy_store[kind]
    start, end, null = predict_logits(model, plan, store, batch_size=5, precision=Precision.fp32)
    place = 0
    for row, window in enumerate(plan.itertuples()):
        ids, types, context = finished_input(store, window)
        inputs = {"input_ids": ids, "token_type_ids": types}
        inputs = {name: torch.tensor(row[None].astype(np.int64)) for name, row in inputs.items()}
        with torch.no_grad():
            output = model(**inputs)
        width = window.context_to - window.context_from
        for flat, logits in ((start, output.start_logits), (end, output.end_logits)):
            expected = logits[0, context : context + width].numpy()
            np.testing.assert_allclose(flat[place : place + width], expected, atol=1e-3)
        cls = [side[0, store.template.cls_position] for side in output.values()]
        np.testing.assert_allclose(null[row], cls, atol=1e-3)
        place += width
    assert place == len(start) == len(end)
    assert start.dtype == np.float16


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_batches_padded_to_a_multiple_give_the_same_logits(kind, make_model, toy_plan, toy_store):
    model, lengths = make_model(kind), []
    inputs = model, toy_plan[kind], toy_store[kind]
    options = {"batch_size": 5, "precision": Precision.fp32}
    expected = predict_logits(*inputs, **options)
    model.register_forward_pre_hook(
        lambda _model, _args, inputs: lengths.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    found = predict_logits(*inputs, **options, pad_to_multiple_of=16)
    assert {length % 16 for length in lengths} == {0}
    for side, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(side, same, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_model_computes_in_the_precision(precision, make_model, toy_plan, toy_store):
    kind, seen = TokenizerKind.wordpiece, []
    model = make_model(kind)
    model.qa_outputs.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    options = {"batch_size": 5, "precision": Precision[precision]}
    predict_logits(model, toy_plan[kind], toy_store[kind], **options)
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert set(seen) == {types[precision]}


def test_a_model_in_training_predicts_without_dropout(make_model, toy_plan, toy_store):
    kind = TokenizerKind.wordpiece
    model = make_model(kind)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.5
    first, second = (
        predict_logits(model.train(), toy_plan[kind], toy_store[kind], batch_size=5) for _ in "ab"
    )
    np.testing.assert_array_equal(first.start, second.start)


def test_long_windows_make_small_batches_on_a_cpu(make_model, toy_plan, toy_store, monkeypatch):
    model, sizes = make_model(TokenizerKind.unigram), []
    monkeypatch.setattr("chaii.model.predict._CPU_TOKENS", 200)
    model.register_forward_pre_hook(
        lambda _model, _args, inputs: sizes.append(inputs["input_ids"].shape), with_kwargs=True
    )
    plan = toy_plan[TokenizerKind.unigram]
    predict_logits(model, plan, toy_store[TokenizerKind.unigram], batch_size=50)
    assert max(rows * tokens for rows, tokens in sizes) <= 200
    assert sum(rows for rows, _ in sizes) == len(plan)
    assert sizes[0][0] > 1


def test_a_window_longer_than_a_batch_is_a_batch_alone(
    make_model, toy_plan, toy_store, monkeypatch
):
    kind = TokenizerKind.unigram
    plan, store = toy_plan[kind].head(3), toy_store[kind]
    expected = predict_logits(make_model(kind), plan, store, batch_size=1)
    monkeypatch.setattr("chaii.model.predict._CPU_TOKENS", 2)
    model, rows = make_model(kind), []
    model.register_forward_pre_hook(
        lambda _model, _args, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    found = predict_logits(model, plan, store, batch_size=50)
    assert rows == [1, 1, 1]
    np.testing.assert_array_equal(found.start, expected.start)


NATIVE = {"avx512_bf16": True, "amx_bf16": False}
PLAIN = {"avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("gpu", "capabilities", "expected"),
    [
        ("native", PLAIN, Precision.bf16),
        ("emulated", NATIVE, Precision.fp16),
        (None, NATIVE, Precision.bf16),
        (None, PLAIN, Precision.fp32),
    ],
)
def test_auto_is_bf16_only_where_the_hardware_computes_it(gpu, capabilities, expected, monkeypatch):
    def is_supported(including_emulation=True):
        return gpu == "native" or (gpu == "emulated" and including_emulation)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision(Precision.auto) is expected
    assert choose_precision(Precision.fp32) is Precision.fp32
