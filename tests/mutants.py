"""Mutation run: put faults into copies of the code, one at a time; the tests must notice each.

``python tests/mutants.py`` takes the faults of `tests/faults.py` and a seeded draw of all changes
that `propose` makes. Each fault runs only the test files that execute its line, the quickest first,
in a forked process, so that the large libraries are imported once. Results are kept while it runs,
and the same command goes on from there; at the end they are written to tests/mutants.csv.
"""

import argparse
import ast
import contextlib
import copy
import csv
import hashlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PACKAGE = "src/chaii"
ROOMS = ("recipe", "model", "decoding", "ensemble", "train.py")
RESULTS = ROOT / "tests" / "mutants.csv"
SHARE = 0.92  # of the drawn faults that must be noticed
COLUMNS = ("kind", "file", "function", "change", "old", "new", "outcome", "by", "reason")
LEFT_OUT = {  # tests of other rooms, of text, and those that take long or run scripts
    "config", "corpus", "demo", "test_ablate", "test_attacks", "test_bad_input",
    "test_benchmarks", "test_commands", "test_demo", "test_fuzz", "test_imports", "test_kills",
    "test_mutants", "test_new_corpus", "test_notebooks", "test_readme", "test_style",
    "test_true_sizes",
}  # fmt: skip
OTHER_PROCESSES = "tests/test_torchrun.py"  # executes lines that the trace of one process lacks
# No result depends on what is only shown, on how much is read at a time, on checks of lengths or on
# the length of a name. The encoding is that of the locale here; `observed` is for pandas 2.
NO_RESULT = {
    "print", "tqdm", "_notice", "warn", "disable_tqdm", "progress", "set_postfix", "strict",
    "_BATCH_ROWS", "_BATCH_CHARACTERS", "_CHUNK_CHARACTERS", "_CHUNK_TOKENS", "_CPU_TOKENS",
    "_ROWS", "_SHOWN", "QuietProgress", "remove_callback", "digest_size", "encoding", "observed",
    "verbose",
}  # fmt: skip

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip


class Fault(NamedTuple):
    """One change of one file; `lines` are those whose execution shows that a test reaches it."""

    kind: str  # drawn, or by hand
    file: str
    function: str
    change: str
    old: str
    new: str
    source: str  # of the whole file, changed
    lines: frozenset[int]
    test: str = ""  # what is tried first: a file, and perhaps -k and its expression

    @property
    def key(self) -> tuple[str, ...]:
        return self[:6]


