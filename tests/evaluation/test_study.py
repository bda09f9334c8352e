"""The comparison of arms (pairing, intervals, correction, pictures), and the folder of a study."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy.stats import t, ttest_1samp

from chaii.config.errors import ConfigError
from chaii.config.study import StudyConfig, StudyRun
from chaii.evaluation.study import (
    StudyFolder,
    bootstrap_errors,
    compare_arms,
    correct_holm,
    draw_effects,
    format_effects,
    state_effects,
    state_missing,
)

ARTICLES, QUESTIONS = 16, 20
ARMS = list(enumerate(("full", "toy")))


def make_arm(arm, *, runs, gain, seed=0, run_spread=0.0, article_spread=0.0, noise=0.3):
    """Rows of one arm; the run's number is its seed, and its fold in turn one of three."""
    generator = np.random.default_rng(seed)
    article_gain = generator.normal(0, article_spread, (3, ARTICLES))
    parts = []
    for run in range(runs):
        gains = gain + generator.normal(0, run_spread) + article_gain[run % 3]
        score = np.repeat(gains, QUESTIONS) + generator.normal(0, noise, ARTICLES * QUESTIONS)
        article = np.repeat(np.arange(ARTICLES), QUESTIONS)
        rows = pd.DataFrame({"arm": arm, "seed": run, "fold": str(run % 3), "article": article})
        ids = [f"{run % 3}-{number}" for number in range(len(rows))]
        parts.append(rows.assign(id=ids, jaccard=score, exact=score, f1=score))
    return pd.concat(parts, ignore_index=True)


def make_rows(gains, *, runs=4):
    arms = [
        make_arm(arm, runs=runs, gain=gain, seed=number)
        for number, (arm, gain) in enumerate(gains.items())
    ]
    return pd.concat(arms, ignore_index=True)


@pytest.fixture(scope="module")
def effects():
    rows = make_rows({"full": 0.5, "good": 0.7, "same": 0.5, "bad": 0.2})
    return compare_arms(rows, reference="full", rounds=2000).set_index("arm")


def test_an_effect_is_the_difference_of_the_means(effects):
    assert effects.loc["good", "jaccard_effect"] == pytest.approx(0.2, abs=0.03)
    assert effects.loc["good", "jaccard"] == pytest.approx(
        effects.loc["full", "jaccard"] + effects.loc["good", "jaccard_effect"]
    )


def test_wins_are_the_runs_that_beat_the_reference(effects):
    assert effects.loc[["good", "bad"], "wins"].tolist() == [4, 0]
    assert 0 < effects.loc["same", "wins"] < 4


def test_large_effects_are_significant_and_none_is_not(effects):
    significant = effects["p"] < 0.05
    assert significant.to_dict() == {"full": False, "good": True, "same": False, "bad": True}
    assert effects.loc["same", "jaccard_low"] < 0 < effects.loc["same", "jaccard_high"]


def test_an_arm_without_a_run_is_named(effects):
    table = effects.reset_index()
    arms = {arm: [] for arm in table["arm"]}
    study = StudyConfig("toy", [], arms, "full", [1])
    assert state_missing(table, study) == []
    study.arms["late"] = []
    assert state_missing(table, study) == ["Not run yet: late."]


def test_rows_are_paired_by_id_whatever_their_order():
    rows = make_rows({"full": 0.5, "good": 0.7})
    shuffled = rows.sample(frac=1, random_state=1).sort_values("arm", kind="stable")
    one, other = (compare_arms(table, reference="full", rounds=1000) for table in (rows, shuffled))
    pd.testing.assert_frame_equal(one, other)


def test_only_runs_that_both_have_are_compared():
    rows = make_rows({"full": 0.5, "good": 0.7})
    rows.loc[(rows["arm"] == "good") & (rows["seed"] == 3), "seed"] = 99
    table = compare_arms(rows, reference="full", rounds=1000).set_index("arm")
    assert table["runs"].to_dict() == {"full": 4, "good": 3}


def test_an_arm_scored_on_other_rows_is_refused():
    rows = make_rows({"full": 0.5, "good": 0.7})
    with pytest.raises(ValueError, match="arm 'good' was scored on other rows"):
        compare_arms(rows.drop(index=rows.index[-1]), reference="full")


def test_a_reference_without_a_run_is_refused():
    with pytest.raises(ValueError, match="reference arm 'full' has no finished run"):
        compare_arms(make_rows({"good": 0.7}), reference="full")


