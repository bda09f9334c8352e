"""The limits of CONTRIBUTING.md hold: its table is read here, and each of its rows is counted.

``python tests/test_style.py`` prints every figure beside its limit, and every retired word.
Docstrings on public names and bare excepts are checked by ruff.
"""

import ast
import json
import re
import runpy
import statistics
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "chaii"
FILES = sorted(SOURCE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in [*FILES, *SCRIPTS]}
FUNCTIONS = [
    (path, node)
    for path in FILES
    for node in ast.walk(TREES[path])
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
]


def count_lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def count_function_lines():
    return [node.end_lineno - node.lineno + 1 for _, node in FUNCTIONS]


def list_called_once():
    """Private functions whose name is used once in their file."""
    uses = Counter(
        (path, node.id if isinstance(node, ast.Name) else node.attr)
        for path in FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Name | ast.Attribute)
    )
    return [
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"
        for path, node in FUNCTIONS
        if re.match("_(?!_)", node.name) and uses[path, node.name] == 1
    ]


MEASURES = {  # each row of the table in CONTRIBUTING.md
    "lines of a function": lambda: max(count_function_lines()),
    "lines of a function, the median": lambda: statistics.median(count_function_lines()),
    "lines of a file of the package": lambda: max(map(count_lines, FILES)),
    "lines of a script": lambda: max(map(count_lines, SCRIPTS)),
    "lines of the package": lambda: sum(map(count_lines, FILES)),
    "modules at the root of the package": lambda: len(list(SOURCE.glob("[!_]*.py"))),
    "share of private functions that are called once": (
        lambda: 100 * len(list_called_once()) / len(FUNCTIONS)
    ),
}


def read_limits():
    """``{what: (words, number)}`` of the table in CONTRIBUTING.md."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) +\| (at most|under) ([\d,]+)(?: %)? +\|$", page, re.M)
    return {what: (words, int(number.replace(",", ""))) for what, words, number in rows}


def read_rooms():
    """``{room: rooms it may import}`` of the table in CONTRIBUTING.md."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|([^|]*)\|$", page, re.M)
    return {room: set(re.findall(r"\w+", names)) for room, names in rows}


def test_rooms_of_the_page_are_those_that_are_checked():
    checked = runpy.run_path(str(ROOT / "tests" / "test_imports.py"))["MAY_IMPORT"]
    assert read_rooms() == checked


def is_within(what):
    words, limit = read_limits()[what]
    measured = MEASURES[what]()
    return measured < limit if words == "under" else measured <= limit


def test_every_limit_of_the_page_is_counted():
    assert set(read_limits()) == set(MEASURES)


@pytest.mark.parametrize("what", sorted(MEASURES))
def test_limits_hold(what):
    words, limit = read_limits()[what]
    assert is_within(what), f"{what}: {MEASURES[what]():.4g}, must be {words} {limit:,}"


def leaves_encoding_open(call):
    """Whether a call opens a file as text without naming the encoding.

    ``open`` and ``Path.open`` are told from those of other libraries by their first argument, the
    mode of `Path.open`.
    """
    name = getattr(call.func, "attr", getattr(call.func, "id", None))
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    constants = {str(node.value) for value in values for node in ast.walk(value) if is_text(node)}
    if "utf-8" in constants or any(re.fullmatch("[rwxa]+b[+]?", text) for text in constants):
        return False
    if name == "open" and isinstance(call.func, ast.Attribute):
        return not call.args or is_text(call.args[0])
    return name in {"open", "read_text", "write_text"}


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def list_open_encodings():
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and leaves_encoding_open(node)
    ]


def test_text_is_opened_with_its_encoding():
    assert list_open_encodings() == []


RETIRED = re.compile(
    r"(?<![a-z])(voices?|panels?|hear(ing|s|d)?|judg(e|es|ed|ing)|committees?|desks?|ballots?|truth"
    r"|blend(s|ed|ing)?|evidence|lay|stands|lies|blanks?|knobs?|foretells?|whole numbers?"
    r"|guard(?=.*leak)|(?<=leak).*guard)(?![a-z])",
    re.I,
)
ALLOWED = re.compile(  # names of old settings; a setting's value; blending, of logits
    r"^ *r\"(blend|method\.voice)\": \"|labels[:=._]? ?evidence"
    r"|[`\"]evidence[`\"]|^ *evidence = .*|blend(s|ed|ing)?(?=.* logits)",
    re.I,
)
LISTS_OLD_NAMES = {
    ROOT / "tests" / "config" / "test_checks.py",
    ROOT / "tests" / "test_style.py",
}
PROSE = [
    "tests/**/*.py",
    "src/**/*.py",
    "src/**/*.jinja",
    "scripts/*.py",
    "conf/**/*.yaml",
    "benchmarks/*.py",
    "benchmarks/*.md",
    "*.md",
    "*/README.md",
    "Makefile",
    "notebooks/*.ipynb",
]


def read_lines(path):
    """Lines of a file; of a notebook, the lines of its cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text.splitlines()


def list_retired_words():
    paths = {path for pattern in PROSE for path in ROOT.glob(pattern)}
    for path in sorted(paths - LISTS_OLD_NAMES):
        for number, line in enumerate(read_lines(path), 1):
            split = re.sub("(?<=[a-z])(?=[A-Z])", "_", ALLOWED.sub("", line))  # CamelCase
            if word := RETIRED.search(split):
                yield f"{path.relative_to(ROOT)}:{number} {word[0]}: {line.strip()}"


def test_no_retired_word_is_used():
    assert list(list_retired_words()) == []


def main():
    """Print what is not met yet."""
    for what, (words, limit) in read_limits().items():
        mark = "met    " if is_within(what) else "NOT MET"
        print(f"{mark} {what}: {MEASURES[what]():.4g}, {words} {limit:,}")
    for found in (list_open_encodings(), list(list_retired_words())):
        print(*found, f"{len(found)} lines", sep="\n")


if __name__ == "__main__":
    main()
