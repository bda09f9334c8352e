"""Row 7: cost against quality: what the formats of a run take, and the Jaccard that they keep.

Latency is that of one question on a context of 1,500 words, made of paragraphs of XQuAD-en; Jaccard
is that of the questions of XQuAD-en, each on its own paragraph, on articles that all runs held out.
Needs CHAII_DATA and finished English runs, such as english_minilm or students of
scripts/distill.py; exports that a run lacks are written. The formats answer in turns, and medians
are taken, as other processes may share the machine.

    python benchmarks/cost.py --model english_minilm ...
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from measure import alternate, parse_arguments, write_result

from chaii import Reader
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.readers import read_corpus
from chaii.ensemble.answerer import find_checkpoints
from chaii.evaluation.bootstrap import bootstrap_interval
from chaii.evaluation.metrics import best_jaccard
from chaii.model.onnx import EXPORTS
from chaii.run_folder import Prediction, find_runs

HERE = Path(__file__).parent
FORMATS = {
    "fp32": "torch fp32",
    "bf16": "torch bf16",
    "onnx": "ONNX fp32",
    "onnx_int8": "ONNX int8",
}
COLOURS = dict(zip(FORMATS.values(), ("#0072B2", "#56B4E9", "#E69F00", "#D55E00"), strict=True))
MARKERS = "oD^vP*X"  # of the runs
COSTS = {
    "1 thread": "median ms per question, 1 thread",
    "2 threads": "median ms per question, 2 threads",
    "MB": "weights on disk, MB",
}
WORDS = 1500
NOTE = (
    "Bold, and filled in the picture: on the Pareto front. The difference of Jaccard, with an "
    "interval of 95% over contexts, and the equal answers are against torch fp32 of the same run, "
    "on the {rows} questions whose articles all runs held out. "
    "Times are medians of {rounds} turns, in which the formats took turns; "
    "ONNX Runtime is {onnx}."
)
BUSY = (
    " Other processes shared the machine, whose load was {load:.0f} on {cores} cores: times are "
    "longer than on a free machine, most of all with 2 threads, which wait for each other."
)


def make_long_context(contexts: Sequence[str], words: int = WORDS) -> str:
    """Join distinct paragraphs, and cut after so many words."""
    every = " ".join(dict.fromkeys(contexts)).split()
    if len(every) < words:
        raise ValueError(f"{len(every)} words where {words} are needed")
    return " ".join(every[:words])


def mark_front(costs: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Mark the points of the Pareto front: no other costs at most as much and scores higher.

    >>> mark_front([1.0, 2.0, 3.0, 3.0], [0.5, 0.4, 0.6, 0.6])
    [True, False, True, True]
    """
    points = list(zip(costs, scores, strict=True))
    return [
        not any(a <= cost and b >= score and (a, b) != (cost, score) for a, b in points)
        for cost, score in points
    ]


def keep_held_out(examples: Dataset, names: Sequence[str], runs: Path) -> Dataset:
    """Keep the questions on articles that every fold of the runs held out."""
    articles = set(examples["article"])
    for run in (run for name in names for run in find_runs(runs, name)):
        articles &= set(Prediction.load(run.logits).examples["article"])
    if not articles:
        raise ValueError(f"{', '.join(names)}: no article of XQuAD-en was held out by all folds")
    return examples.select(np.flatnonzero(np.isin(examples["article"][:], list(articles))))


def open_readers(names: Sequence[str], runs: Path, *, threads: int) -> dict[Any, Reader]:
    """Load every format of every run, to compute with so many threads."""
    torch.set_num_threads(threads)
    options = {"runs": runs, "device": "cpu"}
    return {
        (name, label): Reader.from_pretrained(name, precision=precision, **options)
        for name in names
        for precision, label in FORMATS.items()
    }


def measure_size(name: str, runs: Path) -> dict[str, float]:
    """MB of the weights in each format, of all folds; missing exports are written."""
    size = dict.fromkeys(FORMATS.values(), 0.0)
    for checkpoint in find_checkpoints(name, runs=runs, conf=HERE.parent / "conf"):
        if not checkpoint.exports.is_dir():
            script = HERE.parent / "scripts/export.py"
            subprocess.run([sys.executable, script, Path(checkpoint.path).parent], check=True)
        for precision, label in FORMATS.items():
            folder, pattern = Path(checkpoint.path), "*.safetensors"
            if precision in EXPORTS:
                folder, pattern = checkpoint.exports, f"{EXPORTS[precision]}*"
            size[label] += sum(file.stat().st_size for file in folder.glob(pattern)) / 1e6
    return size


def measure_quality(readers: dict[Any, Reader], examples: Any) -> dict[Any, dict[str, Any]]:
    """Jaccard of every format, and its difference and equal answers to its run in torch fp32."""
    rows = examples.select_columns(["question", "context"]).to_list()
    found: dict[Any, tuple[list[str], list[float]]] = {}
    for key, reader in readers.items():
        answers = [answer["answer"] for answer in reader(rows, align_to_words=False)]
        golds = examples["answer_text"][:]
        found[key] = answers, [best_jaccard(*pair) for pair in zip(answers, golds, strict=True)]
    quality = {}
    for (name, label), (answers, scores) in found.items():
        exact, reference = found[name, FORMATS["fp32"]]
        differences = np.subtract(scores, reference)
        gain = bootstrap_interval(differences, clusters=examples["context"][:])
        quality[name, label] = {
            "Jaccard": float(np.mean(scores)),
            "against torch fp32": f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})",
            "equal answers": f"{np.equal(answers, exact).mean():.1%}",
        }
    return quality


