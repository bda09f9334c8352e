"""The model of the GPU rows: the size of XLM-R large, built from its configuration."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForQuestionAnswering, set_seed

SIZE = {
    "vocab_size": 250_002,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "max_position_embeddings": 514,
}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 2, "vocab_size": 9000}


def build_large(*, tiny: bool = False) -> Any:
    """Build the model with a fixed seed, on the GPU if there is one."""
    config = AutoConfig.for_model("xlm-roberta", **(SIZE | TINY if tiny else SIZE))
    set_seed(2021)
    model = AutoModelForQuestionAnswering.from_config(config)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def need_gpu(*, quick: bool) -> None:
    """Stop if there is no GPU, unless the run is quick."""
    if not quick and not torch.cuda.is_available():
        raise SystemExit("needs a CUDA GPU; --quick runs a tiny model anywhere")
