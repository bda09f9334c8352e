"""The plan: order, shares and padding."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from chaii.config.schema import RecipeConfig, SourceConfig, StageConfig
from chaii.recipe.plan import make_plan, thin_stages
from chaii.recipe.plan_summary import padding_share
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import keep_negatives


@pytest.fixture(scope="module")
def stores(tokenizers, make_examples, tmp_path_factory):
    """Two corpora of contexts of very different lengths."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("tokens")
    stores = {}
    for corpus, rows in (("near", 120), ("far", 90)):
        table = []
        for i in range(rows):
            context = "गंगा नदी की लंबाई है। " * int(generator.integers(1, 60)) + f"{corpus} {i}"
            table.append((f"कितनी {i}?", context, f"{corpus} {i}", context.index(corpus)))
        examples = make_examples(table, corpus=corpus)
        stores[corpus] = open_store(examples, tokenizers["wordpiece"], folder)
    return stores


def make_recipe(*stages, shuffle=True):
    return RecipeConfig(stages=[StageConfig(list(stage), shuffle=shuffle) for stage in stages])


NEAR = SourceConfig("near", 64, 16)
FAR = SourceConfig("far", 96, 32, negatives=0.3)


def plan_of(stores, recipe, *, step=8, seed=1):
    rows = {name: np.arange(len(store)) for name, store in stores.items()}
    return make_plan(recipe, stores, rows=rows, effective_batch_size=step, seed=seed)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("limit", [None, 20])
def test_stages_stay_in_order_under_every_option(stores, crop, shuffle, limit):
    near = SourceConfig("near", 64, 16, crop=crop, max_examples=limit)
    plan = plan_of(stores, make_recipe([near, FAR], [FAR], [near], shuffle=shuffle))
    assert plan["stage"].is_monotonic_increasing
    assert set(plan["stage"]) == {0, 1, 2}


def test_a_shuffled_stage_holds_the_same_windows_in_another_order(stores):
    still = plan_of(stores, make_recipe([NEAR, FAR], shuffle=False))
    mixed = plan_of(stores, make_recipe([NEAR, FAR], shuffle=True))
    columns = list(still.columns)
    assert not still.equals(mixed)
    pd.testing.assert_frame_equal(
        still.sort_values(columns, ignore_index=True), mixed.sort_values(columns, ignore_index=True)
    )


def test_a_mixed_recipe_holds_the_same_windows_in_one_random_order(stores):
    staged = plan_of(stores, make_recipe([NEAR], [FAR]))
    recipe = make_recipe([NEAR], [FAR])
    recipe.mixed = True
    mixed = plan_of(stores, recipe)
    columns = list(staged.columns)
    assert not mixed["stage"].is_monotonic_increasing
    pd.testing.assert_frame_equal(
        staged.sort_values(columns, ignore_index=True),
        mixed.sort_values(columns, ignore_index=True),
    )


def test_without_grouping_the_order_is_uniform(stores):
    recipe = make_recipe([NEAR, FAR])
    recipe.group_by_length = False
    plan = plan_of(stores, recipe)
    grouped = plan_of(stores, make_recipe([NEAR, FAR]))
    columns = list(plan.columns)
    pd.testing.assert_frame_equal(
        plan.sort_values(columns, ignore_index=True),
        grouped.sort_values(columns, ignore_index=True),
    )
    halves = [table["length"].to_numpy()[:320].reshape(-1, 8) for table in (plan, grouped)]
    rises = [
        np.mean(lengths[:, 4:].mean(axis=1) > lengths[:, :4].mean(axis=1)) for lengths in halves
    ]
    assert rises[0] < 0.8
    assert rises[1] > 0.9


def test_an_unshuffled_stage_keeps_the_order_of_the_corpus(stores):
    plan = plan_of(stores, make_recipe([NEAR], shuffle=False))
    assert plan["example"].is_monotonic_increasing


PLAIN = {"corpus": "near", "max_length": 64, "doc_stride": 16}
OPTIONS = {
    "max_length": 48,
    "doc_stride": 8,
    "negatives": 0.2,
    "crop": True,
    "max_examples": 20,
}


@pytest.mark.parametrize(("option", "value"), OPTIONS.items())
def test_every_option_of_a_source_acts(stores, option, value):
    plain, changed = (
        plan_of(stores, make_recipe([SourceConfig(**source)], shuffle=False))
        for source in (PLAIN, PLAIN | {option: value})
    )
    assert not plain.equals(changed)
    assert len(changed)


def test_a_plan_keeps_to_its_number_of_tokens(stores):
    recipe = make_recipe([NEAR], [FAR])
    recipe.max_tokens = plan_of(stores, recipe)["length"].sum() // 2
    assert abs(plan_of(stores, recipe)["length"].sum() / recipe.max_tokens - 1) < 0.05


def test_crop_leaves_the_grid(stores):
    plain, cropped = (
        plan_of(stores, make_recipe([SourceConfig(**PLAIN, **options)], shuffle=False))
        for options in ({}, {"crop": True})
    )
    assert len(cropped) == len(plain)
    assert len(set(cropped["context_from"])) > 2 * len(set(plain["context_from"]))


@pytest.mark.parametrize("mixed", [False, True])
def test_the_order_depends_on_the_seed(stores, mixed):
    recipe = make_recipe([NEAR], [NEAR], shuffle=not mixed)  # nothing but the order is drawn
    recipe.mixed = mixed
    one, other = (plan_of(stores, recipe, seed=seed)["example"].tolist() for seed in (1, 2))
    assert one != other
    assert sorted(one) == sorted(other)


