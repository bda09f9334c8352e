"""What a plan costs, before anything is trained."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from chaii.config.schema import RecipeConfig
from chaii.corpus.table import RowNumbers
from chaii.recipe.span_labels import IntArray
from chaii.recipe.token_store import Stores
from chaii.recipe.windows import slide

# Tokens per second in training for one million encoder parameters (without embeddings): divide by
# a backbone's. The RTX 3090's rate is the winner's: XLM-R large, fp32, 285,951 windows padded to
# 384 in 2:42 hours. The others: the vendor's dense rate, 6 operations per parameter and token, at
# 40 % of the peak.
_MILLION_PARAMETER_TOKENS = {
    "RTX 3090 (fp32)": 285_951 * 384 / (2.7 * 3600) * 303,
    "T4 (fp16)": 65e12 * 0.4 / 6e6,
    "A100 (bf16)": 312e12 * 0.4 / 6e6,
    "H100 or H200 (bf16)": 989e12 * 0.4 / 6e6,
}
_COUNTS = ["windows", "steps", "tokens"]


def padding_share(length: IntArray, *, batch_size: int) -> float:
    """Share of padding among the tokens of consecutive batches, each padded to its longest window.

    >>> round(padding_share(np.array([4, 2, 3, 3]), batch_size=2), 3)
    0.143
    """
    return float(1 - length.sum() / _padded_lengths(length, batch_size=batch_size).sum())


def summarise_plan(
    plan: pd.DataFrame, *, batch_size: int, effective_batch_size: int
) -> pd.DataFrame:
    """Count windows, steps, tokens, padding, negatives and corpora; one row per stage and ``all``.

    ``padding`` is a share of the computed tokens, ``negatives`` one of the windows; each corpus has
    a column with its share of the windows. Padding is that of the batches as they are trained, also
    where two stages share one; a shared step counts for the stage that begins it.
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
    ).T.astype(dict.fromkeys(_COUNTS, int))


def summarise_sources(
    recipe: RecipeConfig, stores: Stores, *, rows: RowNumbers, plan: pd.DataFrame
) -> pd.DataFrame:
    """Count the windows of each source before sampling, and the share of negatives that is kept.

    `rows` are those of each corpus that may be trained on. ``kept`` compares the plan with all
    negatives, so it also counts what `max_examples` leaves out.
    """
    lines = []
    negative = plan[plan["start_token"] < 0].groupby(["stage", "corpus"], observed=True).size()
    for number, stage in enumerate(recipe.stages):
        for source in stage.sources:
            corpus, max_length, doc_stride = source.corpus, source.max_length, source.doc_stride
            size = {"max_length": max_length, "doc_stride": doc_stride}
            windows = slide(stores[corpus], rows=rows[corpus], **size)
            negatives = int((windows["start_token"] < 0).sum())
            kept = negative.get((number, corpus), 0) / negatives if negatives else 1.0
            counts = len(windows), negatives, kept
            lines.append((number, corpus, f"{max_length}/{doc_stride}", *counts))
    names = ["stage", "corpus", "length/stride", "windows", "negatives", "kept"]
    return pd.DataFrame(lines, columns=names)


def summarise_languages(plan: pd.DataFrame, languages: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Share of the windows in each language; rows as `summarise_plan`, one column per language.

    `languages` names the language of each example of each corpus.
    """
    names = pd.Series("", index=plan.index)
    for corpus, rows in plan.groupby("corpus", observed=True):
        names[rows.index] = np.array(languages[corpus])[rows["example"]]
    parts = _by_stage(plan.assign(language=names))
    shares = {name: rows["language"].value_counts(normalize=True) for name, rows in parts}
    return pd.DataFrame(shares).T.fillna(0.0).sort_index(axis="columns")


def format_summary(summary: pd.DataFrame, *, title: str) -> str:
    """Format what `summarise_plan` or `summarise_languages` returned, with a column per stage.

    >>> summary = pd.DataFrame({"windows": [1200], "padding": [0.5]}, ["all"])
    >>> print(format_summary(summary, title="plan"))
    | plan    |   all |
    |---------|-------|
    | windows | 1,200 |
    | padding | 50.0% |
    """
    columns = {title: list(summary.columns)} | {
        stage: [f"{v:,.0f}" if name in _COUNTS else f"{v:.1%}" for name, v in row.items()]
        for stage, row in summary.fillna(0).iterrows()
    }
    align = ["left", *["right"] * len(summary)]
    form = {"index": False, "tablefmt": "github", "disable_numparse": True}
    return str(pd.DataFrame(columns).to_markdown(colalign=align, **form))


def _by_stage(plan: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The windows of each stage under its name, then all of them."""
    return [*((f"stage {stage}", rows) for stage, rows in plan.groupby("stage")), ("all", plan)]


def _padded_lengths(length: IntArray, *, batch_size: int) -> IntArray:
    """Tokens that each window takes up in its batch: those of the longest, ``(windows,)``."""
    first = np.arange(0, len(length), batch_size)
    return np.maximum.reduceat(length, first)[np.arange(len(length)) // batch_size]


def estimate_hours(tokens: float, *, encoder_millions: float) -> dict[str, float]:
    """Estimate the hours to train on `tokens` (padding included), by GPU.

    Source: the winner's own hours for the RTX 3090; vendors' rates at 40 % for the others.

    >>> round(estimate_hours(285_951 * 384, encoder_millions=303)["RTX 3090 (fp32)"], 2)
    2.7
    """
    rates = _MILLION_PARAMETER_TOKENS.items()
    return {gpu: tokens * encoder_millions / rate / 3600 for gpu, rate in rates}


def format_hours(tokens: float, *, encoder_millions: float | None) -> str:
    """Write the hours of `estimate_hours` as a sentence, with their source."""
    if encoder_millions is None:
        return "Set backbone.encoder_millions to estimate the hours of training."
    hours = estimate_hours(tokens, encoder_millions=encoder_millions)
    shown = ", ".join(f"{gpu} {value:.2g}" for gpu, value in hours.items())
    source = "by the winner's rate (RTX 3090) or 40 % of the vendors' peak rates"
    return f"Estimated hours of training, {source}:\n{shown}"
