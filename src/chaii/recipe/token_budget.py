"""Fit a plan to a number of tokens, so that recipes are compared at equal cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


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
