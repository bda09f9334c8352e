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
    start, end, null = predict_logits(model, plan, store, batch_size=5)
    place = 0
    for row, window in enumerate(plan.itertuples()):
        ids, types, context = finished_input(store, window)
        inputs = {"input_ids": torch.tensor(ids[None].astype(np.int64))}
        if store.template.uses_type_ids:
            inputs["token_type_ids"] = torch.tensor(types[None].astype(np.int64))
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


def test_precision_falls_back_to_what_the_machine_has(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_precision(Precision.auto) is Precision.fp32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert choose_precision(Precision.auto) is Precision.fp16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_precision(Precision.auto) is Precision.bf16
    assert choose_precision(Precision.fp32) is Precision.fp32