def draw_costs(points: dict[Any, dict[str, float]]) -> Figure:
    """Draw Jaccard against each cost, the Pareto front as a line through filled points."""
    names = list(dict.fromkeys(name for name, _ in points))
    style = {"axes.spines.right": False, "axes.spines.top": False, "font.size": 9}
    with rc_context(style | {"axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True}):
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        axes = figure.subplots(1, len(COSTS), sharey=True)
        axes[0].set_ylabel("Jaccard, XQuAD-en")
        for axis, (cost, title) in zip(axes, COSTS.items(), strict=True):
            costs, scores = (
                [point[part] for point in points.values()] for part in (cost, "Jaccard")
            )
            front = mark_front(costs, scores)
            line = pd.DataFrame({"cost": costs, "score": scores})[front].sort_values("cost")
            axis.plot(line["cost"], line["score"], color="0.6", linewidth=1, zorder=1)
            for (name, label), x, y, on in zip(points, costs, scores, front, strict=True):
                axis.plot(
                    x,
                    y,
                    marker=MARKERS[names.index(name) % len(MARKERS)],
                    color=COLOURS[label],
                    fillstyle="full" if on else "none",
                    markersize=9,
                    linestyle="",
                )
            axis.set_xlabel(title)
            axis.set_xlim(left=0, right=max(costs) * 1.08)
        lowest, highest = (
            limit(point["Jaccard"] for point in points.values()) for limit in (min, max)
        )
        margin = max(0.01, 0.05 * (highest - lowest))  # differences below 0.01 are small
        axes[0].set_ylim(lowest - margin, highest + margin)
        keys = [{"color": colour, "marker": "s", "label": name} for name, colour in COLOURS.items()]
        for name, marker in zip(names, cycle(MARKERS), strict=False):
            keys.append({"color": "0.4", "marker": marker, "label": name})
        handles = [Line2D([], [], linestyle="", **key) for key in keys]
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def tabulate_points(points: dict[Any, dict[str, Any]]) -> pd.DataFrame:
    """Make the table beside the picture; a cost on the Pareto front is in bold."""
    scores = [point["Jaccard"] for point in points.values()]
    table = pd.DataFrame({"run": [key[0] for key in points], "format": [key[1] for key in points]})
    for cost in COSTS:
        costs = [point[cost] for point in points.values()]
        front = mark_front(costs, scores)
        texts = [f"{value:.0f}" if value > 100 else f"{value:.1f}" for value in costs]
        table[cost] = [f"**{a}**" if on else a for a, on in zip(texts, front, strict=True)]
    table["Jaccard"] = [f"{score:.4f}" for score in scores]
    for name in ("against torch fp32", "equal answers"):
        table[name] = [point[name] for point in points.values()]
    return table.rename(columns=COSTS)


def main() -> None:
    """Measure every format of the runs that are named; write picture and table."""
    arguments = parse_arguments(
        __doc__,
        model={"nargs": "+", "default": ["english_minilm"], "help": "names of finished runs"},
        runs={"type": Path, "default": Path("data/runs")},
        rounds={"type": int, "default": 15, "help": "questions that each format answers alone"},
    )
    runs, names = arguments.runs, arguments.model
    if "CHAII_DATA" not in os.environ or not all((runs / name).is_dir() for name in names):
        print(f"CHAII_DATA or one of {', '.join(names)} in {runs} is missing: nothing is measured")
        return
    path = f"{os.environ['CHAII_DATA']}/xquad/xquad.en.json"
    examples, _ = read_corpus(
        "xquad_en", CorpusConfig(CorpusFormat.squad_json, path, language="english")
    )
    context, question = make_long_context(examples["context"][:]), examples["question"][0]
    examples = keep_held_out(examples, names, runs)
    if arguments.quick:
        examples = examples.select(range(20))
    points: dict[Any, dict[str, Any]] = {
        (name, label): {"MB": size}
        for name in names
        for label, size in measure_size(name, runs).items()
    }
    samples: dict[str, dict[str, list[float]]] = {}
    loads: list[float] = []
    for cost, threads in (("2 threads", 2), ("1 thread", 1)):
        readers = open_readers(names, runs, threads=threads)
        ways = [partial(reader, question=question, context=context) for reader in readers.values()]
        alternate(*ways, pairs=1)  # what a first call prepares
        seconds = alternate(*ways, pairs=1 if arguments.quick else arguments.rounds)
        loads.append(os.getloadavg()[0])
        for key, taken in zip(readers, seconds, strict=True):
            points[key][cost] = float(np.median(taken)) * 1000
            samples.setdefault(cost, {})[", ".join(key)] = taken
    for key, quality in measure_quality(readers, examples).items():
        points[key] |= quality
    load, cores = max(loads), os.cpu_count() or 1
    table = tabulate_points(points)
    print(table.to_string(index=False))
    if not arguments.quick:
        draw_costs(points).savefig(HERE / "cost.png", dpi=110)
        write_result(
            7,
            "Cost against quality",
            name="cost",
            picture="cost.png",
            table=table.to_dict("records"),
            note=NOTE.format(
                rounds=arguments.rounds, rows=len(examples), onnx=version("onnxruntime")
            )
            + BUSY.format(load=load, cores=cores) * (round(load) > cores),
            samples=samples,
        )


if __name__ == "__main__":
    main()
