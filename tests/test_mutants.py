"""The mutation run: what it changes, and that its last results are good enough."""

import csv
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MUTANTS = runpy.run_path(str(TESTS / "mutants.py"))
CHANGES = {  # a line, and all lines that may take its place
    "return a < b": ["return (a <= b)"],
    "return a + b": ["return (a - b)"],
    "return a and b": ["return (a or b)"],
    "return a if b else 0": ["return (a if not b else 0)", "(1)", "(-1)"],
    "return not a": ["return (a)"],
    "return [True, b]": ["return [(False), b]"],
    "return g(a, b=b)": ["return (g(a))"],
    "a.append(b)": ["pass"],
    "a[0] = b": ["pass", "a[(1)] = b", "a[(-1)] = b"],
    "raise ValueError(a + 1)": ["pass"],
    "print(a, b, sep=a)": [],
    "assert a == 1": [],
    "return f'{a + 1}'": [],
}


@pytest.mark.parametrize(("line", "expected"), CHANGES.items())
def test_each_change_of_a_line_is_proposed(line, expected):
    faults = MUTANTS["list_faults"]("f.py", f'def f(a, b):\n    """Do it."""\n    {line}\n')
    changed = [fault.source.splitlines()[2].strip() for fault in faults]
    assert len(changed) == len(expected)
    assert all(any(part in text for text in changed) for part in expected)
    assert all(fault.lines == {3} for fault in faults)


def test_a_default_is_reached_where_the_function_is():
    [fault, _] = MUTANTS["list_faults"]("f.py", "def f(a, b=3):\n    c = a\n    return c\n")
    assert fault.lines == {2, 3}


@pytest.fixture(scope="module")
def results():
    with (TESTS / "mutants.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_fault_put_in_by_hand_has_its_place_in_the_code():
    assert all(fault.lines for fault in MUTANTS["read_faults"](TESTS.parent))


def test_every_fault_put_in_by_hand_was_noticed(results):
    noticed = {row["change"] for row in results if row["outcome"] == "noticed"}
    names = [name for name, *_ in runpy.run_path(str(TESTS / "faults.py"))["FAULTS"]]
    assert len(set(names)) == len(names)
    assert set(names) <= noticed


def test_each_fault_that_was_not_noticed_has_a_reason(results):
    assert [row for row in results if row["outcome"] == "survived" and not row["reason"]] == []


def test_the_counts_of_the_page_are_those_of_the_results(results):
    page = (TESTS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn, noticed, by_hand = map(int, re.findall(r"\*\*(\d+)\*\*", page))
    counts = Counter((row["kind"], row["outcome"]) for row in results)
    assert drawn == counts["drawn", "noticed"] + counts["drawn", "survived"]
    assert noticed == counts["drawn", "noticed"]
    assert by_hand == counts["by hand", "noticed"]
    assert drawn >= 200
    assert noticed >= MUTANTS["SHARE"] * drawn
