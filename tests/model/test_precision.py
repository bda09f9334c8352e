"""`auto` takes what the hardware computes natively."""

import pytest
import torch

from chaii.config.schema import Precision
from chaii.model.predict import choose_precision

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