def test_one_run_gives_figures_and_no_verdict():
    effects = compare_arms(make_rows({"full": 0.5, "good": 0.9}, runs=1), reference="full")
    assert effects["jaccard_effect"][1] == pytest.approx(0.4, abs=0.05)
    assert effects[["jaccard_low", "jaccard_high", "p"]].isna().all(axis=None)
    assert "no verdict" in format_effects(effects, make_costs(effects))
    draw_effects(effects)


def test_where_only_runs_differ_the_interval_is_that_of_the_t_test():
    rows = [make_arm(arm, runs=6, gain=0, seed=n, run_spread=0.05 * n, noise=0) for n, arm in ARMS]
    effect = compare_arms(pd.concat(rows), reference="full", rounds=20_000).iloc[1]
    test = ttest_1samp(rows[1].groupby("seed")["f1"].mean(), 0)
    assert effect["p"] == pytest.approx(test.pvalue, rel=0.05)
    ends = test.confidence_interval(0.95)
    assert effect[["f1_low", "f1_high"]].tolist() == pytest.approx(list(ends), rel=0.03)


@pytest.mark.parametrize(("run_spread", "article_spread"), [(0.0, 0.0), (0.02, 0.05), (0.08, 0.0)])
def test_the_interval_covers_no_effect_as_often_as_it_says(run_spread, article_spread):
    covered = []
    for seed in range(60):
        spreads = {"run_spread": run_spread, "article_spread": article_spread}
        rows = make_arm("toy", runs=6, gain=0.0, seed=seed, **spreads)
        error = bootstrap_errors(rows, rounds=200, seed=seed)["jaccard"]
        covered.append(abs(rows["jaccard"].mean()) <= t(5).ppf(0.975) * error)
    assert np.mean(covered) >= 0.92


def test_equal_rows_show_no_effect():
    full = make_arm("full", runs=3, gain=0.5)
    effect = compare_arms(pd.concat([full, full.assign(arm="toy")]), reference="full", rounds=100)
    assert effect[["jaccard_low", "jaccard_high", "p"]].iloc[1].tolist() == [0, 0, 1]


def test_the_spread_between_runs_widens_the_interval():
    errors = []
    for spread in (0.0, 0.1):
        rows = make_arm("toy", runs=6, gain=0.0, run_spread=spread)
        errors.append(bootstrap_errors(rows, rounds=1000, seed=0)["f1"])
    assert errors[1] > 1.5 * errors[0]


def test_the_same_rows_give_the_same_interval():
    rows = make_arm("toy", runs=3, gain=0.1)
    first, second = (bootstrap_errors(rows, rounds=100, seed=3) for _ in range(2))
    assert first == second


def test_holm_is_stricter_for_more_arms():
    assert correct_holm(np.array([0.02]))[0] < correct_holm(np.array([0.02, 0.5]))[0]
    assert correct_holm(np.array([0.6, 0.7])).max() <= 1


def make_costs(effects):
    return [{"arm": arm, "tokens": 600_000, "cpu_seconds": 330.0} for arm in effects["arm"]]


def test_the_table_names_the_arms_and_fits_a_page(effects):
    table = effects.reset_index()
    text = format_effects(table, make_costs(table))
    assert "better: good; worse: bad" in text
    assert "| same " in text
    assert max(map(len, text.partition("\n\n")[0].splitlines())) < 115


def test_a_cost_that_was_not_measured_is_left_empty(effects):
    table = effects.reset_index()
    costs = [{**cost, "cpu_seconds": None} for cost in make_costs(table)]
    *_, minutes, _ = format_effects(table, costs).splitlines()[2].split("|")
    assert not minutes.strip()


def test_the_hours_of_all_runs_are_stated(effects):
    table = effects.reset_index()
    hours = table["runs"].sum() * 330 / 3600
    assert f"; {hours:.3g} CPU hours." in format_effects(table, make_costs(table))


def test_the_plot_has_a_line_per_arm_but_the_reference(effects):
    axis = draw_effects(effects.reset_index()).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["good", "same", "bad"]


def test_changes_are_told_in_words(effects):
    table, changes = effects.reset_index(), {"good": "more of it"}
    rows = format_effects(table, make_costs(table), changes=changes).splitlines()
    assert [row.split("|")[2].strip() for row in rows[2:6]] == ["", "more of it", "", ""]
    assert "change" not in format_effects(table, make_costs(table))


def test_each_arm_has_a_sentence_with_its_verdict(effects):
    good, same, bad = state_effects(effects.reset_index(), changes={"good": "more of it"})
    assert good.startswith("`good` (more of it): +")
    assert "; better than `full`, p = 0." in good
    assert "; no finding, p = " in same
    assert "; worse than `full`, p = 0." in bad


