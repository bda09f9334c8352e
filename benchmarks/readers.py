"""Row 10: `chaii.Reader` against what a user would pick instead, on real questions, on a CPU.

The question-answering pipeline of transformers 4.57 and Haystack 2's `ExtractiveReader` run in
virtual environments of their own, which the first run makes (minutes, and the package index). All
three load the same checkpoint and read the same questions of XQuAD-en: 200 about whole articles
(its paragraphs joined) and 500 about single paragraphs. Each tool comes as it is: ours computes in
bfloat16 where the CPU has it (``auto``), the others in float32; ours in float32 is shown as well.
Answers that differ are listed by cause, with the word-level Jaccard of both ways on them.

    CHAII_DATA=corpora python benchmarks/readers.py --model data/runs/english_minilm/fold0/model
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from measure import Line, alternate, compare, parse_arguments, report
from workers import Worker, make_venv

from chaii import Reader
from chaii.config.corpora import CorpusConfig, CorpusFormat, Join
from chaii.corpus.readers import read_corpus
from chaii.evaluation.metrics import best_jaccard

OPTIONS = {"max_seq_len": 384, "doc_stride": 128, "max_answer_len": 30}  # as in reader_worker.py
BATCH = 32
CANDIDATES = 50  # of our answers, among which another tool's is looked for
PACKAGES = {
    "pipeline": ("venv457", "transformers==4.57.*", "numpy"),
    "haystack": ("venv_haystack", "haystack-ai<3", "transformers==4.57.*", "accelerate"),
}


def read_questions(*, joined: bool, number: int) -> tuple[list[dict[str, str]], list[list[str]]]:
    """Read every so many questions of XQuAD-en, and their accepted answers."""
    path = f"{os.environ['CHAII_DATA']}/xquad/xquad.en.json"
    join = Join.article if joined else Join.paragraph
    corpus = CorpusConfig(CorpusFormat.squad_json, path, language="english", join=join)
    examples = read_corpus("xquad_en", corpus)[0]
    examples = examples.select(range(0, len(examples), len(examples) // number)[:number])
    rows = examples.select_columns(["question", "context"]).to_list()
    return rows, examples["answer_text"][:]


def name_cause(row: dict[str, str], ours: list[int], theirs: list[int], reader: Reader) -> str:
    """Name why another tool gives another answer than ours."""
    if ours == theirs:
        return "equal"
    texts = [row["context"][slice(*place)].split() for place in (ours, theirs)]
    if texts[0] == texts[1]:
        return "the same words at another place or with other spaces"
    found = reader(**row, **OPTIONS, top_k=CANDIDATES)
    scores = {(one["start"], one["end"]): one["score"] for one in found}
    if tuple(theirs) in scores:
        return "less probable over the whole context than ours"
    if theirs[0] < ours[1] and ours[0] < theirs[1]:
        return "overlaps ours with other bounds of words"
    return f"not among our {CANDIDATES} best"


def describe_answers(
    rows: list[dict[str, str]],
    golds: list[list[str]],
    ours: list[list[int]],
    theirs: list[list[int]],
    reader: Reader,
) -> str:
    """Count the equal answers and the causes of the others, and say who is right on those."""
    both = list(zip(ours, theirs, strict=True))
    causes = Counter(name_cause(row, *pair, reader) for row, pair in zip(rows, both, strict=True))
    described = "; ".join(f"{number} {cause}" for cause, number in causes.most_common())
    scores = [
        [best_jaccard(row["context"][slice(*place)], gold) for place in pair]
        for row, gold, pair in zip(rows, golds, both, strict=True)
        if pair[0] != pair[1]
    ]
    if not scores:
        return described
    means = (statistics.mean(column) for column in zip(*scores, strict=True))
    return "{}; Jaccard where they differ: ours {:.3f}, theirs {:.3f}".format(described, *means)


def measure(
    workers: dict[str, Worker],
    rows: list[dict[str, str]],
    golds: list[list[str]],
    what: str,
    reader: Reader,
    pairs: int,
) -> list[Line]:
    """Compare all tools on the same questions, one per call and in batches."""
    with tempfile.TemporaryDirectory() as folder:
        questions = Path(folder, "questions.json")
        questions.write_text(json.dumps(rows), encoding="utf-8")
        ask = {
            (tool, size): partial(workers[tool].ask, questions=str(questions), batch_size=size)
            for tool in workers
            for size in (0, BATCH)
            if (tool, size) != ("haystack", BATCH)  # it has no batches of questions
        }
        replies = {way: one() for way, one in ask.items()}
        seconds = dict(zip(ask, alternate(*ask.values(), pairs=pairs), strict=True))
    asked = f"{len(rows)} questions, threads: {torch.get_num_threads()}"
    lines = []
    for tool, size in ask:
        for precision in () if tool.startswith("reader") else ("auto", "fp32"):
            own = "reader auto" if precision == "auto" else "reader"
            answers = (replies[which, 0]["answers"] for which in (own, tool))
            calls = "batches" if size else "one question per call"
            line = compare(
                f"{what}: {tool}, {calls}; ours {precision}",
                seconds[own, size],
                seconds[tool, size],
                at_least={"pipeline": 2, "haystack": 5}[tool] if precision == "auto" else None,
                note=f"{asked}; {describe_answers(rows, golds, *answers, reader)}",
            )
            lines.append(line)
    return lines


def main() -> None:
    model = {"default": "data/runs/english_minilm/fold0/model", "help": "folder of a checkpoint"}
    arguments = parse_arguments(__doc__, model=model)
    quick, threads = arguments.quick, torch.get_num_threads()
    if "CHAII_DATA" not in os.environ or not Path(arguments.model, "config.json").is_file():
        raise SystemExit("set CHAII_DATA, and --model to the folder of an extractive checkpoint")
    pythons = {"reader": sys.executable, "reader auto": sys.executable}
    pythons |= {tool: make_venv(*packages) for tool, packages in PACKAGES.items()}
    workers = {
        tool: Worker(
            *(python, "reader_worker.py", tool.split()[0], Path(arguments.model).resolve()),
            *(threads, "auto" if tool.endswith("auto") else "fp32"),
        )
        for tool, python in pythons.items()
    }
    reader = Reader.from_pretrained(arguments.model, precision="fp32")
    lines = []
    try:
        for what, joined, number in (("articles", True, 200), ("paragraphs", False, 500)):
            asked = read_questions(joined=joined, number=8 if quick else number)
            lines += measure(workers, *asked, what, reader, 1 if quick else 3)
    finally:
        for worker in workers.values():
            worker.close()
    report(10, "Reader", lines, name="readers", quick=quick)


if __name__ == "__main__":
    main()
