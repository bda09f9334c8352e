"""Measuring and reporting, shared by all benchmarks.

A script times two ways in turns with `alternate`, makes a `Line` of each result and passes all
lines to `report`, which prints them and writes ``benchmarks/results/<name>.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaii.run_folder import describe_environment

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Line:
    """One result: the times of two ways, and a figure with its goal.

    The goal is that `value` is at least `at_least` and at most `at_most`. A line without both has
    no goal. `unit` is the unit of `value`; "x" is a ratio.
    """

    what: str
    ours: str
    standard: str
    value: float
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""  # what is compared, or why the goal is not met
    samples: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.at_least is None and self.at_most is None:
            return None
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


def parse_arguments(description: str | None, **options: dict[str, Any]) -> argparse.Namespace:
    """Read ``--quick`` and a script's own options: `name={"type": int, ...}` becomes ``--name``."""
    parser = argparse.ArgumentParser(description=description)
    help_ = "tiny data, one pair: checks that both ways agree and writes no result"
    parser.add_argument("--quick", action="store_true", help=help_)
    for name, option in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **option)
    return parser.parse_args()


def alternate(*ways: Callable[[], Any], pairs: int = 5) -> list[list[float]]:
    """Run the ways in turns, `pairs` times; return their seconds as ``[way][turn]``."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(pairs):
        for way, taken in zip(ways, seconds, strict=True):
            began = time.perf_counter()
            way()
            taken.append(time.perf_counter() - began)
    return seconds


def compare(
    what: str,
    ours: Sequence[float],
    standard: Sequence[float],
    *,
    inverse: bool = False,
    **fields: Any,
) -> Line:
    """Make a line whose value is the median ratio of the pairs, standard over ours.

    With `inverse` the ratio is ours over standard. `fields` are those of `Line`.
    """
    ratios = [b / a for a, b in zip(ours, standard, strict=True)]
    value = (
        statistics.median(1 / ratio for ratio in ratios) if inverse else statistics.median(ratios)
    )
    samples = {"ours": list(ours), "standard": list(standard)}
    return Line(what, format_range(ours), format_range(standard), value, samples=samples, **fields)


def format_range(values: Sequence[float], unit: str = "s") -> str:
    """Format the median and the range.

    >>> format_range([1.0, 3.0, 2.0])
    '2 s (1 to 3)'
    """
    middle = f"{statistics.median(values):.3g} {unit}"
    return f"{middle} ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else middle


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Call a function in a new process; return its result and the peak memory in MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        done: tuple[Any, float] = pool.apply(_call, (function, arguments))
        pool.close()
        pool.join()
    return done


def read_memory(field: str) -> float:
    """Return MiB of a field of /proc/self/status: VmHWM (peak) or RssAnon (not of files)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def report(row: int, title: str, lines: Sequence[Line], *, name: str, quick: bool = False) -> None:
    """Print the lines; unless `quick`, write them to ``results/<name>.json``."""
    for line in lines:
        mark = {None: "", True: " (met)", False: " (NOT met)"}[line.met]
        print(f"{line.what}: {line.ours} | {line.standard} | {line.value:.3g} {line.unit}{mark}")
    if not quick:
        results = [dataclasses.asdict(line) | {"met": line.met} for line in lines]
        write_result(row, title, name=name, lines=results)


def write_result(row: int, title: str, *, name: str, **content: Any) -> None:
    """Write ``results/<name>.json``, of which `table.py` makes a section."""
    content = {
        "row": row,
        "title": title,
        "command": shlex.join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
        **content,
        "environment": describe_environment(seed=2021),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def _call(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, float]:
    # getrusage would count memory of the parent process
    return function(*arguments), read_memory("VmHWM")
