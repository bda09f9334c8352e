"""Augmentation: pure functions of a window and a generator."""

import numpy as np

from chaii.recipe.augmentation import cutout, window_generator

IDS = np.arange(100_000) % 500
PROTECTED = IDS < 5


def masked(rate, seed=0, span=1):
    options = {"rate": rate, "span": span, "protected": PROTECTED, "mask_token_id": 4}
    return cutout(IDS, **options, generator=np.random.default_rng(seed))


def test_off_is_identity():
    np.testing.assert_array_equal(masked(0.0), IDS)


def test_the_same_seed_masks_the_same_tokens():
    np.testing.assert_array_equal(masked(0.1, seed=3), masked(0.1, seed=3))
    assert (masked(0.1, seed=3) != masked(0.1, seed=4)).any()


def test_the_rate_is_met_within_three_sigma():
    free = int((~PROTECTED).sum())
    for rate in (0.03, 0.1, 0.5):
        hit = int((masked(rate) != IDS).sum())
        assert abs(hit - rate * free) < 3 * (free * rate * (1 - rate)) ** 0.5


def test_spans_meet_the_same_rate_in_longer_runs():
    free = int((~PROTECTED).sum())
    for rate in (0.03, 0.1):
        hit = masked(rate, span=5) != IDS
        assert abs(hit.sum() - rate * free) < 3 * (5 * free * rate * (1 - rate)) ** 0.5
        runs = (np.diff(hit.astype(int)) == 1).sum()
        assert 4 < hit.sum() / runs < 6.5


def test_protected_tokens_stay():
    np.testing.assert_array_equal(masked(0.99)[PROTECTED], IDS[PROTECTED])


def test_the_argument_is_left_alone():
    before = IDS.copy()
    masked(0.5)
    np.testing.assert_array_equal(IDS, before)


def test_a_position_draws_the_same_whoever_asks():
    draws = [window_generator(7, position).random(3).tolist() for position in (0, 1, 2)]
    again = [window_generator(7, position).random(3).tolist() for position in (2, 1, 0)]
    assert draws == again[::-1]
    assert draws[0] != draws[1]
