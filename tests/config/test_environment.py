"""The environment of a run is recorded without starting any program."""

import subprocess
from pathlib import Path

import pytest

from chaii.config import environment
from chaii.config.environment import describe_environment, read_commit


@pytest.fixture
def repository(tmp_path):
    """A repository as git lays it out, on a branch."""
    git = tmp_path / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (git / "refs/heads/main").write_text("a" * 40 + "\n", encoding="utf-8")
    (tmp_path / "src").mkdir()
    return tmp_path


def test_the_commit_of_a_branch_is_read(repository):
    assert read_commit(repository / "src") == "a" * 40


def test_a_packed_branch_and_a_commit_without_a_branch_are_read(repository):
    (repository / ".git/refs/heads/main").unlink()
    packed = f"# pack-refs\n{'b' * 40} refs/heads/main\n"
    (repository / ".git/packed-refs").write_text(packed, encoding="utf-8")
    assert read_commit(repository / "src") == "b" * 40
    (repository / ".git/HEAD").write_text("c" * 40 + "\n", encoding="utf-8")
    assert read_commit(repository / "src") == "c" * 40


def test_a_linked_worktree_is_followed(repository, tmp_path):
    linked = tmp_path / "linked"
    worktree = repository / ".git/worktrees/linked"
    for folder in (linked / "src", worktree):
        folder.mkdir(parents=True)
    (linked / ".git").write_text(f"gitdir: {worktree}\n", encoding="utf-8")
    (worktree / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (worktree / "commondir").write_text("../..\n", encoding="utf-8")
    assert read_commit(linked / "src") == "a" * 40


def test_there_is_no_commit_outside_a_repository(tmp_path):
    assert read_commit(tmp_path / "src") is None


def test_no_program_is_started(monkeypatch):
    def start(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr("os.system", start)
    assert describe_environment(3)["seed"] == 3


def test_changed_sources_are_told_apart(monkeypatch, tmp_path):
    (tmp_path / "package/config").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "package/config/environment.py"))
    digests = set()
    for text in ("one = 1", "one = 2"):
        Path(tmp_path, "package/module.py").write_text(text, encoding="utf-8")
        digests.add(describe_environment(0)["source"])
    assert len(digests) == 2
