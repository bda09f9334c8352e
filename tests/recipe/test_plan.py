"""The plan: order, shares and padding."""

import numpy as np
import pandas as pd
import pytest

from chaii.config.schema import RecipeConfig, SourceConfig, StageConfig
from chaii.recipe.plan import keep_negatives, make_plan
from chaii.recipe.token_store import open_store


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


def plan_of(stores, recipe, *, batch_size=8, seed=1):
    rows = {name: np.arange(len(store)) for name, store in stores.items()}
    return make_plan(recipe, stores, rows=rows, batch_size=batch_size, seed=seed)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("balance", [False, True])
@pytest.mark.parametrize("limit", [None, 20])
def test_stages_stay_in_order_under_every_option(stores, crop, shuffle, balance, limit):
    near = SourceConfig("near", 64, 16, crop=crop, balance=balance, max_examples=limit)
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


def test_an_unshuffled_stage_keeps_the_order_of_the_corpus(stores):
    plan = plan_of(stores, make_recipe([NEAR], shuffle=False))
    assert plan["example"].is_monotonic_increasing


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


def test_only_rows_that_may_be_trained_on_are_planned(stores):
    rows = {"near": np.array([3, 5, 8]), "far": np.array([], int)}
    plan = make_plan(make_recipe([NEAR, FAR]), stores, rows=rows, batch_size=8, seed=0)
    assert set(plan["example"]) == {3, 5, 8}
    assert set(plan["corpus"]) == {"near"}


def test_a_recipe_without_windows_is_refused(stores):
    rows = {name: np.array([], int) for name in stores}
    with pytest.raises(ValueError, match="no window to train on"):
        make_plan(make_recipe([NEAR]), stores, rows=rows, batch_size=8, seed=0)


@pytest.mark.parametrize("batch_size", [8, 32])
def test_batches_hold_windows_of_like_length_across_a_ragged_stage_border(stores, batch_size):
    recipe = make_recipe([SourceConfig("near", 64, 16, max_examples=78)] * 9, [NEAR] * 9)
    plan = plan_of(stores, recipe, batch_size=batch_size)
    length = plan["length"].to_numpy()
    assert (plan["stage"] == 0).sum() % batch_size  # the border is ragged
    batches = np.split(length, np.arange(batch_size, len(length), batch_size))
    padded = sum(len(batch) * batch.max() for batch in batches)
    shuffled = np.random.default_rng(0).permutation(length)
    batches = np.split(shuffled, np.arange(batch_size, len(length), batch_size))
    at_random = sum(len(batch) * batch.max() for batch in batches)
    assert padded / length.sum() - 1 < 0.1 * (at_random / length.sum() - 1)


@pytest.mark.parametrize("share", [0.0, 0.06, 0.1, 0.5, 1.0])
def test_the_share_of_negatives_is_what_was_asked(share):
    windows = pd.DataFrame({"start_token": np.where(np.arange(100_000) % 10, -1, 5)})
    kept = keep_negatives(windows, share=share, generator=np.random.default_rng(0))
    assert (kept["start_token"] >= 0).sum() == 10_000
    assert (kept["start_token"] < 0).sum() == round(share * 90_000)
