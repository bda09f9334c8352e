"""The plan: a recipe made real, as one table of windows in training order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from chaii.config.schema import RecipeConfig, SourceConfig
from chaii.recipe.augmentation import balance_positions
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_budget import thin_stages
from chaii.recipe.token_store import TokenStore
from chaii.recipe.windows import crop, slide

_BLOCK = 100  # batches that are sorted by length together: enough to pad little, few enough to mix


def make_plan(
    recipe: RecipeConfig,
    stores: Mapping[str, TokenStore],
    *,
    rows: Mapping[str, IntArray],
    batch_size: int,
    seed: int,
) -> pd.DataFrame:
    """Put every window of `recipe` in the order in which it is trained.

    Args:
        stores: the token store of each corpus.
        rows: the rows of each corpus that may be trained on.
        batch_size: windows of similar length are put side by side in batches of this size.

    Returns:
        The windows table (see `chaii.recipe.windows`) with two more columns: ``stage``, counted
        from 0, and ``corpus``, a name. The same arguments give the same table on any machine.

    Raises:
        ValueError: there is nothing to train on.
    """
    cut = []
    for number, stage in enumerate(recipe.stages):
        sources = [
            cut_source(
                source,
                stores[source.corpus],
                rows=rows[source.corpus],
                generator=np.random.default_rng([seed, number, place]),
            )
            for place, source in enumerate(stage.sources)
        ]
        cut.append(pd.concat(sources, ignore_index=True).assign(stage=np.int32(number)))
    if recipe.max_tokens is not None:
        cut = thin_stages(cut, tokens=recipe.max_tokens, seed=seed)
    stages, planned = [], 0
    for number, (stage, windows) in enumerate(zip(recipe.stages, cut, strict=True)):
        if stage.shuffle:
            windows = _shuffle_by_length(
                windows,
                batch_size=batch_size,
                head=-planned % batch_size,
                generator=np.random.default_rng([seed, number]),
            )
        stages.append(windows)
        planned += len(windows)
    if not planned:
        raise ValueError("recipe: its sources hold no window to train on")
    plan = pd.concat(stages, ignore_index=True)
    if recipe.mixed:
        plan = _shuffle_by_length(
            plan, batch_size=batch_size, head=0, generator=np.random.default_rng(seed)
        )
    return plan.assign(corpus=pd.Categorical(plan["corpus"], categories=sorted(stores)))


def cut_source(
    source: SourceConfig,
    store: TokenStore,
    *,
    rows: IntArray,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Cut and sample the windows of one source, in the order of the corpus."""
    if source.max_examples is not None and source.max_examples < len(rows):
        rows = np.sort(generator.choice(rows, size=source.max_examples, replace=False))
    windows = slide(store, max_length=source.max_length, doc_stride=source.doc_stride, rows=rows)
    windows = keep_negatives(windows, share=source.negatives, generator=generator)
    if source.crop:
        windows = crop(windows, store, generator=generator)
    if source.balance:
        windows = balance_positions(windows, generator=generator)
    return windows.assign(corpus=source.corpus)


def keep_negatives(
    windows: pd.DataFrame, *, share: float, generator: np.random.Generator
) -> pd.DataFrame:
    """Keep all windows with an answer and a random `share` of those without, in order."""
    negative = np.flatnonzero(windows["start_token"].to_numpy() < 0)
    dropped = len(negative) - round(share * len(negative))
    keep = np.ones(len(windows), dtype=bool)
    keep[generator.choice(negative, size=dropped, replace=False)] = False
    return windows[keep]


def _shuffle_by_length(
    windows: pd.DataFrame, *, batch_size: int, head: int, generator: np.random.Generator
) -> pd.DataFrame:
    """Put windows in a random order in which each batch holds windows of similar length.

    Windows are shuffled, cut into blocks, sorted by length inside a block and split into batches,
    whose order is shuffled again. The first `head` windows complete the batch that the stage before
    left open, so that batches keep their boundaries.
    """
    length = windows["length"].to_numpy()
    order = generator.permutation(len(length))
    full = max(0, len(order) - head) // batch_size * batch_size
    middle = order[head : head + full]
    size = _BLOCK * batch_size
    blocks = [middle[first : first + size] for first in range(0, full, size)]
    batches = [
        block[np.argsort(length[block], kind="stable")].reshape(-1, batch_size) for block in blocks
    ]
    if batches:
        middle = generator.permutation(np.concatenate(batches)).ravel()
    order = np.concatenate([order[:head], middle, order[head + full :]])
    return windows.iloc[order].reset_index(drop=True)
