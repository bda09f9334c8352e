"""The winner's scale: TyDi-like whole documents in the real format, their token store, the plan.

Makes the corpus, then measures in a process of its own each: one bare pass of the tokenizer over
the distinct texts beside the token store from cold, and from warm stores the plan of winner_119,
for which generated files of the demo stand in for the small corpora.

    python benchmarks/plan_scale.py
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from chaii.config import ScratchConfig, TokenizerKind
from chaii.config_corpora import CorpusConfig, CorpusFormat

CONF = Path(__file__).parents[1] / "conf"
STAND_INS = {
    "squad": "squad/train.json",
    "mlqa_hi": "xquad/xquad.hi.json",
    "xquad_hi": "xquad/xquad.hi.json",
    "natural_questions": "squad/train.json",
    "chaii": "chaii/train.csv",
}
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

    file = folder / "train.jsonl.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", compresslevel=1, encoding="utf-8") as out:
        for i in range(documents):
            size = max(50, int(generator.lognormal(np.log(words_a_document), 0.6)))
            text = words[generator.zipf(1.3, size) % WORDS]
            at = int(generator.integers(size - 3))
            start = len(" ".join(text[:at]).encode()) + (at > 0)
            answer = len(" ".join(text[at : at + 2]).encode())
            span = {"plaintext_start_byte": start, "plaintext_end_byte": start + answer}
            annotation = {
                "minimal_answer": span,
                "passage_answer": {"candidate_index": 0},
                "yes_no_answer": "NONE",
            }
            record = {
                "example_id": i,
                "language": ("bengali", "english", "telugu")[i % 3],
                "document_title": str(i),
                "document_plaintext": " ".join(text),
                "question_text": " ".join(words[generator.integers(0, WORDS, 8)]),
                "annotations": [annotation],
            }
            out.write(json.dumps(record, ensure_ascii=False) + "\n")


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def anonymous_mib() -> float:
    """Memory that is no file's: pages of memory-mapped files can be dropped at any time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def load(folder: Path):
    from transformers import AutoTokenizer

    from chaii.corpus.readers import read_corpus

    corpus = CorpusConfig(CorpusFormat.tydi_primary, str(folder / "train.jsonl.gz"))
    examples, _ = read_corpus("tydi_primary", corpus, cache=folder / "corpora")
    return examples, AutoTokenizer.from_pretrained(folder / "tokenizer")


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
    """From corpora read once and warm token stores to the plan of winner_119."""
    from hydra import compose, initialize_config_dir

    from chaii.config import register_schemas
    from chaii.config_rules import check_train
    from chaii.corpus.demo import write_demo_corpora
    from chaii.fold import prepare_fold
    from chaii.recipe.summary import summarise_ingredients

    register_schemas()
    write_demo_corpora(folder / "demo")
    overrides = [f"corpora.sources.tydi_primary.path={folder}/train.jsonl.gz"]
    for corpus, file in STAND_INS.items():
        form = "chaii_csv" if file.endswith("csv") else "squad_json"
        language = {"squad": "english", "xquad": "hindi"}.get(file.split("/")[0], "null")
        options = {"format": form, "path": folder / "demo" / file, "language": language}
        options |= {"keep_ids": "null", "on_error": "raise"}
        overrides += [f"corpora.sources.{corpus}.{key}={value}" for key, value in options.items()]
    paths = [f"paths.output={folder}", f"backbone.pretrained={folder}/tokenizer"]
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config = compose("train", ["experiment=winner_119", *overrides, *paths])
    checked = check_train(config)
    began = time.perf_counter()
    prepared = prepare_fold(checked)
    plan = prepared.make_plan(seed=2021)
    seconds = time.perf_counter() - began
    peak, anonymous = peak_mib(), anonymous_mib()
    parts = summarise_ingredients(checked.recipe, prepared.stores, rows=prepared.rows, plan=plan)
    tydi = parts[parts["corpus"] == "tydi_primary"]
    return {
        "seconds": seconds,
        "peak_mib": peak,
        "anonymous_mib": anonymous,
        "planned_windows": len(plan),
        "tydi_windows_256_128": int(tydi["windows"].iloc[0]),
        "tydi_negatives_kept": tydi["kept"].round(4).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=11_700)
    parser.add_argument("--words", type=int, default=4_200, help="median words of a document")
    parser.add_argument("--folder", type=Path, default=Path("data/benchmarks/plan_scale"))
    parser.add_argument("--measure", choices=["pass", "store", "plan"])
    arguments = parser.parse_args()
    if arguments.measure:
        measure = {"pass": measure_pass, "store": measure_store, "plan": measure_plan}
        print(json.dumps(measure[arguments.measure](arguments.folder.resolve())))
        return
    if not (arguments.folder / "tokenizer").is_dir():
        from chaii.corpus.readers import read_corpus
        from chaii.model.backbone import train_tokenizer

        folder = arguments.folder.resolve()
        make_corpus(folder, arguments.documents, arguments.words)
        corpus = CorpusConfig(CorpusFormat.tydi_primary, str(folder / "train.jsonl.gz"), limit=200)
        texts = list(read_corpus("tydi_primary", corpus)[0]["context"])
        train_tokenizer(SCRATCH, texts).save_pretrained(folder / "tokenizer")
    # the first plan finds the stores of the small corpora cold
    for name in ("pass", "store", "plan", "plan"):
        command = [sys.executable, __file__, "--folder", arguments.folder, "--measure", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(name, done.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
