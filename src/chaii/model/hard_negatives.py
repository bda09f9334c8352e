"""Hard negatives: before each stage its windows without the answer are drawn anew."""

from typing import Any

import numpy as np
import pandas as pd
from transformers import TrainerCallback

from chaii.config.schema import RecipeConfig
from chaii.model.collate import PlanDataset
from chaii.model.predict import predict_logits
from chaii.model.stage_reset import find_borders
from chaii.recipe.token_store import Stores, TokenStore
from chaii.recipe.windows import WINDOW_COLUMNS, slide

_POOL = 4  # candidates per window that is drawn


class HardNegatives(TrainerCallback):
    def __init__(
        self, plan: pd.DataFrame, stores: Stores, dataset: PlanDataset, *,
        recipe: RecipeConfig, effective_batch_size: int, seed: int,
    ) -> None:
        self._plan, self._stores, self._dataset, self._recipe = plan, stores, dataset, recipe
        borders = find_borders(plan, effective_batch_size=effective_batch_size)
        self._stages = dict(zip(borders, range(1, len(recipe.stages)), strict=True))
        dataset._windows = dataset._windows.copy()
        self._generator = np.random.default_rng([seed, 77])

    def on_step_begin(self, _args: Any, state: Any, *_: Any, model: Any, **__: Any) -> None:
        stage = self._stages.get(state.global_step)
        if stage is None:
            return
        for source in self._recipe.stages[stage].sources:
            here = (self._plan["stage"] == stage) & (self._plan["corpus"] == source.corpus)
            negative = np.flatnonzero(here & (self._plan["start_token"] < 0))
            if not len(negative):
                continue
            store = self._stores[source.corpus]
            rows = np.unique(self._plan.loc[here, "example"].to_numpy(np.int64))
            pool = slide(store, max_length=source.max_length, doc_stride=source.doc_stride, rows=rows)
            pool = pool[pool["start_token"] < 0]
            size = min(len(pool), _POOL * len(negative))
            pool = pool.iloc[np.sort(self._generator.choice(len(pool), size=size, replace=False))]
            pool = pool[~_holds_match(pool, store)]
            scores = _score(model, pool, store)
            hardest = pool.iloc[np.argsort(-scores, kind="stable")[: len(negative)]]
            hardest = hardest.sort_values("length", kind="stable")
            old = self._plan["length"].to_numpy()[negative]
            slots = negative[np.argsort(old, kind="stable")][-len(hardest):]
            self._dataset._windows[slots] = hardest[list(WINDOW_COLUMNS)].to_numpy(np.int32)
            print(
                f"\nhard negatives: step {state.global_step} stage {stage} {source.corpus}: {len(slots)} of "
                f"{len(negative)}, pool {len(pool)} (of {size}), score {scores.mean():.2f}, drawn "
                f"{np.sort(scores)[-len(hardest):].mean():.2f}, tokens {old.sum()} -> {hardest['length'].sum()}",
                flush=True,
            )
        model.train()


def _holds_match(pool: pd.DataFrame, store: TokenStore) -> Any:
    """Whether a window holds the tokens of the answer at another place."""
    found = np.zeros(len(pool), bool)
    for place, window in enumerate(pool.itertuples(index=False)):
        context = np.asarray(store.tokens_of(store.context[window.example]))
        cut = context[window.context_from : window.context_to]
        for first, last in store.answers.of(window.example).tolist():
            answer = context[first : last + 1]
            if first >= 0 and len(answer) <= len(cut):
                views = np.lib.stride_tricks.sliding_window_view(cut, len(answer))
                found[place] |= bool((views == answer).all(axis=1).any())
    return found


def _score(model: Any, pool: pd.DataFrame, store: TokenStore) -> Any:
    """Margin of the best start and end over the logits that mean no answer."""
    logits = predict_logits(model, pool, store, batch_size=32, progress=False)
    width = (pool["context_to"] - pool["context_from"]).to_numpy(np.int64)
    first = np.cumsum(width) - width
    best = [np.maximum.reduceat(side.astype(np.float32), first) for side in (logits.start, logits.end)]
    return best[0] + best[1] - logits.null.astype(np.float32).sum(axis=1)
