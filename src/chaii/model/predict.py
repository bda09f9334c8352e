"""Inference: start and end logits of every context token of every window."""

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
from chaii.model.collate import TARGETS, PlanDataset, collate, takes_type_ids
from chaii.recipe.token_store import TokenStore

HalfArray = NDArray[np.float16]
_CPU_TOKENS = 2048  # of a batch: one whose activations stay in the cache beats a larger one


class WindowLogits(NamedTuple):
    """Logits of a windows table; float16, no padding."""

    start: HalfArray  # flat over the context tokens of each window, in the table's order
    end: HalfArray
    null: HalfArray  # (windows, 2) start and end logit of the token that means "no answer"


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


def padding_step() -> int:
    """Return the number whose multiples lengths are padded to: 8 on a GPU, for its tensor cores."""
    return 8 if torch.cuda.is_available() else 1


def predict_logits(
    model: PreTrainedModel,
    windows: pd.DataFrame,
    store: TokenStore,
    *,
    batch_size: int,
    precision: Precision = Precision.auto,
    pad_to_multiple_of: int | None = None,
    progress: bool = True,
) -> WindowLogits:
    """Run `model` over a windows table of one corpus, longest windows first.

    `batch_size` is an upper bound: on a CPU, batches of long windows are smaller. `progress` shows
    a bar. Batches are padded to a multiple of so many tokens; None: to one of `padding_step`.
    """
    width = (windows["context_to"] - windows["context_from"]).to_numpy(np.int64)
    first = np.cumsum(width) - width
    tail = len(store.template.after)
    length = windows["length"].to_numpy(np.int64)
    start, end = (np.empty(int(width.sum()), np.float16) for _ in range(2))
    null = np.empty((len(windows), 2), np.float16)
    model.eval()
    for rows, *logits in run_batches(
        model,
        windows,
        store,
        batch_size=batch_size,
        precision=choose_precision(precision),
        pad_to_multiple_of=pad_to_multiple_of,
        progress=progress,
    ):
        for row, start_row, end_row in zip(rows, *logits, strict=True):
            context = slice(length[row] - tail - width[row], length[row] - tail)
            place = slice(first[row], first[row] + width[row])
            start[place], end[place] = start_row[context], end_row[context]
            null[row] = [side[store.template.cls_position] for side in (start_row, end_row)]
    return WindowLogits(start, end, null)


def run_batches(
    model: Any,
    windows: pd.DataFrame,
    store: TokenStore,
    *,
    batch_size: int,
    precision: Precision,
    pad_to_multiple_of: int | None = None,
    progress: bool,
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the rows of each batch, longest first, and their logits, ``(rows, tokens)`` each."""
    columns = windows.assign(corpus=pd.Categorical(["corpus"] * len(windows)))
    dataset = PlanDataset(columns, {"corpus": store})
    length = windows["length"].to_numpy()
    order = np.argsort(-length, kind="stable")
    if model.device.type == "cpu":
        batch_size = min(batch_size, max(1, _CPU_TOKENS // int(length.max(initial=1))))
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    step = pad_to_multiple_of or padding_step()
    outputs = (
        (rows, _forward(model, [dataset[row] for row in rows], store, precision, step))
        for rows in tqdm(batches, "predict", unit="batch", leave=False, disable=not progress)
    )
    # a batch is read while the next one is computed, so that a GPU never waits for the CPU
    for (rows, output), _ in pairwise(chain(outputs, [((), None)])):
        start, end = output.start_logits, output.end_logits
        yield rows, start.float().cpu().numpy(), end.float().cpu().numpy()


def _forward(model: Any, features: Any, store: TokenStore, precision: Precision, step: int) -> Any:
    """Start the computation of a batch; a GPU goes on with it while the CPU does other work."""
    types = takes_type_ids(model)
    batch = collate(features, template=store.template, type_ids=types, pad_to_multiple_of=step)
    inputs = {name: part.to(model.device) for name, part in batch.items() if name not in TARGETS}
    half = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}.get(precision)
    with (
        torch.inference_mode(),
        torch.autocast(model.device.type, dtype=half, enabled=half is not None),
    ):
        return model(**inputs)
