"""Linear layers made fast on a CPU: in float32 by oneDNN, or in 8-bit whole numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.ao.nn.quantized import dynamic
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

# A CPU without AVX-512 gains nothing: there MKL uses all it has.
_PAYS = (
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


class FastLinear(TorchFunctionMode):
    """Inside, float32 linear layers on a CPU are computed by oneDNN, their gradients too.

    By itself torch hands them to MKL, which leaves AVX-512 unused on processors that are not
    Intel's. Results differ by the order of summation alone. On a GPU, under autocast and in other
    number formats nothing changes. Not for gradient checkpointing: torch leaves the mode to go
    backward, so the second pass would not be like the first.

    >>> x, layer = torch.ones(2, 3), torch.nn.Linear(3, 4)
    >>> with FastLinear():
    ...     y = layer(x)
    >>> torch.allclose(y, layer(x), atol=1e-6)
    True
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Take over `torch.nn.functional.linear` where it pays; all else goes its way."""
        if func is linear and not kwargs and _PAYS and _is_plain(args[0]):
            return _OneDnnLinear.apply(*args)  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


def quantise_linear(model: torch.nn.Module) -> torch.nn.Module:
    """Copy `model` with linear layers that multiply 8-bit whole numbers, to predict on a CPU.

    Weights are rounded once, each output channel on its own scale; inputs as they come, each batch
    on one scale. Everything else stays float32.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # announced for removal; the pinned torch has it
        quantised: torch.nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            model,
            {torch.nn.Linear: per_channel_dynamic_qconfig},
            mapping={torch.nn.Linear: dynamic.Linear},
        )
    return quantised


class _OneDnnLinear(torch.autograd.Function):
    """``x @ weight.T + bias`` and its three gradients, each a product that oneDNN computes."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return _multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, *_ = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        return (
            _multiply(gradient, weight.t()) if needs_x else None,
            _multiply(rows.t(), x.flatten(0, -2).t()) if needs_weight else None,
            rows.sum(0) if ctx.has_bias else None,
        )


def _multiply(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def _is_plain(x: torch.Tensor) -> bool:
    """Whether `x` is a matrix or more of float32 on a CPU, and to be multiplied as such."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.dim() > 1
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )
