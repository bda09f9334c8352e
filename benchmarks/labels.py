"""How often an answer's first occurrence is the one meant, and how often the one `evidence` takes.

Corpora that know where their answers stand are asked as if they did not: each answer is put at its
first occurrence, as chaii has it. Counted are the questions whose answer occurs more than once.

    CHAII_DATA=<folder> python benchmarks/labels.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from datasets import Dataset

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.occurrences import choose_occurrence, find_occurrences
from chaii.corpus.readers import read_corpus


def count_right(examples: Dataset) -> dict[str, float]:
    """Questions with several occurrences, and the shares of them that are placed right."""
    first, evidence = [], []
    for row in examples:
        text, meant = row["answer_text"][0], row["answer_start"][0]
        places = find_occurrences(row["context"], text, meant)
        if len(places) > 1:
            chosen = choose_occurrence(row["question"], row["context"], text, places[0])
            first.append(places[0] == meant)
            evidence.append(chosen == meant)
    count = max(1, len(first))
    return {
        "questions": len(examples),
        "several": len(first),
        "first": sum(first) / count,
        "evidence": sum(evidence) / count,
    }


def main() -> None:
    folder = os.environ.get("CHAII_DATA")
    if not folder:
        raise SystemExit("CHAII_DATA must name a folder with real corpora")
    files = sorted(Path(folder).glob("xquad/xquad.*.json")) + sorted(
        Path(folder).glob("squad/*.json")
    )
    rows = {}
    for file in files:
        corpus = CorpusConfig(CorpusFormat.squad_json, str(file), language="any")
        rows[file.stem] = count_right(read_corpus(file.stem, corpus)[0])
    print(pd.DataFrame(rows).T.astype({"questions": int, "several": int}).round(3).to_string())


if __name__ == "__main__":
    main()
