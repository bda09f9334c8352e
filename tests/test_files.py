"""A file or folder is written whole or not at all."""

import pytest

from chaii.files import write_whole


def test_a_failed_write_keeps_the_earlier_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "scores.csv"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), write_whole(target) as building:
        (building / "no such folder").write_text("new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path):
    target = tmp_path / "logits"
    for content in ("old", "new"):
        with write_whole(target) as building:
            building.mkdir()
            (building / "part").write_text(content)
    assert (target / "part").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_missing_parents_are_made(tmp_path):
    with write_whole(tmp_path / "a/b/c.txt") as building:
        building.write_text("x")
    assert (tmp_path / "a/b/c.txt").read_text() == "x"
