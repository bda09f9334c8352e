"""The matrix-product speed of the machine, and the arithmetic that a transformer needs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.functional import linear


def measure_peak(*, device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Return the GFLOP/s of one large square product, the best of 9 tries."""
    size = 2048 if device == "cpu" else 8192
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(size, size, generator=generator, device=device) for _ in range(2))
    a, b = a.to(dtype), b.to(dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(12):
            began = time.perf_counter()
            linear(a, b)
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds[3:]) / 1e9


def count_flops(config: Any, lengths: Iterable[int], *, train: bool = False) -> float:
    """Count the floating-point operations of an encoder for real tokens, without padding.

    A layer multiplies each token by its weights and each pair of tokens twice.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    weights = layers * (4 * width * width + 2 * width * inner)
    forward = sum(2 * weights * n + 4 * layers * width * n * n for n in map(int, lengths))
    return forward * (3 if train else 1)
