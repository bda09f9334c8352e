"""Row 10: the memory of `chaii.Reader` does not grow with the questions that it has answered.

The questions of XQuAD-en, about single paragraphs of many lengths and about whole articles, are
answered one per call, then as a stream; all of that again for some rounds. In the first round the
libraries keep what they make for each new length of a batch.

    CHAII_DATA=corpora python benchmarks/reader_memory.py --model folder/of/checkpoint
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import torch
from measure import Line, in_fresh_process, parse_arguments, read_memory, report
from readers import OPTIONS, read_questions

from chaii import Reader

ASKED = {"paragraphs": (False, 500), "articles": (True, 60)}  # whether joined, and how many


def measure_rounds(model: str, precision: str, what: str, numbers: tuple[int, int]) -> list[float]:
    """Return the peak memory in MiB after each round."""
    number, rounds = numbers
    torch.set_num_threads(1)
    reader = Reader.from_pretrained(model, precision=precision)
    rows = read_questions(joined=ASKED[what][0], number=number)[0]
    peaks = []
    for _ in range(rounds):
        for row in rows:
            reader(**row, **OPTIONS)
        deque(reader(iter(rows), **OPTIONS), maxlen=0)
        peaks.append(read_memory("VmHWM"))
    return peaks


def main() -> None:
    model = {"default": "data/runs/english_minilm/fold0/model", "help": "folder of a checkpoint"}
    arguments = parse_arguments(__doc__, model=model)
    if "CHAII_DATA" not in os.environ or not Path(arguments.model, "config.json").is_file():
        raise SystemExit("set CHAII_DATA, and --model to the folder of an extractive checkpoint")
    lines = []
    for precision in ("auto", "fp32"):
        for what, (_, number) in ASKED.items():
            asked, rounds = (4, 2) if arguments.quick else (number, 5)
            inputs = arguments.model, precision, what, (asked, rounds)
            first, *_, last = in_fresh_process(measure_rounds, *inputs)[0]
            lines.append(
                Line(
                    f"{what}: memory of the reader, {precision}, {2 * asked * rounds:,} answers",
                    f"{last:.0f} MiB",
                    f"{first:.0f} MiB after {2 * asked:,}",
                    last / first,
                    at_most=1.1,
                )
            )
    report(10, "Memory of the reader", lines, name="reader_memory", quick=arguments.quick)


if __name__ == "__main__":
    main()
