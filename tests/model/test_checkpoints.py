"""Checkpoints: only one that is whole is resumed from."""

import pytest

from chaii.model.checkpoints import (
    drop_checkpoints_after,
    find_checkpoint,
    read_seconds,
    seal_checkpoint,
)


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of three steps, each whole."""
    for step in (8, 9, 10):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "optimizer.pt").write_bytes(b"moments")
        seal_checkpoint(checkpoint, seconds=step)
    return tmp_path


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_is_found(folder):
    assert find_checkpoint(folder) == folder / "checkpoint-10"
    assert read_seconds(folder) == 10


@pytest.mark.parametrize("content", [b"", None])
def test_one_that_is_not_whole_is_set_aside(folder, content):
    file = folder / "checkpoint-10" / "optimizer.pt"
    file.unlink() if content is None else file.write_bytes(content)
    assert find_checkpoint(folder) == folder / "checkpoint-9"
    assert list_names(folder) == ["checkpoint-8", "checkpoint-9", "incomplete-checkpoint-10"]


def test_without_a_seal_none_is_found(folder):
    for seal in folder.glob("*/complete.json"):
        seal.unlink()
    assert find_checkpoint(folder) is None
    assert read_seconds(folder) == 0


def test_those_after_a_step_are_dropped(folder):
    drop_checkpoints_after(folder, 9)
    assert list_names(folder) == ["checkpoint-8", "checkpoint-9"]
