"""Batches: rows of a windows table as padded tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from chaii.config.schema import CutoutConfig
from chaii.recipe.augmentation import cutout, window_generator
from chaii.recipe.pair_template import PairTemplate
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import TokenStore
from chaii.recipe.windows import WINDOW_COLUMNS, Window, finished_input


class Batch(dict[str, torch.Tensor]):
    """Padded tensors of some windows, by the names that models give them.

    Goes from a loader's process to its reader by value: torch would pass each tensor in shared
    memory, and to open that takes longer than to copy a few windows.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ({name: tensor.numpy() for name, tensor in self.items()},)


@dataclass(frozen=True)
class Feature:
    """One finished input; a window without its answer is labelled with the [CLS] position.

    Where a window holds several answers, tokens that they share are listed once.
    """

    input_ids: IntArray  # (tokens,)
    type_ids: IntArray  # (tokens,)
    start_tokens: IntArray  # (distinct first tokens of its answers,)
    end_tokens: IntArray  # (distinct last tokens of its answers,)


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
        self._windows = plan[list(WINDOW_COLUMNS)].to_numpy(np.int32)
        corpora = plan["corpus"].cat
        self._corpus = corpora.codes.to_numpy()
        self._stores = [stores[name] for name in corpora.categories]
        self._special_ids = np.array(self._stores[0].template.special_token_ids)[:, None]
        self._cutout = cutout_config or CutoutConfig()
        self._seed = seed

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, position: int) -> Feature:
        window = Window._make(self._windows[position].tolist())
        store = self._stores[self._corpus[position]]
        ids, types, context = finished_input(store, window)
        if self._cutout.rate:
            special = (ids == self._special_ids).any(axis=0)
            question = (np.arange(len(ids)) < context) & (not self._cutout.question)
            ids = cutout(
                ids,
                rate=self._cutout.rate,
                span=self._cutout.span,
                protected=special | question,
                mask_token_id=store.template.mask_token_id,
                generator=window_generator(self._seed, position),
            )
        return Feature(ids, types, *_label(store, window, context))


def collate(
    features: Sequence[Feature], *, template: PairTemplate, pad_to_multiple_of: int = 1
) -> Batch:
    """Pad features to the longest of them.

    Returns:
        ``input_ids``, ``attention_mask`` and, where the model takes them, ``token_type_ids``, each
        ``(windows, tokens)``; ``start_positions`` and ``end_positions``, ``(windows, answers)``,
        filled up with -1 where windows differ in how many they hold.
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
        "start_positions": _stack([feature.start_tokens for feature in features]),
        "end_positions": _stack([feature.end_tokens for feature in features]),
    }
    if template.uses_type_ids:
        arrays["token_type_ids"] = types
    return _rebuild(arrays)


def _rebuild(arrays: Mapping[str, IntArray]) -> Batch:
    return Batch({name: torch.from_numpy(array) for name, array in arrays.items()})


def _label(store: TokenStore, window: Any, context: int) -> tuple[IntArray, IntArray]:
    """Distinct first and last tokens of the window's answers; its context begins at `context`."""
    if window.start_token < 0:
        cls = np.array([store.template.cls_position])
        return cls, cls
    if store.answers is None:
        return np.array([window.start_token]), np.array([window.end_token])
    first, last = store.answers.of(window.example).T
    held = (window.context_from <= first) & (last < window.context_to)
    shift = context - window.context_from
    first = np.minimum(first[held], window.context_to - 1)  # as `label` does
    last = np.maximum(last[held], window.context_from)
    return np.unique(first) + shift, np.unique(last) + shift


def _stack(rows: Sequence[IntArray]) -> IntArray:
    """Rows of different lengths as one array, filled up with -1."""
    stacked = np.full((len(rows), max(map(len, rows))), -1, np.int64)
    for row, tokens in enumerate(rows):
        stacked[row, : len(tokens)] = tokens
    return stacked
