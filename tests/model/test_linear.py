"""Linear layers on a CPU: the same results, and nothing that leaks out."""

import pytest
import torch
from torch.nn.functional import linear

from chaii.config.schema import Precision, TokenizerKind
from chaii.model import linear as fast
from chaii.model.predict import predict_logits

KIND = TokenizerKind.unigram


@pytest.fixture
def calls(monkeypatch):
    """Products that oneDNN computes, on any machine."""
    seen, multiply = [], fast._multiply

    def count(*args):
        seen.append(args)
        return multiply(*args)

    monkeypatch.setattr(fast, "_PAYS", True)
    monkeypatch.setattr(fast, "_multiply", count)
    return seen


def tensors(*, bias=True, rows=(5, 7)):
    generator = torch.Generator().manual_seed(0)
    shapes = [(*rows, 16), (9, 16), (9,)][: 2 + bias]
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(5,), (5, 7), (2, 3, 4)])
def test_products_and_gradients_are_those_of_torch(calls, bias, rows):
    parts = tensors(bias=bias, rows=rows)
    with fast.FastLinear():
        output = linear(*parts)
    slow = linear(*parts)
    weights = torch.arange(float(slow.numel())).view_as(slow) / slow.numel()
    torch.testing.assert_close(output, slow, atol=1e-5, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad((output * weights).sum(), parts),
        torch.autograd.grad((slow * weights).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)
    assert len(calls) == 3  # the product and two gradients; that of the bias is a sum


def test_frozen_weights_cost_no_gradient(calls):
    x, weight, bias = tensors()
    with fast.FastLinear():
        linear(x, weight.detach(), bias).sum().backward()
    assert weight.grad is None
    assert len(calls) == 2


def test_other_number_formats_are_left_alone(calls):
    parts = tensors()
    with fast.FastLinear():
        double = linear(*[part.double() for part in parts])
        with torch.autocast("cpu", torch.bfloat16):
            half = linear(*parts)
    assert double.dtype == torch.float64
    assert half.dtype == torch.bfloat16
    assert not calls


def test_nothing_changes_once_it_is_left(calls):
    with fast.FastLinear():
        pass
    linear(*tensors())
    assert not calls


def test_eight_bits_stay_near_and_leave_the_model_alone(make_model, toy_plan, toy_store):
    model = make_model(KIND).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options = {"batch_size": 5}
    exact, *_ = predict_logits(model, toy_plan[KIND], toy_store[KIND], **options)
    coarse, *_ = predict_logits(
        model, toy_plan[KIND], toy_store[KIND], precision=Precision.int8, **options
    )
    difference = abs(coarse.astype(float) - exact)
    assert 0 < difference.max() < 0.1 * exact.astype(float).std() + 0.05
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)


def test_eight_bits_need_a_cpu(make_model, toy_plan, toy_store):
    model = make_model(KIND).to("meta")
    with pytest.raises(ValueError, match=r"precision=int8.*on meta"):
        predict_logits(
            model, toy_plan[KIND], toy_store[KIND], batch_size=5, precision=Precision.int8
        )
