"""Batches: rows of a windows table as padded tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from chaii.config.schema import CutoutConfig
from chaii.recipe.augmentation import cutout, window_generator
from chaii.recipe.pair_template import PairTemplate
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import Stores
from chaii.recipe.windows import WINDOW_COLUMNS, Window, answer_positions, finished_input

TEACHERS = ("start_teacher", "end_teacher")
TARGETS = ("start_positions", "end_positions", "weights", *TEACHERS)  # what a model is not given


class Batch(dict[str, torch.Tensor]):
    """Padded tensors of some windows, under the names that models give them.

    A worker process sends it to its reader by value: torch would pass each tensor in shared memory,
    and opening that takes longer than copying a few windows.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ({name: tensor.numpy() for name, tensor in self.items()},)


@dataclass(frozen=True)
class Feature:
    """One finished input and its labels, as `answer_positions` returns them."""

    input_ids: IntArray  # (tokens,)
    type_ids: IntArray  # (tokens,)
    start_tokens: IntArray  # (distinct first tokens of its answers,)
    end_tokens: IntArray  # (distinct last tokens of its answers,)
    weight: float = 1.0  # of its loss
    teacher: NDArray[np.float32] | None = None  # (2, tokens), see `teacher_loss`


class PlanDataset(Dataset[Feature]):
    """The windows of a plan, in its order; augmentation depends on seed and position alone.

    `teacher` holds what `predict_teachers` returns for the plan.
    """

    def __init__(
        self,
        plan: pd.DataFrame,
        stores: Stores,
        *,
        cutout_config: CutoutConfig | None = None,
        seed: int = 0,
        teacher: NDArray[np.float16] | None = None,
    ) -> None:
        self._windows = plan[list(WINDOW_COLUMNS)].to_numpy(np.int32)
        self._teacher = teacher
        size = (plan["context_to"] - plan["context_from"] + 1).to_numpy(np.int64)
        self._teacher_start = np.cumsum(size) - size
        self.lengths = self._windows[:, WINDOW_COLUMNS.index("length")]
        self.stages = plan["stage"].to_numpy() if "stage" in plan else np.zeros(len(plan), np.int32)
        corpora = plan["corpus"].cat
        self._corpus = corpora.codes.to_numpy()
        self._stores = [stores[name] for name in corpora.categories]
        self.template = self._stores[0].template  # one tokenizer made all stores
        self._special_ids = np.array(self.template.special_token_ids)[:, None]
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
        feature = Feature(ids, types, *answer_positions(store, window, context))
        if self._teacher is None:
            return feature
        width, at = window.context_to - window.context_from, self._teacher_start[position]
        teacher = np.full((2, len(ids)), -np.inf, np.float32)
        teacher[:, store.template.cls_position] = self._teacher[:, at]
        teacher[:, context : context + width] = self._teacher[:, at + 1 : at + 1 + width]
        return replace(feature, teacher=teacher)


class WholeSteps(Dataset[Feature]):
    """A plan whose last optimiser step is filled up, so that any number of devices share it evenly.

    The last window fills it with weight 0; those of the step weigh so much more that the mean over
    all is the mean over them.
    """

    def __init__(self, dataset: PlanDataset, *, effective_batch_size: int) -> None:
        self._dataset = dataset
        self._step = effective_batch_size

    def __len__(self) -> int:
        return -(-len(self._dataset) // self._step) * self._step

    def __getitem__(self, position: int) -> Feature:
        windows = len(self._dataset)
        in_last = windows % self._step
        feature = self._dataset[min(position, windows - 1)]
        if position < windows - in_last:
            return feature
        return replace(feature, weight=self._step / in_last if position < windows else 0.0)


def takes_type_ids(model: Any) -> bool:
    """Whether a model distinguishes token types.

    A tokenizer does not always tell: RemBERT's lists no types among its model's inputs.
    """
    return getattr(model.config, "type_vocab_size", None) not in (None, 0, 1)


def collate(
    features: Sequence[Feature],
    *,
    template: PairTemplate,
    type_ids: bool = True,
    pad_to_multiple_of: int = 1,
) -> Batch:
    """Pad features to the longest of them.

    Returns:
        ``input_ids``, ``attention_mask`` and, if asked for, ``token_type_ids``, each
        ``(windows, tokens)``; ``start_positions`` and ``end_positions``, ``(windows, answers)``,
        padded with -1 where windows differ in their number of answers; ``weights``, ``(windows,)``;
        and of features with a teacher ``start_teacher`` and ``end_teacher``, ``(windows, tokens)``.
    """
    ids = [feature.input_ids for feature in features]
    ones = [np.ones_like(row) for row in ids]
    size = {"multiple": pad_to_multiple_of}
    arrays: dict[str, NDArray[Any]] = {
        "input_ids": _pad(ids, fill=template.pad_token_id, **size),
        "attention_mask": _pad(ones, fill=0, **size),
        "start_positions": _pad([feature.start_tokens for feature in features], fill=-1),
        "end_positions": _pad([feature.end_tokens for feature in features], fill=-1),
        "weights": np.array([feature.weight for feature in features], np.float32),
    }
    if type_ids:
        types = [feature.type_ids for feature in features]
        arrays["token_type_ids"] = _pad(types, fill=0, **size)
    if features[0].teacher is not None:
        for side, name in enumerate(TEACHERS):
            rows = [feature.teacher[side] for feature in features if feature.teacher is not None]
            arrays[name] = _pad(rows, fill=-np.inf, dtype=np.float32, **size)
    return _rebuild(arrays)


def _rebuild(arrays: Mapping[str, NDArray[Any]]) -> Batch:
    return Batch({name: torch.from_numpy(array) for name, array in arrays.items()})


def _pad(
    rows: Sequence[NDArray[Any]], *, fill: float, multiple: int = 1, dtype: Any = np.int64
) -> NDArray[Any]:
    """Make one array of rows of different lengths; its width is a multiple of `multiple`."""
    longest = max(map(len, rows))
    padded = np.full((len(rows), -(-longest // multiple) * multiple), fill, dtype)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
