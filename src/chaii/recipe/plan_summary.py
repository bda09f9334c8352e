"""What a plan costs, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from chaii.config.schema import RecipeConfig
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import TokenStore
from chaii.recipe.windows import slide

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

    >>> round(padding_share(np.array([4, 2, 3, 3]), batch_size=2), 3)
    0.143
    """
    return float(1 - length.sum() / _padded_lengths(length, batch_size=batch_size).sum())


def summarise_plan(
    plan: pd.DataFrame, *, batch_size: int, effective_batch_size: int
) -> pd.DataFrame:
    """One row a stage and one for the whole: windows, steps, tokens, padding, negatives, corpora.

    ``padding`` and ``negatives`` are shares; one column a corpus holds its share of the windows.
    Padding is that of the batches as they are trained, also where two stages share one; a shared
    step counts for the stage that begins it.
    """
    padded = _padded_lengths(plan["length"].to_numpy(), batch_size=batch_size)
    opens_step = np.arange(len(plan)) % effective_batch_size == 0
    return pd.DataFrame(
        {
            name: {
                "windows": len(rows),
                "steps": int(rows["opens_step"].sum()),
                "tokens": int(rows["length"].sum()),
                "padding": float(1 - rows["length"].sum() / rows["padded"].sum()),
                "negatives": float((rows["start_token"] < 0).mean()),
            }
            | rows["corpus"].value_counts(normalize=True).sort_index().to_dict()
            for name, rows in _by_stage(plan.assign(padded=padded, opens_step=opens_step))
        }
    ).T.astype({"windows": int, "steps": int, "tokens": int})


def summarise_sources(
    recipe: RecipeConfig,
    stores: Mapping[str, TokenStore],
    *,
    rows: Mapping[str, IntArray],
    plan: pd.DataFrame,
) -> pd.DataFrame:
    """One row an source: its windows before sampling, and the share of negatives that is left.

    `rows` are those of each corpus that may be trained on. ``kept`` compares the plan with all
    negatives, so it also shows what `max_examples` leaves out.
    """
    lines = []
    negative = plan[plan["start_token"] < 0].groupby(["stage", "corpus"], observed=True).size()
    for number, stage in enumerate(recipe.stages):
        for part in stage.sources:
            windows = slide(
                stores[part.corpus],
                max_length=part.max_length,
                doc_stride=part.doc_stride,
                rows=rows[part.corpus],
            )
            negatives = int((windows["start_token"] < 0).sum())
            left = negative.get((number, part.corpus), 0)
            lines.append(
                {
                    "stage": number,
                    "corpus": part.corpus,
                    "length/doc_stride": f"{part.max_length}/{part.doc_stride}",
                    "windows": len(windows),
                    "negatives": negatives,
                    "kept": left / negatives if negatives else 1.0,
                }
            )
    return pd.DataFrame(lines)


def summarise_languages(plan: pd.DataFrame, languages: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Share of the windows in each language; rows as `summarise_plan`, a column a language.

    `languages` names the language of each example of each corpus.
    """
    names = pd.Series("", index=plan.index)
    for corpus, rows in plan.groupby("corpus", observed=True):
        names[rows.index] = np.array(languages[corpus])[rows["example"]]
    parts = _by_stage(plan.assign(language=names))
    shares = {name: rows["language"].value_counts(normalize=True) for name, rows in parts}
    return pd.DataFrame(shares).T.fillna(0.0).sort_index(axis="columns")


def _by_stage(plan: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The windows of each stage under its name, then all of them."""
    return [*((f"stage {stage}", rows) for stage, rows in plan.groupby("stage")), ("all", plan)]


def _padded_lengths(length: IntArray, *, batch_size: int) -> IntArray:
    """Tokens that each window takes up in its batch: those of the longest, ``(windows,)``."""
    first = np.arange(0, len(length), batch_size)
    return np.maximum.reduceat(length, first)[np.arange(len(length)) // batch_size]


def estimate_hours(tokens: float, *, encoder_millions: float) -> dict[str, float]:
    """Hours to train on `tokens` (padding counted) on each GPU there is a speed for.

    Source: the winner's own hours for the RTX 3090; vendors' rates at 40 % for the others.

    >>> round(estimate_hours(285_951 * 384, encoder_millions=303)["rtx3090_fp32"], 2)
    2.7
    """
    return {
        gpu: tokens * encoder_millions / rate / 3600
        for gpu, rate in _MILLION_PARAMETER_TOKENS.items()
    }


def format_hours(tokens: float, *, encoder_millions: float | None) -> str:
    """The hours of `estimate_hours` in words, with where they come from."""
    if encoder_millions is None:
        return "hours: not known; they follow from backbone.encoder_millions"
    hours = estimate_hours(tokens, encoder_millions=encoder_millions)
    shown = ", ".join(f"{gpu} {value:.2g}" for gpu, value in hours.items())
    return (
        f"hours: {shown}\nthe RTX 3090 by the winner's own speed, others by 40 % of vendors' rates"
    )
