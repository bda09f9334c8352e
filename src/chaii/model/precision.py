"""The precision in which a model is trained and predicts."""

from typing import Any

import torch

from chaii.config.schema import Precision


def choose_precision(precision: Precision) -> Precision:
    """Resolve `auto`: bf16 where the hardware computes it natively, else fp16 on a GPU, else fp32.

    Emulated bf16 is slower than fp16 on a GPU, and than fp32 on a CPU.
    """
    if precision is not Precision.auto:
        return precision
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision.bf16 if native else Precision.fp16
    known: Any = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch cannot tell
    return Precision.bf16 if known.get("avx512_bf16") or known.get("amx_bf16") else Precision.fp32
