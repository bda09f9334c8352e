"""Imports run one way through the rooms of the package."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "chaii"
CORPUS = {"config", "files", "demo"}
RECIPE = {"config", "files", "corpus"}
MODEL = RECIPE | {"recipe"}
DECODING = MODEL | {"run_folder"}
EVALUATION = DECODING | {"model", "decoding"}
ENSEMBLE = EVALUATION | {"evaluation", "demo"}
MAY_IMPORT = {  # each room, and the rooms before it that it may use
    "__main__": set(),
    "files": set(),
    "config": set(),
    "demo": {"files"},
    "run_folder": {"config", "files"},
    "corpus": CORPUS,
    "recipe": RECIPE,
    "model": MODEL,
    "decoding": DECODING,
    "evaluation": EVALUATION,
    "ensemble": ENSEMBLE,
    "train": ENSEMBLE | {"ensemble"},
    "reader": {"config", "ensemble"},
}
FILES = [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            modules = [node.module]
            if node.module == "chaii":
                modules = [f"chaii.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in modules if name.startswith("chaii."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert set(imported_rooms(path)) - {room} <= MAY_IMPORT[room]


def test_every_room_is_in_the_table():
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py"} == set(MAY_IMPORT)
