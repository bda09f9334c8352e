"""Generated corpora: a fixed seed gives the same corpus, with the lengths of a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.schema import ScratchConfig, TokenizerKind
from chaii.corpus.readers import read_corpus
from chaii.corpus.table import EXAMPLE_FEATURES, build_table
from chaii.model.backbone import train_tokenizer

FOLDER = Path(__file__).parents[1] / "data" / "benchmarks"
_WORDS = 6000
_SCRATCH = ScratchConfig("xlm-roberta", TokenizerKind.unigram, 8000)


def make_examples(
    contexts: int, *, words: int, spread: float = 0.6, questions: int = 1, seed: int = 2021
) -> Dataset:
    """Make examples with contexts of `words` invented words (median; lognormal, sigma `spread`).

    Each context has `questions` questions, and each answer is two words of the context. Nearly all
    words are one token for `make_tokenizer`.
    """
    return build_table(
        _make_rows(contexts, words=words, spread=spread, questions=questions, seed=seed)
    )


def write_examples(folder: Path, contexts: int, *, words: int, questions: int = 1) -> Dataset:
    """Make examples as `make_examples` does, streamed to a file and memory-mapped."""
    return Dataset.from_generator(
        lambda: _make_rows(contexts, words=words, spread=0.6, questions=questions, seed=2021),
        features=EXAMPLE_FEATURES,
        cache_dir=str(folder),
        fingerprint=f"{contexts}-{words}-{questions}",
    )


def make_tokenizer(name: str = "made", *, texts: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Train a tokenizer of XLM-R's kind with 8,000 pieces, or load the one trained before."""
    home = FOLDER / "tokenizers" / name
    if not home.is_dir():
        texts = texts or list(make_examples(100, words=1000)["context"])
        train_tokenizer(_SCRATCH, texts).save_pretrained(home)
    return AutoTokenizer.from_pretrained(home)


def read_xquad_by_article() -> Dataset | None:
    """Read XQuAD's Hindi questions with whole articles as contexts; None without CHAII_DATA."""
    folder = os.environ.get("CHAII_DATA")
    if not folder:
        return None
    path = f"{folder}/xquad/xquad.hi.json"
    corpus = CorpusConfig(CorpusFormat.squad_json, path, language="hindi")
    rows = list(read_corpus("xquad_hi", corpus)[0])
    paragraphs: dict[str, dict[str, int]] = {}  # article -> paragraph -> its first character
    for row in rows:
        starts = paragraphs.setdefault(row["article"], {})
        if row["context"] not in starts:
            starts[row["context"]] = sum(len(text) + 1 for text in starts)
    for row in rows:
        starts = paragraphs[row["article"]]
        row["answer_start"] = [at + starts[row["context"]] for at in row["answer_start"]]
        row["context"] = "\n".join(starts)
    return Dataset.from_list(rows, features=EXAMPLE_FEATURES)


def _make_rows(
    contexts: int, *, words: int, spread: float, questions: int, seed: int
) -> Iterator[dict[str, object]]:
    generator = np.random.default_rng(seed)
    lexicon = _invent_words(np.random.default_rng(2021))
    for i in range(contexts):
        size = max(20, int(generator.lognormal(np.log(words), spread)))
        text = lexicon[generator.zipf(1.3, size) % _WORDS]
        context = " ".join(text)
        for number in range(questions):
            at = int(generator.integers(size - 2))
            asked = lexicon[generator.integers(0, _WORDS, generator.integers(5, 13))]
            yield {
                "id": f"{seed}-{i}-{number}",
                "corpus": "made",
                "article": str(i),
                "language": "hindi",
                "question": " ".join(asked),
                "context": context,
                "answer_text": [" ".join(text[at : at + 2])],
                "answer_start": [len(" ".join(text[:at])) + (at > 0)],
            }


def _invent_words(generator: np.random.Generator) -> NDArray[np.str_]:
    """Invent words of one to four syllables in Devanagari letters."""
    letters = [chr(0x0915 + i) for i in range(32)]
    vowels = ["", *(chr(0x093E + i) for i in range(7))]
    syllables = np.array([letter + vowel for letter in letters for vowel in vowels])
    counts = generator.integers(1, 5, _WORDS)
    return np.array(["".join(generator.choice(syllables, count)) for count in counts])
