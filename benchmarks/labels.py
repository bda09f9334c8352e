"""How often `labels: first` and `labels: evidence` place an answer where people marked it.

In these corpora people marked the place of each answer. The answer is moved to its first
occurrence, as in chaii, and placed again. Only answers that occur more than once are counted.

    CHAII_DATA=<folder> python benchmarks/labels.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from datasets import Dataset

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.label_repair import choose_occurrence, find_occurrences
from chaii.corpus.readers import read_corpus


def count_right(examples: Dataset) -> dict[str, float]:
    """Questions with several occurrences, and the shares of them that are placed correctly."""
    first, similar = [], []
    for row in examples:
        text, marked = row["answer_text"][0], row["answer_start"][0]
        places = find_occurrences(row["context"], text, marked)
        if len(places) > 1:
            chosen = choose_occurrence(row["question"], row["context"], text, places[0])
            first.append(places[0] == marked)
            similar.append(chosen == marked)
    count = max(1, len(first))
    return {
        "questions": len(examples),
        "several": len(first),
        "first": sum(first) / count,
        "evidence": sum(similar) / count,
    }


def main() -> None:
    folder = os.environ.get("CHAII_DATA")
    if not folder:
        raise SystemExit("CHAII_DATA must name a folder with real corpora")
    rows = []
    for pattern in ("xquad/xquad.*.json", "squad/*.json", "tydiqa_goldp/*.json"):
        for file in sorted(Path(folder).glob(pattern)):
            corpus = CorpusConfig(CorpusFormat.squad_json, str(file), language="any")
            examples, _ = read_corpus(file.stem, corpus)
            rows.append({"file": file.stem, **count_right(examples)})
    print(pd.DataFrame(rows).to_markdown(index=False, tablefmt="github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
