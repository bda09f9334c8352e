"""Inference: start and end logits of every context token of every window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from chaii.config import Precision
from chaii.model.batches import PlanDataset, collate
from chaii.recipe.tokens import TokenStore

HalfArray = NDArray[np.float16]


def choose_precision(precision: Precision) -> Precision:
    """Resolve `auto`: bf16 where the GPU has it, else fp16 on a GPU, fp32 on a CPU."""
    if precision is not Precision.auto:
        return precision
    if not torch.cuda.is_available():
        return Precision.fp32
    return Precision.bf16 if torch.cuda.is_bf16_supported() else Precision.fp16


def predict_logits(
    model: PreTrainedModel,
    windows: pd.DataFrame,
    store: TokenStore,
    *,
    batch_size: int,
    precision: Precision = Precision.auto,
) -> tuple[HalfArray, HalfArray]:
    """Run `model` over a windows table of one corpus, longest windows first.

    Returns:
        Start and end logits, flat over the context tokens of each window in the table's order;
        float16, no padding.
    """
    columns = windows.assign(corpus=pd.Categorical(["corpus"] * len(windows)))
    dataset = PlanDataset(columns, {"corpus": store})
    width = (windows["context_to"] - windows["context_from"]).to_numpy(np.int64)
    first = np.cumsum(width) - width
    tail = len(store.template.after)
    length = windows["length"].to_numpy(np.int64)
    start, end = (np.empty(int(width.sum()), np.float16) for _ in range(2))

    order = np.argsort(-length, kind="stable")
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    model.eval()
    for rows in tqdm(batches, desc="predict", unit="batch", leave=False):
        batch = collate([dataset[row] for row in rows], template=store.template)
        start_batch, end_batch = _forward(model, batch, precision=choose_precision(precision))
        for row, start_row, end_row in zip(rows, start_batch, end_batch, strict=True):
            context = slice(length[row] - tail - width[row], length[row] - tail)
            place = slice(first[row], first[row] + width[row])
            start[place], end[place] = start_row[context], end_row[context]
    return start, end


def _forward(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], *, precision: Precision
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Start and end logits of a batch, ``(windows, tokens)`` each."""
    inputs = {
        name: tensor.to(model.device)
        for name, tensor in batch.items()
        if not name.endswith("_positions")
    }
    half = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}.get(precision)
    with (
        torch.inference_mode(),
        torch.autocast(model.device.type, dtype=half, enabled=half is not None),
    ):
        output = model(**inputs)
    return output.start_logits.float().cpu().numpy(), output.end_logits.float().cpu().numpy()
