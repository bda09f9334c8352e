"""The environment of a run: commit and changes, versions, and the command that trains it again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaii.config import environment
from chaii.config.environment import (
    describe_command,
    describe_environment,
    read_changes,
    read_commit,
)


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


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository made by git itself, with one commit; returns a function that calls git in it."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    for name in ("src/code.py", "data/rows.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("one\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, *author, *words], check=True, capture_output=True)

    for words in ("init", "add .", "commit -m one"):
        git(*words.split())
    read_changes.cache_clear()
    yield git
    read_changes.cache_clear()


def test_changes_of_the_code_are_a_patch_that_git_applies(clone, tmp_path):
    for name in ("src/code.py", "data/rows.csv"):
        (tmp_path / name).write_text("दो\n", encoding="utf-8")
    patch = read_changes(tmp_path / "src")
    assert "rows.csv" not in patch
    clone("checkout", ".")
    (tmp_path / "changes.patch").write_text(patch, encoding="utf-8")
    clone("apply", "changes.patch")
    assert (tmp_path / "src/code.py").read_text(encoding="utf-8") == "दो\n"


@pytest.mark.usefixtures("clone")
def test_an_unchanged_clone_has_no_changes(tmp_path):
    (tmp_path / "data/rows.csv").write_text("two\n", encoding="utf-8")
    assert read_changes(tmp_path / "src") == ""


def test_changes_start_no_program_that_the_repository_names(clone, tmp_path):
    mark = tmp_path / "mark"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n", encoding="utf-8")
    program.chmod(0o755)
    for key in ("diff.external", "core.fsmonitor", "diff.mine.textconv", "diff.mine.command"):
        clone("config", key, str(program))
    (tmp_path / ".gitattributes").write_text("*.py diff=mine\n", encoding="utf-8")
    (tmp_path / "src/code.py").write_text("two\n", encoding="utf-8")
    assert "+two" in read_changes(tmp_path / "src")
    assert not mark.exists()


PROBE = """
import shutil
from pathlib import Path

from chaii.config.compose import hydra_script


@hydra_script("probe")
def main(config):
    from chaii.config.environment import read_changes

    print(shutil.which("git"), read_changes(Path(config.repository)))


main()
"""


@pytest.mark.usefixtures("clone")
def test_a_configuration_cannot_choose_the_git_that_is_started(tmp_path):
    files = {
        "bin/git": f"#!/bin/sh\n/usr/bin/touch {tmp_path}/mark\n",
        "conf/probe.yaml": f"""
            repository: {tmp_path}/src
            hydra: {{job: {{env_set: {{PATH: {tmp_path}/bin}}}}, run: {{dir: {tmp_path}/out}}}}""",
        "scripts/probe.py": PROBE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "bin/git").chmod(0o755)
    (tmp_path / "src/code.py").write_text("two\n", encoding="utf-8")
    command = [sys.executable, tmp_path / "scripts/probe.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path}/bin/git diff --git ")
    assert "+two" in done.stdout
    assert not (tmp_path / "mark").exists()


@pytest.mark.usefixtures("clone")
def test_there_are_no_changes_without_a_repository_or_without_git(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_GIT", None)
        assert read_changes(tmp_path / "src") is None
    read_changes.cache_clear()
    shutil.rmtree(tmp_path / ".git")
    assert read_changes(tmp_path) is None


def test_the_command_of_several_processes_starts_as_many(monkeypatch):
    assert describe_command(Path("runs/a b")).startswith("chaii train --config-dir 'runs/a b' ")
    monkeypatch.setenv("WORLD_SIZE", "2")
    several = "torchrun --standalone --nproc_per_node=2 -m chaii train --config-dir runs/a "
    assert describe_command(Path("runs/a")).startswith(several)