def propose(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every change of one node: its name, and the node that takes its place."""

    def changed(**fields: Any) -> ast.AST:
        new = copy.copy(node)
        vars(new).update(fields)
        return new

    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARE:
            yield "compare", changed(ops=[COMPARE[type(op)]()])
        case ast.BinOp(op=ast.Div(), right=ast.Constant(value=str()) | ast.JoinedStr()):
            pass  # a path
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            yield "arithmetic", changed(op=ARITHMETIC[type(op)]())
        case ast.BoolOp(op=op):
            yield "and or", changed(op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "negation", operand
        case ast.IfExp(test=test):
            yield "negation", changed(test=ast.UnaryOp(ast.Not(), test))
        case ast.Constant(value=bool(value)):
            yield "true false", ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)) if abs(value) < 1e9:
            yield "constant", ast.Constant(value + 1)
            yield "constant", ast.Constant(value - 1)
        case ast.Call(keywords=keywords):
            for dropped in keywords:
                if dropped.arg not in {None, *NO_RESULT}:
                    kept = [keyword for keyword in keywords if keyword is not dropped]
                    yield "keyword", changed(keywords=kept)
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue():
            yield "statement", ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield "statement", ast.Pass()
        case ast.Break():
            yield "statement", ast.Pass()


def name_of(node: ast.keyword | ast.Assign) -> str | None:
    """The keyword of an argument, or the name that gets a value."""
    return node.arg if isinstance(node, ast.keyword) else getattr(node.targets[0], "id", None)


def walk(node: ast.AST, function: str, lines: frozenset[int]) -> Iterator[Any]:
    """Every node that may be changed, with its function and the lines that show it is reached."""
    if isinstance(node, ast.FunctionDef):
        function = f"{function}.{node.name}".strip(".")
        inner = frozenset(part.lineno for part in node.body)
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            yield from walk(part, function, inner)
        for part in node.body:
            yield from walk(part, function, frozenset())
        return
    if isinstance(node, ast.ClassDef):
        if node.name in NO_RESULT:
            return
        function = f"{function}.{node.name}".strip(".")
        children: list[Any] = node.body
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in NO_RESULT:
        return
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        if getattr(node.value.func, "id", getattr(node.value.func, "attr", "")) in NO_RESULT:
            return
        children = [node.value]
    elif isinstance(node, ast.keyword | ast.Assign) and name_of(node) in NO_RESULT:
        return
    elif isinstance(node, ast.AnnAssign):
        children = [node.value] if node.value else []
    elif isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):  # messages
        children = []
    else:
        children = list(ast.iter_child_nodes(node))
    if hasattr(node, "lineno") and function and not isinstance(node, ast.ClassDef | ast.Assert):
        yield node, function, lines or frozenset({node.lineno})
    elif hasattr(node, "lineno"):
        yield node, function, lines
    for child in children:
        yield from walk(child, function, lines)


def change_source(source: str, node: Any, new: ast.AST) -> tuple[str, str, str]:
    """The source with `new` in place of `node`; what is shown of it, before and after."""
    rows = source.encode().split(b"\n")
    head = [*rows[: node.lineno - 1], rows[node.lineno - 1][: node.col_offset]]
    tail = [rows[node.end_lineno - 1][node.end_col_offset :], *rows[node.end_lineno :]]
    text = ast.unparse(new)
    inner = text if isinstance(node, ast.stmt) else f"({text})"
    changed = b"\n".join(head).decode() + inner + b"\n".join(tail).decode()
    if isinstance(node, ast.Call):  # a keyword is gone
        kept = [keyword.arg for keyword in new.keywords]
        gone = next(keyword for keyword in node.keywords if keyword.arg not in kept)
        call = ast.unparse(node.func)
        return changed, f"{call}({ast.unparse(gone)})"[:100], f"{call}()"
    if node.lineno != node.end_lineno:
        return changed, ast.unparse(node)[:100], text[:100]
    row = node.lineno - 1
    return changed, source.split("\n")[row].strip(), changed.split("\n")[row].strip()


def list_faults(file: str, source: str) -> list[Fault]:
    """Every fault that can be drawn in a file; module-level ones are reached by any function."""
    tree = ast.parse(source)
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    anywhere = frozenset(part.lineno for body in bodies for part in body)
    faults = {}
    for node, function, lines in walk(tree, "", frozenset()):
        for change, new in propose(node):
            text, old, shown = change_source(source, node, new)
            try:
                compile(text, file, "exec")
            except SyntaxError:
                continue
            where = function or "module"
            fault = Fault("drawn", file, where, change, old, shown, text, lines or anywhere)
            faults.setdefault(fault.key, fault)  # of equal changes in a function, the first
    return list(faults.values())


def draw_faults(root: Path, *, number: int, seed: int) -> list[Fault]:
    """Draw faults by a digest of each, so that a change of other code draws the same ones."""
    paths = [path for room in ROOMS for path in sorted((root / PACKAGE).glob(f"{room}/*.py"))]
    paths += [root / PACKAGE / room for room in ROOMS if room.endswith(".py")]
    faults = []
    for path in paths:
        file = path.relative_to(root).as_posix()
        faults += list_faults(file, path.read_text(encoding="utf-8"))
    faults.sort(key=lambda f: hashlib.blake2b(repr((seed, *f.key)).encode()).digest())
    return faults[:number]


def read_faults(root: Path) -> list[Fault]:
    """The faults of `tests/faults.py`.

    Raises:
        SystemExit: the code has changed, so that a fault has no place any more.
    """
    faults = []
    for name, file, old, new, *test in runpy.run_path(str(root / "tests" / "faults.py"))["FAULTS"]:
        source = (root / PACKAGE / file).read_text(encoding="utf-8")
        if source.count(old) != 1:
            raise SystemExit(f"tests/faults.py: {name}: {file} must hold once: {old}")
        first = source[: source.index(old)].count("\n") + 1
        lines = frozenset(range(first, first + old.rstrip().count("\n") + 1))
        changed = source.replace(old, new)
        place = f"{PACKAGE}/{file}"
        faults.append(Fault("by hand", place, "", name, old, new, changed, lines, *test))
    return faults


def copy_tree(target: Path) -> None:
    """Copy all files that git knows or does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def prepare_trees(home: Path, number: int, *, keep: bool) -> list[Path]:
    """Make the copies; forget earlier results of other code, or with `keep` only the survivors."""
    trees = [home / f"tree{tree}" for tree in range(number)]
    for tree in trees:
        shutil.rmtree(tree, ignore_errors=True)
        copy_tree(tree)
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(trees[0].rglob("*")):
        if (
            path.is_file()
            and path.suffix in {".py", ".yaml"}
            and path.stem not in {"mutants", "faults"}
        ):
            digest.update(path.read_bytes())
    state = home / "digest.txt"
    if not state.is_file() or state.read_text(encoding="utf-8") != digest.hexdigest():
        results = [row.values() for row in read_rows(home / RESULTS.name).values()]
        if not keep:
            (home / "traces.json").unlink(missing_ok=True)
        (home / RESULTS.name).unlink(missing_ok=True)
        with (home / RESULTS.name).open("w", encoding="utf-8", newline="") as file:
            kept = (row for row in results if keep and "noticed" in row)
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *kept])
        state.write_text(digest.hexdigest(), encoding="utf-8")
    return trees