@pytest.mark.parametrize("options", [{"negatives": 0.3}, {"max_examples": 9}, {"crop": True}])
def test_what_is_drawn_depends_on_seed_stage_and_source(stores, options):
    source = SourceConfig("far", 96, 32, **options)
    columns = ["example", "context_from"]
    recipe = make_recipe([source, source], [source], shuffle=False)
    draws = []
    for seed in (1, 2):
        plan = plan_of(stores, recipe, seed=seed)
        first, third = (plan[plan["stage"] == stage] for stage in (0, 1))
        first, second = first.iloc[: len(third)], first.iloc[len(third) :]
        draws += [part[columns].to_numpy().tolist() for part in (first, second, third)]
    assert len({str(draw) for draw in draws}) == 6


def test_the_same_seed_gives_the_same_plan_and_another_seed_another(stores):
    recipe = make_recipe([NEAR, FAR], [FAR])
    one, same, other = (plan_of(stores, recipe, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)


def test_the_same_source_is_drawn_anew_in_each_stage(stores):
    plan = plan_of(stores, make_recipe([FAR], [FAR], shuffle=False))
    first, second = (plan[plan["stage"] == stage] for stage in (0, 1))
    columns = ["example", "context_from"]
    assert first[columns].to_numpy().tolist() != second[columns].to_numpy().tolist()


def test_a_second_epoch_has_the_same_windows_in_another_order(stores):
    recipe = RecipeConfig(stages=[StageConfig([FAR], epochs=2), StageConfig([NEAR], shuffle=False)])
    plan = plan_of(stores, recipe)
    windows = plan.loc[plan["stage"] == 0, ["example", "context_from"]].to_numpy().tolist()
    first, second = windows[: len(windows) // 2], windows[len(windows) // 2 :]
    assert first != second
    assert sorted(first) == sorted(second)


def test_only_rows_that_may_be_trained_on_are_planned(stores):
    rows = {"near": np.array([3, 5, 8]), "far": np.array([], int)}
    plan = make_plan(make_recipe([NEAR, FAR]), stores, rows=rows, effective_batch_size=8, seed=0)
    assert set(plan["example"]) == {3, 5, 8}
    assert set(plan["corpus"]) == {"near"}


def test_a_recipe_without_windows_is_refused(stores):
    rows = {name: np.array([], int) for name in stores}
    with pytest.raises(ValueError, match="no window to train on"):
        make_plan(make_recipe([NEAR]), stores, rows=rows, effective_batch_size=8, seed=0)


ALIKE = [NEAR, SourceConfig("far", 64, 16, negatives=0.3)] * 10
MANY = make_recipe([SourceConfig("near", 64, 16, max_examples=78)] * 20, ALIKE)


@pytest.mark.parametrize("mixed", [False, True])
def test_batches_of_a_quarter_step_need_little_padding(stores, mixed):
    plan = plan_of(stores, replace(MANY, mixed=mixed), step=32)
    length = plan["length"].to_numpy()
    assert (plan["stage"] == 0).sum() % 32  # no step ends where the stage does
    shuffled = np.random.default_rng(0).permutation(length)
    assert padding_share(length, batch_size=8) < 0.03
    assert padding_share(length, batch_size=8) < 0.3 * padding_share(shuffled, batch_size=8)


def spread_of_steps(plan):
    """Standard deviation over steps of 32 of the share of one corpus."""
    stage = plan[plan["stage"] == 1].iloc[32:-32]  # no shared step
    return stage.groupby(stage.index // 32)["corpus"].apply(lambda c: (c == "far").mean()).std()


def test_steps_mix_corpora_as_uniform_draws_do(stores):
    ours, uniform = [], []
    for seed in range(8):
        plan = plan_of(stores, MANY, step=32, seed=seed)
        drawn = plan.sample(frac=1, random_state=seed).sort_values("stage", kind="stable")
        ours.append(spread_of_steps(plan))
        uniform.append(spread_of_steps(drawn.reset_index(drop=True)))
    assert np.mean(ours) < 1.15 * np.mean(uniform)


def test_steps_that_are_sorted_together_are_in_random_order(stores):
    length = plan_of(stores, make_recipe(ALIKE), step=32)["length"].to_numpy()
    length = length[: len(length) // 128 * 128]
    by_place = length.reshape(-1, 4, 32).mean(axis=(0, 2))  # first to fourth step of each four
    assert by_place.max() - by_place.min() < 0.02 * length.mean()


def test_a_stage_is_not_sorted_by_length(stores):
    plan = plan_of(stores, MANY, step=32)
    length = plan.loc[plan["stage"] == 1, "length"].iloc[32:-32]
    quarters = [part.mean() for part in np.array_split(length.to_numpy(), 4)]
    assert max(quarters) - min(quarters) < 0.05 * length.mean()


@pytest.mark.parametrize("share", [0.0, 0.06, 0.1, 0.5, 1.0])
def test_the_share_of_negatives_is_what_was_asked(share):
    windows = pd.DataFrame({"start_token": np.where(np.arange(100_000) % 10, -1, 5)})
    kept = keep_negatives(windows, share=share, generator=np.random.default_rng(0))
    assert (kept["start_token"] >= 0).sum() == 10_000
    assert (kept["start_token"] < 0).sum() == round(share * 90_000)


def test_the_examples_that_are_drawn_differ(stores):
    source = SourceConfig("near", 384, 128, max_examples=119)
    plan = plan_of(stores, make_recipe([source], shuffle=False))
    assert plan["example"].nunique() == 119


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
