"""A study's folder: what it takes of a run, and when a run counts as done."""

import json
import shutil

import pytest

from chaii.config.errors import ConfigError
from chaii.config.study import StudyConfig, StudyRun
from chaii.evaluation.study import StudyFolder

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


def test_a_stored_run_counts_as_done_without_its_run_folder(folder):
    assert folder.holds(RUN, [])
    assert not folder.holds(OTHER, ["a=1"])


def test_a_stored_run_with_other_overrides_is_refused(folder):
    with pytest.raises(ConfigError, match=r"arm full, seed 1 was run with \[\], not \['a=2'\]"):
        folder.holds(RUN, ["a=2"])


def test_a_run_that_is_added_twice_is_stored_once(folder, demo_run):
    rows = folder.read_rows()
    folder.add(RUN, demo_run, overrides=[], cpu_seconds=9.0)
    assert folder.read_rows().equals(rows)
    assert [record["cpu_seconds"] for record in folder.read_runs()] == [9.0]


def test_rows_of_a_run_without_a_record_are_replaced(folder, demo_run):
    (folder.path / "runs.json").unlink()  # as when it was killed between the two files
    assert not folder.holds(RUN, [])
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
    assert "short" not in folder.report(STUDY, rounds=100)
    folder.add(RUN, demo_run, overrides=[], cpu_seconds=None)
    assert "short" in folder.report(STUDY, rounds=100)
