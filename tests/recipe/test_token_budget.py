"""The token budget: how many windows are kept, and of what."""

import numpy as np
import pandas as pd

from chaii.recipe.token_budget import thin_stages


def make_stages():
    generator = np.random.default_rng(0)
    return [
        pd.DataFrame(
            {
                "example": np.arange(rows),
                "corpus": generator.choice(["near", "far"], size=rows, p=[0.2, 0.8]),
                "length": generator.integers(20, longest, size=rows),
            }
        )
        for rows, longest in ((3000, 100), (1000, 300))
    ]


def total(stages):
    return sum(windows["length"].sum() for windows in stages)


def test_the_budget_is_met_within_a_percent():
    stages = make_stages()
    thinned = thin_stages(stages, tokens=100_000, seed=1)
    assert abs(total(thinned) - 100_000) < 1_000


def test_every_corpus_of_every_stage_keeps_the_same_share_of_its_windows():
    stages = make_stages()
    thinned = thin_stages(stages, tokens=total(stages) // 4, seed=1)
    for before, after in zip(stages, thinned, strict=True):
        shares = after["corpus"].value_counts() / before["corpus"].value_counts()
        np.testing.assert_allclose(shares, 0.25, atol=0.005)


def test_windows_keep_their_order():
    assert all(
        windows["example"].is_monotonic_increasing
        for windows in thin_stages(make_stages(), tokens=50_000, seed=1)
    )


def test_a_plan_below_the_budget_stays_as_it_is():
    stages = make_stages()
    thinned = thin_stages(stages, tokens=10**9, seed=1)
    for before, after in zip(stages, thinned, strict=True):
        pd.testing.assert_frame_equal(before, after)


def test_another_seed_draws_other_windows():
    first, second = (thin_stages(make_stages(), tokens=50_000, seed=seed)[0] for seed in (1, 2))
    assert not first.equals(second)
