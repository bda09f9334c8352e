"""Row 4: share of padding among the tokens of winner_119's batches, its stages kept in order.

The corpora are generated, with the lengths of the real ones and a twentieth of their rows; the
recipe is the real one. The standard pads every window to max_length, or in random order each batch
to its longest window.

    python benchmarks/padding.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from made import make_examples, make_tokenizer
from measure import Line, parse_arguments, report

from chaii.config.checks import check_train
from chaii.config.compose import compose_config
from chaii.config.schema import RecipeConfig
from chaii.recipe.plan import make_plan
from chaii.recipe.plan_summary import padding_share
from chaii.recipe.token_store import TokenStore, open_store

CONF = Path(__file__).parents[1] / "conf"
STEP = 32  # windows of an optimiser step
BATCH_SIZES = (4, 8)
SHARE = 20  # every 20th row
CORPORA = {  # contexts, median tokens of one, their spread, questions of one
    "tydi_primary": (11_700, 4300, 0.6, 1),
    "squad": (18_900, 150, 0.35, 5),
    "mlqa_hi": (5_000, 190, 0.5, 1),
    "xquad_hi": (240, 220, 0.35, 5),
    "natural_questions": (10_700, 6000, 0.7, 1),
    "chaii": (1_114, 2600, 0.8, 1),
}


def read_recipe() -> RecipeConfig:
    """Read the recipe of winner_119."""
    return check_train(compose_config(CONF, "train", ["experiment=winner_119"])).recipe


def make_stores(folder: Path, *, share: int = SHARE) -> dict[str, TokenStore]:
    """Make a token store of each corpus with one row in `share`."""
    tokenizer, stores = make_tokenizer(), {}
    for seed, (name, (contexts, words, spread, questions)) in enumerate(CORPORA.items()):
        counts = {"words": words, "spread": spread, "questions": questions}
        examples = make_examples(max(2, contexts // share), **counts, seed=seed)
        stores[name] = open_store(examples, tokenizer, folder)
    return stores


def plan_windows(recipe: RecipeConfig, stores: dict[str, TokenStore]) -> pd.DataFrame:
    """Make the plan.

    Raises:
        ValueError: Its stages are not in order.
    """
    rows = {name: np.arange(len(store)) for name, store in stores.items()}
    plan = make_plan(recipe, stores, rows=rows, effective_batch_size=STEP, seed=2021)
    if (np.diff(plan["stage"]) < 0).any():
        raise ValueError("a window comes before one of an earlier stage")
    return plan


def measure_spread(plan: pd.DataFrame) -> float:
    """Return the standard deviation of a corpus' share in a step of a stage, on average."""
    step = np.arange(len(plan)) // STEP
    spreads = []
    for stage in plan["stage"].unique()[:2]:
        rows = (plan["stage"] == stage).to_numpy()
        shares = pd.crosstab(step[rows], plan["corpus"].to_numpy()[rows], normalize="index")
        spreads.append(shares.iloc[1:-1].std().mean())
    return float(np.mean(spreads))


def compare_padding(recipe: RecipeConfig, plan: pd.DataFrame, *, batch_size: int) -> Line:
    """Compare the padding at one batch size."""
    length, stage = plan["length"].to_numpy(), plan["stage"].to_numpy()
    longest = [max(part.max_length for part in stage.sources) for stage in recipe.stages]
    full = 1 - length.sum() / np.array(longest)[stage].sum()
    order = np.random.default_rng(2021).permutation(len(plan))
    random = padding_share(length[order], batch_size=batch_size)
    inside = order[np.argsort(stage[order], kind="stable")]
    by_stage = padding_share(length[inside], batch_size=batch_size)
    ours = 100 * padding_share(length, batch_size=batch_size)
    return Line(
        f"winner_119, {STEP} windows per step in batches of {batch_size}",
        f"{ours:.2f} %",
        f"{full:.1%} to max_length; {random:.1%} to the longest, in random order; "
        f"{by_stage:.1%} in random order inside each stage",
        ours,
        unit="%",
        at_most=3,
        note=f"{len(plan):,} windows of {length.mean():.0f} tokens on average; stages in order; "
        f"spread of a corpus' share in a step {measure_spread(plan):.3f}, in random order inside "
        f"each stage {measure_spread(plan.iloc[inside]):.3f}",
    )


def main() -> None:
    quick = parse_arguments(__doc__).quick
    recipe = read_recipe()
    with tempfile.TemporaryDirectory() as folder:
        stores = make_stores(Path(folder), share=2000 if quick else SHARE)
        plan = plan_windows(recipe, stores)
        lines = [compare_padding(recipe, plan, batch_size=size) for size in BATCH_SIZES]
    report(4, "Padding", lines, name="padding", quick=quick)


if __name__ == "__main__":
    main()
