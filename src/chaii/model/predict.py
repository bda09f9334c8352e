"""Inference: start and end logits of every context token of every window."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from chaii.config.schema import Precision
from chaii.model.collate import Batch, PlanDataset, collate
from chaii.model.linear import FastLinear, quantise_linear
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import TokenStore

HalfArray = NDArray[np.float16]
_CPU_TOKENS = 2048  # of a batch: one whose activations stay in the cache beats a larger one


class WindowLogits(NamedTuple):
    """Logits of a windows table; float16, no padding."""

    start: HalfArray  # flat over the context tokens of each window, in the table's order
    end: HalfArray
    null: HalfArray  # (windows, 2) start and end logit of the token that stands for no answer


def choose_precision(precision: Precision) -> Precision:
    """Resolve `auto`: bf16 where the GPU has it, else fp16 on a GPU, fp32 on a CPU."""
    if precision is not Precision.auto:
        return precision
    if not torch.cuda.is_available():
        return Precision.fp32
    return Precision.bf16 if torch.cuda.is_bf16_supported() else Precision.fp16


def padding_step() -> int:
    """What lengths are padded to a multiple of: 8 on a GPU, whose tensor cores work in eights."""
    return 8 if torch.cuda.is_available() else 1


def predict_logits(
    model: PreTrainedModel,
    windows: pd.DataFrame,
    store: TokenStore,
    *,
    batch_size: int,
    precision: Precision = Precision.auto,
) -> WindowLogits:
    """Run `model` over a windows table of one corpus, longest windows first.

    `batch_size` is an upper bound: on a CPU, batches of long windows are smaller.

    Raises:
        ValueError: `precision` is int8 and the model lies on a GPU.
    """
    width = (windows["context_to"] - windows["context_from"]).to_numpy(np.int64)
    first = np.cumsum(width) - width
    tail = len(store.template.after)
    length = windows["length"].to_numpy(np.int64)
    start, end = (np.empty(int(width.sum()), np.float16) for _ in range(2))
    null = np.empty((len(windows), 2), np.float16)
    precision = choose_precision(precision)
    for rows, *logits in _predict_batches(
        model, windows, store, batch_size=batch_size, precision=precision
    ):
        for row, start_row, end_row in zip(rows, *logits, strict=True):
            context = slice(length[row] - tail - width[row], length[row] - tail)
            place = slice(first[row], first[row] + width[row])
            start[place], end[place] = start_row[context], end_row[context]
            null[row] = [side[store.template.cls_position] for side in (start_row, end_row)]
    return WindowLogits(start, end, null)


def _predict_batches(
    model: PreTrainedModel,
    windows: pd.DataFrame,
    store: TokenStore,
    *,
    batch_size: int,
    precision: Precision,
) -> Iterator[tuple[Any, Any, Any]]:
    """Rows of each batch, longest first, and its start and end logits, ``(rows, tokens)``."""
    columns = windows.assign(corpus=pd.Categorical(["corpus"] * len(windows)))
    dataset = PlanDataset(columns, {"corpus": store})
    length = windows["length"].to_numpy()
    order = np.argsort(-length, kind="stable")
    if model.device.type == "cpu":
        batch_size = min(batch_size, max(1, _CPU_TOKENS // int(length.max(initial=1))))
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    model.eval()
    if precision is Precision.int8:
        model = _quantise(model)
    outputs = (
        (rows, _forward(model, _assemble(dataset, rows, store), precision=precision))
        for rows in tqdm(batches, desc="predict", unit="batch", leave=False)
    )
    # a batch is read when the next one is under way: a GPU never waits for us
    for (rows, output), _ in pairwise(chain(outputs, [((), None)])):
        start, end = output.start_logits, output.end_logits
        yield rows, start.float().cpu().numpy(), end.float().cpu().numpy()


def _quantise(model: PreTrainedModel) -> PreTrainedModel:
    if model.device.type != "cpu":
        raise ValueError(f"precision=int8: predicts on a CPU only, the model is on {model.device}")
    return quantise_linear(model)


def _assemble(dataset: PlanDataset, rows: IntArray, store: TokenStore) -> Batch:
    features = [dataset[row] for row in rows]
    return collate(features, template=store.template, pad_to_multiple_of=padding_step())


def _forward(model: PreTrainedModel, batch: Batch, *, precision: Precision) -> Any:
    """The model's output for a batch; on a GPU it is not waited for."""
    inputs = {
        name: tensor.to(model.device)
        for name, tensor in batch.items()
        if not name.endswith("_positions")
    }
    half = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}.get(precision)
    with (
        torch.inference_mode(),
        FastLinear(),
        torch.autocast(model.device.type, dtype=half, enabled=half is not None),
    ):
        return model(**inputs)
