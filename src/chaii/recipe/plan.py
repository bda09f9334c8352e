"""The plan: a recipe made real, as one table of windows in training order."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from chaii.config.schema import RecipeConfig, SourceConfig
from chaii.corpus.table import RowNumbers
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import Stores, TokenStore
from chaii.recipe.windows import crop, keep_negatives, slide

_STRATA = 4  # ranges of length in each optimiser step
_POOL = 4  # steps that are sorted by length together: with more, a step is less like a uniform draw


def make_plan(
    recipe: RecipeConfig, stores: Stores, *, rows: RowNumbers, effective_batch_size: int, seed: int
) -> pd.DataFrame:
    """Put every window of `recipe` in the order in which it is trained.

    A shuffled stage is in random order, and each optimiser step holds short and long windows in the
    same proportion (see `_shuffle`). The order is the same however a step is split into batches.

    Args:
        stores: the token store of each corpus.
        rows: the rows of each corpus that may be trained on.
        effective_batch_size: windows per optimiser step.

    Returns:
        The windows table (see `chaii.recipe.windows`) with two more columns: ``stage``, counted
        from 0, and ``corpus``, a name. The same arguments give the same table on any machine.

    Raises:
        ValueError: there is nothing to train on.
    """
    cut = []
    for number, stage in enumerate(recipe.stages):
        sources = []
        for place, source in enumerate(stage.sources):
            generator, name = np.random.default_rng([seed, number, place]), source.corpus
            sources.append(cut_source(source, stores[name], rows=rows[name], generator=generator))
        cut.append(pd.concat(sources, ignore_index=True).assign(stage=np.int32(number)))
    if recipe.max_tokens is not None:
        cut = thin_stages(cut, tokens=recipe.max_tokens, seed=seed)
    shuffle = partial(_shuffle, step=effective_batch_size, by_length=recipe.group_by_length)
    stages, planned = [], 0
    for number, (stage, windows) in enumerate(zip(recipe.stages, cut, strict=True)):
        generator = np.random.default_rng([seed, number])
        for _ in range(stage.epochs):
            head = -planned % effective_batch_size
            if stage.shuffle:
                windows = shuffle(windows, head=head, generator=generator)
            stages.append(windows)
            planned += len(windows)
    if not planned:
        raise ValueError("recipe: its sources hold no window to train on")
    plan = pd.concat(stages)
    if recipe.mixed:
        plan = shuffle(plan, head=0, generator=np.random.default_rng(seed))
    corpus = pd.Categorical(plan["corpus"], categories=sorted(stores))
    return plan.assign(corpus=corpus).reset_index(drop=True)


def cut_source(
    source: SourceConfig, store: TokenStore, *, rows: IntArray, generator: np.random.Generator
) -> pd.DataFrame:
    """Cut and sample the windows of one source, in the order of the corpus."""
    if source.max_examples is not None and source.max_examples < len(rows):
        rows = np.sort(generator.choice(rows, size=source.max_examples, replace=False))
    windows = slide(store, max_length=source.max_length, doc_stride=source.doc_stride, rows=rows)
    windows = keep_negatives(windows, share=source.negatives, generator=generator)
    if source.crop:
        windows = crop(windows, store, generator=generator)
    return windows.assign(corpus=source.corpus)


def thin_stages(stages: Sequence[pd.DataFrame], *, tokens: int, seed: int) -> list[pd.DataFrame]:
    """Draw the same share of windows from every corpus of every stage, to `tokens` tokens in all.

    Windows keep their order. Stages that hold no more than `tokens` stay as they are.

    >>> stage = pd.DataFrame({"corpus": ["squad"] * 6 + ["chaii"] * 2, "length": 50})
    >>> [thinned] = thin_stages([stage], tokens=200, seed=0)
    >>> thinned["corpus"].value_counts().to_dict()
    {'squad': 3, 'chaii': 1}
    """
    total = sum(int(windows["length"].sum()) for windows in stages)
    share = min(1.0, tokens / max(1, total))
    thinned = []
    for number, windows in enumerate(stages):
        generator = np.random.default_rng([seed, len(stages), number])
        corpus = windows["corpus"].to_numpy()
        keep = np.zeros(len(windows), dtype=bool)
        for name in windows["corpus"].unique():
            rows = np.flatnonzero(corpus == name)
            keep[generator.choice(rows, size=round(share * len(rows)), replace=False)] = True
        thinned.append(windows[keep])
    return thinned


def _shuffle(
    windows: pd.DataFrame, *, step: int, head: int, generator: np.random.Generator, by_length: bool
) -> pd.DataFrame:
    """Put windows in random order; `by_length` with all lengths in each optimiser step, sorted.

    By length, each run of `_POOL` steps is a uniform draw. Its windows are sorted and cut into
    `_STRATA` equal ranges of length; each step gets a block of consecutive windows of each range,
    at random. So batches of up to ``step // _STRATA`` windows need less than 3 % of padding, and
    the mixture of corpora in a step varies as in uniform draws (benchmarks/padding.py measures
    both). The first `head` windows complete the step that the stage before left open.
    """
    length = windows["length"].to_numpy()
    order = generator.permutation(len(length))
    if not by_length:
        return windows.iloc[order]
    end = head + max(0, len(order) - head) // step * step
    strata = math.gcd(step, _STRATA)
    for first in range(head, end, _POOL * step):
        pool = order[first : min(first + _POOL * step, end)]
        pool = pool[np.argsort(length[pool], kind="stable")].reshape(strata, -1, step // strata)
        dealt = [generator.permutation(stratum) for stratum in pool]
        order[first : first + pool.size] = np.stack(dealt, axis=1).ravel()
    return windows.iloc[order]