class FirstFailure:
    """A pytest plugin that keeps the name of the first test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or f"{report.nodeid} (import)"


def run_tests(tree: Path, runs: list[list[str]], *, out: Path, traced: bool = False) -> None:
    """Run tests in this process, until one fails; write the outcome to `out`, and end.

    Each of `runs` is what pytest is told: test files, and options.
    """
    import pytest

    os.setsid()
    log = out.with_suffix(".log").open("w")
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree / "src")
    os.environ.pop("CHAII_DATA", None)
    sys.path.insert(0, str(tree / "src"))
    sys.dont_write_bytecode = True
    plugin, tracer = FirstFailure(), None
    if traced:
        from coverage import Coverage

        tracer = Coverage(data_file=None, source=[str(tree / PACKAGE)])
        tracer.start()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={tree}"]
    codes = (int(pytest.main([*options, *run], plugins=[plugin])) for run in runs)
    code = next(filter(None, codes), 0)
    result = {"code": code, "failed": plugin.failed, "seconds": sum(os.times()[:4])}
    if tracer:
        tracer.stop()
        data = tracer.get_data()
        reached = {str(Path(path).relative_to(tree)): path for path in data.measured_files()}
        result["lines"] = {name: sorted(data.lines(path) or []) for name, path in reached.items()}
    out.write_text(json.dumps(result), encoding="utf-8")
    os._exit(0)


def run_jobs(jobs: list[Any], trees: list[Path]) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    """Run jobs side by side, one per tree: ``(fault or None, runs, seconds)``; yield results.

    The result is None where a job did not end in its seconds. A fault is in its tree only while its
    tests run.
    """
    fork, waiting, running = get_context("fork"), list(reversed(jobs)), {}
    idle = list(trees)
    while waiting or running:
        while waiting and idle:
            fault, runs, seconds = waiting.pop()
            tree = idle.pop()
            if fault:
                (tree / fault.file).rename(tree / "original.py")
                (tree / fault.file).write_text(fault.source, encoding="utf-8")
            out = tree.with_suffix(".json")
            out.unlink(missing_ok=True)
            options = {"out": out, "traced": fault is None}
            process = fork.Process(target=run_tests, args=(tree, runs), kwargs=options)
            process.start()
            until = time.monotonic() + seconds
            running[tree] = (process, fault, runs, out, until)
        connection.wait([job[0].sentinel for job in running.values()], timeout=0.3)
        late = {tree for tree, job in running.items() if job[-1] < time.monotonic()}
        # a process that a test leaves behind keeps the sentinel open
        for tree in late | {tree for tree, job in running.items() if job[0].exitcode is not None}:
            process, fault, runs, out, _ = running.pop(tree)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
            if fault:
                (tree / "original.py").replace(tree / fault.file)
            idle.append(tree)
            result = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else None
            if result is None and tree not in late:
                result = {"code": 1, "failed": "the process died"}
            yield (fault or runs[0][0]), result


def trace_tests(trees: list[Path], stored: Path) -> dict[str, Any]:
    """The seconds and the executed lines of each test file, and of each file's own examples."""
    traces = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
    found = [path.relative_to(trees[0]) for path in sorted(trees[0].glob("tests/**/test_*.py"))]
    tests = [path for path in found if not LEFT_OUT & {path.stem, path.parent.name}]
    modules = [path.relative_to(trees[0]) for path in sorted(trees[0].glob(f"{PACKAGE}/*/*.py"))]
    doctests = [path for path in modules if ">>> " in (trees[0] / path).read_text("utf-8")]
    doctests = [path for path in doctests if path.parent.name in ROOMS]
    paths = [path.as_posix() for path in (*tests, *doctests)]
    jobs = [(None, [[path]], 900) for path in paths if path not in traces]
    for file, result in tqdm(run_jobs(jobs, trees), "trace", len(jobs), unit="file"):
        if result is None or result["code"] not in (0, 5):  # 5: all of its tests are marked slow
            raise SystemExit(f"{file} fails without any fault: {result and result['failed']}")
        traces[file] = {key: result[key] for key in ("seconds", "lines")}
        stored.write_text(json.dumps(traces), encoding="utf-8")
    return traces


def choose_tests(
    fault: Fault, traces: dict[str, Any], *, allowed: float
) -> tuple[list[str], float]:
    """The test files that execute the lines of a fault, and their seconds; its own tests first."""
    place = Path(fault.file).relative_to(PACKAGE)
    own = Path("tests", place.parent, f"test_{place.name}").as_posix()
    reaching = [
        (file not in (own, fault.file), trace["seconds"], file)
        for file, trace in traces.items()
        if fault.lines & set(trace["lines"].get(fault.file, []))
    ]
    files, total = [], 0.0
    for is_other, seconds, file in sorted(reaching):
        if not files or not is_other or total + seconds <= allowed:
            files.append(file)
            total += seconds
    return files, total


