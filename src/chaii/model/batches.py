"""Batches: rows of a windows table as padded tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from chaii.config import CutoutConfig
from chaii.recipe.augment import cutout, window_generator
from chaii.recipe.template import PairTemplate
from chaii.recipe.tokens import IntArray, TokenStore
from chaii.recipe.windows import WINDOW_COLUMNS, finished_input

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Feature:
    """One finished input; a window without its answer is labelled with the [CLS] position."""

    input_ids: IntArray  # (tokens,)
    type_ids: IntArray  # (tokens,)
    start_token: int
    end_token: int


class PlanDataset(Dataset[Feature]):
    """The windows of a plan, in its order, each augmented by its seed and position alone."""

    def __init__(
        self,
        plan: pd.DataFrame,
        stores: Mapping[str, TokenStore],
        *,
        cutout_config: CutoutConfig | None = None,
        seed: int = 0,
    ) -> None:
        self._windows = plan[list(WINDOW_COLUMNS)].to_records(index=False)
        corpora = plan["corpus"].cat
        self._corpus = corpora.codes.to_numpy()
        self._stores = [stores[name] for name in corpora.categories]
        self._cutout = cutout_config or CutoutConfig()
        self._seed = seed

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, position: int) -> Feature:
        window = self._windows[position]
        store = self._stores[self._corpus[position]]
        ids, types, context = finished_input(store, window)
        if self._cutout.rate:
            special = np.isin(ids, store.template.special_token_ids)
            question = (np.arange(len(ids)) < context) & (not self._cutout.question)
            ids = cutout(
                ids,
                rate=self._cutout.rate,
                span=self._cutout.span,
                protected=special | question,
                mask_token_id=store.template.mask_token_id,
                generator=window_generator(self._seed, position),
            )
        cls = store.template.cls_position
        absent = window.start_token < 0
        start, end = (cls, cls) if absent else (window.start_token, window.end_token)
        return Feature(ids, types, int(start), int(end))


def collate(
    features: Sequence[Feature], *, template: PairTemplate, pad_to_multiple_of: int = 1
) -> Batch:
    """Pad features to the longest of them.

    Returns:
        ``input_ids``, ``attention_mask`` and, where the model takes them, ``token_type_ids``, each
        ``(windows, tokens)``; ``start_positions`` and ``end_positions``, ``(windows,)``.
    """
    longest = max(len(feature.input_ids) for feature in features)
    shape = (len(features), -(-longest // pad_to_multiple_of) * pad_to_multiple_of)
    ids = np.full(shape, template.pad_token_id, np.int64)
    mask = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for row, feature in enumerate(features):
        length = len(feature.input_ids)
        ids[row, :length] = feature.input_ids
        mask[row, :length] = 1
        types[row, :length] = feature.type_ids
    arrays: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": mask,
        "start_positions": np.array([feature.start_token for feature in features]),
        "end_positions": np.array([feature.end_token for feature in features]),
    }
    if template.uses_type_ids:
        arrays["token_type_ids"] = types
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