def test_one_run_has_no_verdict():
    table = compare_arms(make_rows({"full": 0.5, "good": 0.7}, runs=1), reference="full")
    assert state_effects(table, changes={})[0].endswith(
        "points of Jaccard; no verdict from one run."
    )


RUN = StudyRun("toy", "full", 1, "0")
OTHER = StudyRun("toy", "short", 1, "0")
STUDY = StudyConfig("toy", [], {"full": [], "short": ["a=1"]}, "full", [1])


@pytest.fixture
def folder(demo_run, tmp_path):
    folder = StudyFolder(tmp_path / "toy")
    folder.path.mkdir()
    folder.add(RUN, demo_run, overrides=[], cpu_seconds=12.34)
    return folder


def test_rows_carry_the_run_the_article_and_all_scores(folder, demo_run):
    rows = folder.read_rows()
    columns = "study arm seed fold corpus id article jaccard exact f1"
    assert list(rows) == columns.split()
    assert set(rows["arm"]) == {"full"}
    assert rows["jaccard"].mean() == pytest.approx(demo_run.read_metrics()["jaccard"])
    assert rows["f1"].mean() == pytest.approx(demo_run.read_metrics()["f1"])
    assert rows["article"].notna().all()


def test_a_record_tells_what_the_run_took_and_where(folder):
    [record] = folder.read_runs()
    assert record["cpu_seconds"] == 12.3
    assert {"tokens", "seconds", "commit", "hardware", "threads", "overrides"} <= set(record)


def test_a_stored_run_counts_as_done_without_its_run_folder(folder, demo_run):
    assert folder.holds(RUN, demo_run.read_config())
    assert not folder.holds(OTHER, demo_run.read_config())


@pytest.mark.parametrize("key", ["recipe.cutout.rate", "corpora.demo_chaii.max_examples"])
def test_a_stored_run_with_other_settings_is_refused(folder, demo_run, key):
    config = demo_run.read_config()
    OmegaConf.update(config, key, 0.5 if "rate" in key else 7)
    with pytest.raises(ConfigError, match="arm full, seed 1 was run with other settings"):
        folder.holds(RUN, config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "b"), ("seed", 7), ("trainer.num_workers", 1), ("backbone.pretrained", "/moved")],
)
def test_settings_that_no_result_depends_on_are_no_others(folder, demo_run, key, value):
    config = demo_run.read_config()
    OmegaConf.update(config, key, value)
    assert folder.holds(RUN, config)


def test_a_run_that_is_added_twice_is_stored_once(folder, demo_run):
    rows = folder.read_rows()
    folder.add(RUN, demo_run, overrides=[], cpu_seconds=9.0)
    assert folder.read_rows().equals(rows)
    assert [record["cpu_seconds"] for record in folder.read_runs()] == [9.0]


def test_rows_of_a_run_without_a_record_are_replaced(folder, demo_run):
    (folder.path / "runs.json").unlink()  # as when it was killed between the two files
    assert not folder.holds(RUN, demo_run.read_config())
    folder.add(RUN, demo_run, overrides=[], cpu_seconds=9.0)
    assert not folder.read_rows().duplicated(["arm", "seed", "fold", "id"]).any()


def test_a_claimed_run_is_not_given_to_another(folder):
    with folder.claim(RUN) as first, folder.claim(RUN) as second, folder.claim(OTHER) as other:
        assert (first, second, other) == (True, False, True)
    with folder.claim(RUN) as again:
        assert again


def test_the_comparison_is_written_beside_the_rows(folder, demo_run):
    folder.add(OTHER, demo_run, overrides=["a=1"], cpu_seconds=9.0)
    text = folder.report(STUDY, rounds=1000)
    assert "+0.0" in text
    assert (folder.path / "effects.md").read_text(encoding="utf-8") == text + "\n"
    assert (folder.path / "effects.png").stat().st_size > 0


def test_the_results_are_small_and_hold_no_path(folder):
    shutil.rmtree(folder.path / ".locks")
    assert sum(file.stat().st_size for file in folder.path.iterdir()) < 100_000
    assert "/tmp" not in json.dumps(folder.read_runs())


def test_runs_wait_for_the_reference(demo_run, tmp_path):
    folder = StudyFolder(tmp_path / "toy")
    folder.path.mkdir()
    folder.add(OTHER, demo_run, overrides=["a=1"], cpu_seconds=None)
    assert "full has no finished run yet" in folder.report(STUDY, rounds=100)
    folder.add(StudyRun("toy", "full", 2, "0"), demo_run, overrides=[], cpu_seconds=None)
    assert "| short" not in folder.report(STUDY, rounds=100)
    folder.add(RUN, demo_run, overrides=[], cpu_seconds=None)
    assert "| short" in folder.report(STUDY, rounds=100)
