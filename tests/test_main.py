"""The command ``chaii``: every script by its name, from a clone and from an installed package."""

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hatchling.build import build_wheel

from chaii.__main__ import main

ROOT = Path(__file__).parents[1]
VERBS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))


@pytest.fixture
def both(run_script, tmp_path):
    """Call a script by its path and by the command, and compare all that they print."""

    def start(verb):
        sys.argv[:1] = ["chaii", verb]
        main()

    def call(verb, *arguments):
        by_path = run_script(verb, *arguments, place=tmp_path)
        by_command = run_script(verb, *arguments, place=tmp_path, start=start)
        named = (str(part).replace(f"chaii {verb}", f"{verb}.py") for part in by_command)
        assert [part.split() for part in named] == [str(part).split() for part in by_path]
        return by_command

    return call


@pytest.mark.parametrize(
    "verb", sorted({*VERBS} - {"ablate", "distill", "ensemble", "inspect_recipe", "search"})
)
def test_a_verb_has_the_help_of_its_script(verb, both):
    status, printed, _ = both(verb, "--help")
    assert status == 0
    assert verb in printed


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("leaderboard --results none.csv", 0),
        ("train seed=one", 1),
        ("train -m seed=one,two", 1),
        ("report gone", 1),
        ("answer --top-k many", 2),
    ],
)
def test_a_verb_ends_as_its_script(command, status, both):
    assert both(*command.split())[0] == status


def test_the_list_of_verbs_is_printed_without_large_libraries(tmp_path):
    code = "import sys; from chaii.__main__ import main; sys.argv[1:] = ['--help']\n"
    code += "try: main()\nfinally: print({'torch', 'numpy', 'hydra'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    *lines, heavy = done.stdout.splitlines()
    listed = [line.split(maxsplit=1) for line in lines if line.startswith("  ")]
    assert [verb for verb, _ in listed if verb in VERBS] == VERBS
    assert all(len(line) <= 100 and "``" not in line for line in lines)
    assert heavy == "set()"


def test_an_unknown_verb_is_told(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["chaii", "trian"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "invalid choice: 'trian'" in capsys.readouterr().err


def test_the_console_command_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [(name, value)] = project["scripts"].items()
    assert (name, EntryPoint(name, value, "console_scripts").load()) == ("chaii", main)


def test_an_installed_package_has_the_scripts_and_their_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    wheel = tmp_path / build_wheel(str(tmp_path))
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    for folder in ("conf", "scripts", "src/chaii"):
        inside = installed / "chaii" / folder.removeprefix("src/chaii")
        files = (path for path in (ROOT / folder).rglob("*.*") if "__pycache__" not in path.parts)
        assert [
            path for path in files if not (inside / path.relative_to(ROOT / folder)).exists()
        ] == []
    done = subprocess.run(
        [sys.executable, "-P", "-m", "chaii", "train", "fold=9"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    assert done.stderr.startswith("error: fold=9: must be all, or below folds.num_folds=2")
