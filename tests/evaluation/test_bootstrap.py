import numpy as np
import pytest

from chaii.evaluation.bootstrap import bootstrap_interval


def test_the_interval_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(3, 2, size=1500)
    interval = bootstrap_interval(values, rounds=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_holds_the_mean_as_often_as_its_level():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(300):
        effect = rng.normal(size=40).repeat(5)  # five questions of a context agree
        values = effect + 0.1 * rng.normal(size=200)
        interval = bootstrap_interval(values, clusters=np.arange(200) // 5, rounds=300, seed=seed)
        hits += interval.low <= 0 <= interval.high
    assert 0.89 <= hits / 300 <= 0.98


def test_rows_that_belong_together_widen_the_interval():
    values = np.random.default_rng(2).normal(size=50).repeat(8)
    alone = bootstrap_interval(values)
    together = bootstrap_interval(values, clusters=[row // 8 for row in range(400)])
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_single_cluster_has_no_spread():
    assert bootstrap_interval([0.0, 1.0], clusters=["a", "a"]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("change", [{"level": 0.99}, {"rounds": 50}, {"seed": 1}])
def test_every_setting_changes_the_interval(change):
    values = np.random.default_rng(5).normal(size=100)
    default, changed = bootstrap_interval(values), bootstrap_interval(values, **change)
    assert (changed.low, changed.high) != (default.low, default.high)
    assert bootstrap_interval(values, **change) == changed


def test_a_higher_level_widens_the_interval():
    values = np.random.default_rng(5).normal(size=100)
    low, high = (bootstrap_interval(values, level=level) for level in (0.8, 0.99))
    assert high.low < low.low < low.high < high.high


def test_many_rows_are_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(3).normal(size=100)
    whole = bootstrap_interval(values)
    monkeypatch.setattr("chaii.evaluation.bootstrap._DRAWS", 700)
    assert bootstrap_interval(values) == whole


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [([], None, "at least one row"), ([1.0], ["a", "b"], "2 clusters for 1 rows")],
)
def test_nothing_to_draw_from_is_refused(values, clusters, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, clusters=clusters)
