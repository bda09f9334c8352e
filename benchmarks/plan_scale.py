"""The winner's scale: a TyDi-like corpus of whole documents, its token store and its plan.

Makes the corpus, then measures in a process of its own each: the store from cold beside one bare
pass of the tokenizer over the distinct texts, and from a warm store the plan of winner_119.

    python benchmarks/plan_scale.py --documents 11700
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from datasets import Dataset

from chaii.config import ScratchConfig, TokenizerKind
from chaii.corpus.readers import EXAMPLE_FEATURES

WORDS = 6000
SCRATCH = ScratchConfig("xlm-roberta", TokenizerKind.unigram, 8000)


def make_corpus(folder: Path, documents: int, words_a_document: int) -> None:
    """Whole documents of invented Bengali-like words, one question each, as a data set on disk."""
    generator = np.random.default_rng(2021)
    letters = np.array([chr(0x0995 + i) for i in range(32)])
    vowels = np.array([chr(0x09BE + i) for i in range(7)])
    words = np.array(
        [
            "".join(
                letters[generator.integers(32)] + vowels[generator.integers(7)]
                for _ in range(generator.integers(1, 5))
            )
            for _ in range(WORDS)
        ]
    )

    def rows():
        for i in range(documents):
            size = max(50, int(generator.lognormal(np.log(words_a_document), 0.6)))
            text = words[generator.zipf(1.3, size) % WORDS]
            context = " ".join(text)
            at = int(generator.integers(size - 3))
            start = len(" ".join(text[:at])) + (at > 0)
            answer = " ".join(text[at : at + 2])
            question = " ".join(words[generator.integers(0, WORDS, 8)])
            yield {
                "id": str(i),
                "corpus": "tydi_primary",
                "article": str(i),
                "language": "bengali",
                "question": question,
                "context": context,
                "answer_text": [answer],
                "answer_start": [start],
            }

    made = Dataset.from_generator(rows, features=EXAMPLE_FEATURES, cache_dir=str(folder / "cache"))
    made.save_to_disk(str(folder / "corpus"))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load(folder: Path):
    from transformers import AutoTokenizer

    return Dataset.load_from_disk(str(folder / "corpus")), AutoTokenizer.from_pretrained(
        folder / "tokenizer"
    )


def measure_pass(folder: Path) -> dict[str, float]:
    """One bare pass of the tokenizer over the distinct texts: the limit."""
    examples, tokenizer = load(folder)
    texts = list(dict.fromkeys([*examples["question"][:], *examples["context"][:]]))
    backend, began = tokenizer.backend_tokenizer, time.perf_counter()
    tokens = 0
    for first in range(0, len(texts), 100):
        batch = backend.encode_batch(texts[first : first + 100], add_special_tokens=False)
        tokens += sum(len(encoding) for encoding in batch)
    return {"seconds": time.perf_counter() - began, "tokens": tokens}


def measure_store(folder: Path) -> dict[str, float]:
    """The token store, from cold."""
    from chaii.recipe.tokens import open_store

    examples, tokenizer = load(folder)
    began = time.perf_counter()
    store = open_store(examples, tokenizer, folder / "tokens")
    return {"seconds": time.perf_counter() - began, "tokens": len(store.input_ids)}


def measure_plan(folder: Path) -> dict[str, float]:
    """Opening the warm store and laying out the stages of winner_119 that read TyDi."""
    from chaii.config import IngredientConfig, RecipeConfig, StageConfig
    from chaii.recipe.plan import make_plan
    from chaii.recipe.tokens import open_store
    from chaii.recipe.windows import slide

    examples, tokenizer = load(folder)
    before = peak_mib()
    began = time.perf_counter()
    store = open_store(examples, tokenizer, folder / "tokens")
    stages = [
        StageConfig([IngredientConfig("tydi_primary", 256, 128, negatives=0.1)]),
        StageConfig([IngredientConfig("tydi_primary", 384, 192, negatives=0.1)]),
    ]
    rows = {"tydi_primary": np.arange(len(examples))}
    stores = {"tydi_primary": store}
    plan = make_plan(RecipeConfig(stages), stores, rows=rows, batch_size=8, seed=2021)
    seconds = time.perf_counter() - began
    peak = peak_mib()
    windows = len(slide(store, max_length=256, stride=128))
    return {
        "seconds": seconds,
        "peak_mib": peak,
        "peak_mib_before": before,
        "planned_windows": len(plan),
        "windows_256_128": windows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=11_700)
    parser.add_argument("--words", type=int, default=2_600, help="median words of a document")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmarks/plan_scale"))
    parser.add_argument("--measure", choices=["pass", "store", "plan"])
    arguments = parser.parse_args()
    if arguments.measure:
        measure = {"pass": measure_pass, "store": measure_store, "plan": measure_plan}
        print(json.dumps(measure[arguments.measure](arguments.folder)))
        return
    if not (arguments.folder / "tokenizer").is_dir():
        from chaii.model.backbone import train_tokenizer

        make_corpus(arguments.folder, arguments.documents, arguments.words)
        examples = Dataset.load_from_disk(str(arguments.folder / "corpus"))
        texts = examples["context"][:200]
        train_tokenizer(SCRATCH, texts).save_pretrained(arguments.folder / "tokenizer")
    for name in ("pass", "store", "plan"):
        command = [sys.executable, __file__, "--folder", arguments.folder, "--measure", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(name, done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
