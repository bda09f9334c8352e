"""What a plan costs, before anything is trained."""

from __future__ import annotations

import numpy as np
import pandas as pd

from chaii.recipe.tokens import IntArray

# Tokens a second in training, for one million encoder parameters (embeddings not counted): divide
# by a backbone's. The RTX 3090's is the winner's: XLM-R large, fp32, 285,951 windows padded to 384
# in 2:42 hours. Others: the vendor's dense rate, 6 operations a parameter and token, 40 % used.
_MILLION_PARAMETER_TOKENS = {
    "rtx3090_fp32": 285_951 * 384 / (2.7 * 3600) * 303,
    "t4_fp16": 65e12 * 0.4 / 6e6,
    "a100": 312e12 * 0.4 / 6e6,
    "h100": 989e12 * 0.4 / 6e6,
    "h200": 989e12 * 0.4 / 6e6,
}


def padding_share(length: IntArray, *, batch_size: int) -> float:
    """Share of padding among the tokens of consecutive batches, each padded to its longest.

    >>> padding_share(np.array([4, 2, 3, 3]), batch_size=2)
    0.14285714285714285
    """
    first = np.arange(0, len(length), batch_size)
    longest = np.maximum.reduceat(length, first)
    rows = np.diff(np.append(first, len(length)))
    return float(1 - length.sum() / (longest * rows).sum())


def summarise_plan(plan: pd.DataFrame, *, batch_size: int, windows_per_step: int) -> pd.DataFrame:
    """One row a stage and one for the whole: windows, steps, tokens, padding, negatives, corpora.

    ``padding`` and ``negatives`` are shares; one column a corpus holds its share of the windows.
    """
    parts = [(f"stage {stage}", rows) for stage, rows in plan.groupby("stage")]
    return pd.DataFrame(
        {
            name: {
                "windows": len(rows),
                "steps": -(-len(rows) // windows_per_step),
                "tokens": int(rows["length"].sum()),
                "padding": padding_share(rows["length"].to_numpy(), batch_size=batch_size),
                "negatives": float((rows["start_token"] < 0).mean()),
            }
            | rows["corpus"].value_counts(normalize=True).sort_index().to_dict()
            for name, rows in [*parts, ("all", plan)]
        }
    ).T.astype({"windows": int, "steps": int, "tokens": int})


def summarise_languages(plan: pd.DataFrame, languages: dict[str, list[str]]) -> pd.Series:
    """Share of the plan's windows in each language; `languages` names that of each corpus row."""
    names = pd.concat(
        [
            pd.Series(np.array(languages[corpus])[rows["example"]])
            for corpus, rows in plan.groupby("corpus", observed=True)
        ]
    )
    return names.value_counts(normalize=True)


def estimate_hours(tokens: int, *, encoder_millions: float) -> dict[str, float]:
    """Hours to train on `tokens` (padding counted) on each GPU there is a speed for.

    Source: the winner's own hours for the RTX 3090; vendors' rates at 40 % for the others.

    >>> round(estimate_hours(285_951 * 384, encoder_millions=303)["rtx3090_fp32"], 2)
    2.7
    """
    return {
        gpu: tokens * encoder_millions / rate / 3600
        for gpu, rate in _MILLION_PARAMETER_TOKENS.items()
    }
