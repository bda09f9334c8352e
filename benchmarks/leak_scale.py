"""The leak check at scale: a generated SQuAD of 100,000 contexts, and TyDi-like whole documents.

Texts consist of invented words whose frequencies follow Zipf's law, and of phrases that many texts
share. Some held-out texts are planted among the training texts: unchanged, with 5 % of their
characters changed, or changed and inside a longer text. Each size is measured in a process of its
own. The report gives the seconds, the planted texts that were found and the false alarms.

    python benchmarks/leak_scale.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "leak_scale.json"
SIZES = {  # contexts to train on and held out, words of each, planted texts of each kind
    "squad": {"train": 100_000, "held_out": 5_000, "words": 120, "words_held_out": 120},
    "tydi": {"train": 11_700, "held_out": 400, "words": 4_200, "words_held_out": 1_500},
}
PLANTED = 100  # of each kind
VOCABULARY, PHRASES, IN_PHRASES = 60_000, 20_000, 0.3
CHANGED = 0.05


def invent_words(rng: np.random.Generator, count: int) -> np.ndarray:
    """Invent words of two to eight letters; frequent words are shorter."""
    syllables = [
        c + v for c in "bcdfghjklmnpqrstvwz" for v in ("a", "e", "i", "o", "u", "an", "er")
    ]
    sizes = np.clip(rng.poisson(1 + np.log10(1 + np.arange(count)) / 2), 1, 5)
    return np.array(["".join(rng.choice(syllables, size)) for size in sizes], dtype=object)


@cache
def add_up_chances(kinds: int) -> np.ndarray:
    """Return cumulative weights of Zipf's law."""
    return np.cumsum(1 / (2 + np.arange(kinds)))


def zipf(rng: np.random.Generator, kinds: int, size: int) -> np.ndarray:
    """Draw `size` ranks below `kinds`."""
    chances = add_up_chances(kinds)
    return np.searchsorted(chances, rng.random(size) * chances[-1])


class Writer:
    """Writes texts of words and phrases."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.words = rng, invent_words(rng, VOCABULARY)
        self.phrases = np.array(
            [
                " ".join(self.words[zipf(rng, VOCABULARY, rng.integers(3, 7))])
                for _ in range(PHRASES)
            ],
            dtype=object,
        )

    def write(self, words: int) -> str:
        """Write a text of about `words` words."""
        size = max(20, int(self.rng.lognormal(np.log(words), 0.4) * (1 - 0.7 * IN_PHRASES)))
        text = self.words[zipf(self.rng, VOCABULARY, size)]
        at = self.rng.random(size) < IN_PHRASES / 4.5 / (1 - 0.7 * IN_PHRASES)
        text[at] = self.phrases[zipf(self.rng, PHRASES, int(at.sum()))]
        return " ".join(text)


def change(text: str, rng: np.random.Generator) -> str:
    """Replace, double or delete a share of the characters."""
    letters, out = sorted(set(text)), []
    for letter, hit in zip(text, rng.random(len(text)) < CHANGED, strict=True):
        other = letters[rng.integers(len(letters))]
        out.append(("", other, letter + other)[rng.integers(3)] if hit else letter)
    return "".join(out)


def make_dataset(corpus: str, contexts, writer: Writer):
    from chaii.corpus.table import build_table

    return build_table(
        {
            "id": str(i),
            "corpus": corpus,
            "article": str(i),
            "language": "invented",
            "question": writer.write(10)[:80] + "?",
            "context": context,
            "answer_text": [context[:5]],
            "answer_start": [0],
        }
        for i, context in enumerate(contexts)
    )


def measure(name: str) -> dict[str, object]:
    """Measure seconds and memory of one check, and count what it finds."""
    from chaii.corpus.leakage import find_leaks

    size, rng = SIZES[name], np.random.default_rng(2021)
    writer = Writer(rng)
    texts = [writer.write(size["words_held_out"]) for _ in range(size["held_out"])]
    equal, near, inside = (texts[i * PLANTED : (i + 1) * PLANTED] for i in range(3))
    planted = [*equal, *(change(text, rng) for text in near)]
    planted += [" ".join([writer.write(400), change(text, rng)]) for text in inside]

    def contexts():
        yield from planted
        for _ in range(size["train"] - len(planted)):
            yield writer.write(size["words"])

    train = make_dataset("train", contexts(), writer)
    held_out = make_dataset("held_out", texts, writer)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, began, began_cpu = peak_mib(), time.perf_counter(), time.process_time()
    leaks = find_leaks(train, held_out).query("kind == 'context'")
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    after = peak_mib()
    right = leaks["train_id"] == leaks["held_out_id"]
    number = leaks["train_id"].astype(int)
    kinds = {"equal": 0, "changed": 1, "changed and inside": 2}
    return {
        **size,
        "characters_to_train_on": sum(map(len, train["context"][:])),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),  # below `seconds` if other processes share the machine
        "peak_mib": round(after),
        "texts_mib": round(before),
        "planted": PLANTED,
        "found": {kind: int((right & (number // PLANTED == i)).sum()) for kind, i in kinds.items()},
        "false_alarms": int((~right).sum()),
    }


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def describe_machine() -> dict[str, object]:
    from chaii.run_folder import describe_environment

    hardware = describe_environment(2021)["hardware"]
    names = ("numpy", "scipy", "scikit-learn", "datasets", "pandas")
    return {
        "hardware": hardware,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=SIZES)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    results: dict[str, object] = {"machine": describe_machine()}
    for name in SIZES:
        command = [sys.executable, __file__, "--measure", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, json.dumps(results[name], indent=1), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"{RESULTS}: {json.dumps(results['machine'])}")


if __name__ == "__main__":
    main()
