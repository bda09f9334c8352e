"""Imports run one way: corpus, recipe, (model | answer), (fold, committee), scripts."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "chaii"
BASE = {f"chaii.{name}" for name in ("config", "config_corpora", "config_method", "config_rules")}
MAY_IMPORT = {
    "config_corpora": set(),
    "config_method": set(),
    "config": {"chaii.config_corpora", "chaii.config_method"},
    "config_rules": BASE,
    "runs": BASE,
    "corpus": BASE | {"chaii.corpus"},
    "recipe": BASE | {"chaii.corpus", "chaii.recipe"},
    "model": BASE | {"chaii.corpus", "chaii.recipe", "chaii.model"},
    "answer": BASE | {"chaii.corpus", "chaii.recipe", "chaii.answer"},
}
ROOMS = BASE | {f"chaii.{room}" for room in ("corpus", "recipe", "model", "answer", "runs")}
MAY_IMPORT |= {"voices": ROOMS, "report": ROOMS, "plots": set()}
ROOMS |= {"chaii.voices"}
MAY_IMPORT |= {"judge": ROOMS, "fold": ROOMS | {"chaii.judge"}}
MAY_IMPORT |= {"budget": set(), "members": ROOMS}
MAY_IMPORT |= {"answering": ROOMS | {"chaii.budget", "chaii.members"}}
MAY_IMPORT |= {"committee": ROOMS | {"chaii.answering", "chaii.budget", "chaii.members"}}
FILES = [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    ours = {module for module in imported_modules(path) if module.split(".")[0] == "chaii"}
    strangers = {
        module
        for module in ours
        if not any(module == known or module.startswith(known + ".") for known in MAY_IMPORT[room])
    }
    assert not strangers