def describe(fault: Fault, result: dict[str, Any] | None) -> tuple[str, str]:
    """The outcome of a fault, and which test noticed it."""
    if result is None:
        return "noticed", "no end"
    if result["code"] not in (0, 1, 2):
        raise SystemExit(f"{fault.key}: pytest ended with {result}")
    return ("noticed" if result["code"] else "survived"), result["failed"].partition("[")[0]


def read_rows(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of a results file by their faults."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {tuple(row[name] for name in COLUMNS[:6]): row for row in csv.DictReader(file)}


def run_faults(
    faults: list[Fault], trees: list[Path], traces: Any, kept: Path, *, allowed: float
) -> None:
    """Run the faults that `kept` does not hold yet, and add their outcomes to it."""
    done, jobs = read_rows(kept), []
    for fault in faults:
        if fault.key not in done:
            files, seconds = choose_tests(fault, traces, allowed=allowed)
            runs = [fault.test.split(" ", 2)] * bool(fault.test) + [files] * bool(files)
            limit = 120 + 20 * seconds if runs else 900
            jobs.append((fault, runs or [[OTHER_PROCESSES]], limit))
    with kept.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        bar = tqdm(run_jobs(jobs, trees), "faults", len(jobs), unit="fault")
        for fault, result in bar:
            writer.writerow([*fault.key, *describe(fault, result), ""])
            file.flush()


def write_results(faults: list[Fault], kept: Path) -> int:
    """Write tests/mutants.csv with the reasons that it holds; print counts; 1 if it is too bad."""
    reasons, done = read_rows(RESULTS), read_rows(kept)
    rows = sorted((done[fault.key] for fault in faults), key=lambda row: [*row.values()][:6])
    for row in rows:
        earlier = reasons.get(tuple(row[name] for name in COLUMNS[:6]), {})
        row["reason"] = earlier.get("reason", "") if row["outcome"] == "survived" else ""
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter((row["kind"], row["outcome"]) for row in rows)
    drawn = counts["drawn", "noticed"] + counts["drawn", "survived"]
    share = counts["drawn", "noticed"] / max(1, drawn)
    print(f"drawn: {counts['drawn', 'noticed']} of {drawn} noticed ({share:.1%})")
    print(f"by hand: {counts['by hand', 'noticed']} noticed, {counts['by hand', 'survived']} not")
    for row in rows:
        if row["outcome"] == "survived":
            print(*(row[name] for name in ("file", "function", "old", "new", "reason")), sep=" | ")
    unexplained = [row for row in rows if row["outcome"] == "survived" and not row["reason"]]
    return int(share < SHARE or bool(unexplained) or counts["by hand", "survived"] > 0)


def import_libraries() -> None:
    """Import what the tests import, so that each forked process has only this package to import."""
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    sys.path.insert(0, str(ROOT / "src"))
    for name in (
        "hypothesis",
        "pytest",
        "chaii.train",
        "chaii.ensemble.pipeline",
        "pandas.testing",
    ):
        import_module(name)
    for model in ("bert", "rembert", "roberta", "xlm_roberta"):
        import_module(f"transformers.models.{model}.modeling_{model}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "chaii"]:
        del sys.modules[name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=int, default=250, help="faults that are drawn")
    parser.add_argument("--seed", type=int, default=2021)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "mutants")
    parser.add_argument("--only", default="", help="only faults whose file or change holds this")
    parser.add_argument("--seconds", type=float, default=60, help="CPU time of tests per fault")
    parser.add_argument("--keep", action="store_true", help="what is noticed, of changed code too")
    parser.add_argument("--list", action="store_true", help="print the faults, run nothing")
    arguments = parser.parse_args()
    faults = read_faults(ROOT)
    faults += draw_faults(ROOT, number=arguments.drawn, seed=arguments.seed)
    faults = [fault for fault in faults if arguments.only in f"{fault.file} {fault.change}"]
    if arguments.list:
        for fault in faults:
            print(*fault.key, sep=" | ")
        return 0
    home = arguments.work.resolve()
    trees = prepare_trees(home, arguments.processes, keep=arguments.keep)
    import_libraries()
    tqdm.monitor_interval = 0  # no thread may be alive where a process forks
    traces = trace_tests(trees, home / "traces.json")
    run_faults(faults, trees, traces, home / RESULTS.name, allowed=arguments.seconds)
    return write_results(faults, home / RESULTS.name)


if __name__ == "__main__":
    sys.exit(main())
