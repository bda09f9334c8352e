"""The token store: every distinct text of a corpus tokenised once, flat, memory-mapped.

Stored as plain binary files rather than Arrow: Arrow tables are written in record batches, so a
flat view over them would be a copy; three memory maps are flat as they lie.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray
from tqdm import tqdm

from chaii.recipe.pair_template import (
    PairTemplate,
    fingerprint_tokenizer,
    read_pair_template,
    whole_texts,
)
from chaii.recipe.span_labels import AnswerTable, IntArray, locate_answers

_COLUMNS = ("question", "context")  # in the order of their texts' numbers
_BATCH_ROWS = 256  # rows read from disk at a time
_BATCH_CHARACTERS = 2_000_000  # text handed to the tokenizer at a time: bounds its memory


@dataclass(frozen=True)
class TokenStore:
    """The tokens of one corpus under one tokenizer.

    Texts are the distinct questions and contexts; each example points at two of them.
    """

    input_ids: IntArray  # (tokens,) of all texts, one after another
    offsets: IntArray  # (tokens, 2) half-open characters of each token in its text
    text_start: IntArray  # (texts + 1,) row pointers into the tokens
    question: IntArray  # (examples,) the text that is the question
    context: IntArray  # (examples,) the text that is the context
    answer: IntArray  # (examples, 2) first and last context token of the first answer, -1 without
    template: PairTemplate
    answers: AnswerTable | None = None  # every listed answer, where each is a positive

    def __len__(self) -> int:
        return len(self.context)

    def select(self, rows: IntArray) -> TokenStore:
        """The store of some of the examples, on the same tokens."""
        return dataclasses.replace(
            self,
            question=self.question[rows],
            context=self.context[rows],
            answer=self.answer[rows],
            answers=self.answers and self.answers.select(rows),
        )

    def tokens_of(self, text: int) -> IntArray:
        """Token ids of one text, a view."""
        return self.input_ids[self.text_start[text] : self.text_start[text + 1]]

    def context_lengths(self) -> IntArray:
        """Number of context tokens of each example, ``(examples,)``."""
        return self.text_start[self.context + 1] - self.text_start[self.context]

    def question_lengths(self) -> IntArray:
        """Number of question tokens of each example, ``(examples,)``."""
        return self.text_start[self.question + 1] - self.text_start[self.question]


def open_store(
    examples: Dataset, tokenizer: Any, folder: Path, *, every_answer: bool = False
) -> TokenStore:
    """Open the token store of `examples` under `folder`, tokenising them first if it is not there.

    The store's own folder is named by the tokenizer's and the texts' digests, so no other tokenizer
    or corpus can meet it. Leading blanks of questions are dropped before they are tokenised. Labels
    are made from the first answer of each example, with `every_answer` from all it lists.
    """
    distinct = _find_distinct(examples)
    home = folder / fingerprint_tokenizer(tokenizer) / distinct.fingerprint
    if not home.exists():
        _write_store(home, distinct.texts(), tokenizer, total=int(distinct.is_first.sum()))
    input_ids = _map(home / "input_ids.bin", np.int32)
    offsets = _map(home / "offsets.bin", np.int32).reshape(-1, 2)
    text_start = _map(home / "text_start.bin", np.int64)
    context = distinct.context
    listed = slice(None if every_answer else 1)
    answers = locate_answers(
        [row[listed] for row in examples["answer_start"][:]],
        [row[listed] for row in examples["answer_text"][:]],
        offsets=offsets,
        first=text_start[context],
        last=text_start[context + 1],
    )
    return TokenStore(
        input_ids=input_ids,
        offsets=offsets,
        text_start=text_start,
        question=distinct.question,
        context=context,
        answer=_first_answers(answers),
        template=read_pair_template(tokenizer),
        answers=answers if every_answer else None,
    )


@dataclass(frozen=True)
class _Distinct:
    """Which texts of a corpus are distinct; the texts themselves stay on disk."""

    examples: Dataset
    question: IntArray  # (examples,) number of the text
    context: IntArray  # (examples,)
    is_first: NDArray[np.bool_]  # (2 * examples,) questions, then contexts: met for the first time
    fingerprint: str  # digest of the texts, in the order of their numbers

    def texts(self) -> Iterator[str]:
        """The distinct texts in the order of their numbers."""
        for column, first in zip(_COLUMNS, self.is_first.reshape(2, -1), strict=True):
            chosen = self.examples.select(np.flatnonzero(first))
            yield from (text.decode() for text in _read_texts(chosen, column))


def _find_distinct(examples: Dataset) -> _Distinct:
    """Number the distinct texts by their digests, a few rows in memory at a time."""
    numbers: dict[bytes, int] = {}
    number, is_first = [], []
    last, digest = None, b""
    for text in chain.from_iterable(_read_texts(examples, column) for column in _COLUMNS):
        if text != last:  # the questions of one context often follow one another
            last, digest = text, hashlib.blake2b(text, digest_size=16).digest()
        is_first.append(digest not in numbers)
        number.append(numbers.setdefault(digest, len(numbers)))
    fingerprint = hashlib.blake2b(b"".join(numbers), digest_size=10).hexdigest()
    question, context = np.array(number, np.int64).reshape(2, -1)
    return _Distinct(examples, question, context, np.array(is_first), fingerprint)


def _read_texts(examples: Dataset, column: str) -> Iterator[bytes]:
    """The texts of a column in UTF-8, as they lie on disk; questions without leading blanks."""
    stored = examples.select_columns([column]).with_format("arrow")
    for table in stored.iter(batch_size=_BATCH_ROWS):
        for text in table[column].cast(pa.large_binary()).to_pylist():
            yield text.decode().lstrip().encode() if column == "question" else text


def _write_store(home: Path, texts: Iterator[str], tokenizer: Any, *, total: int) -> None:
    """Tokenise `texts` into `home`; it appears under its name only when it is complete."""
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    counts = [0]
    progress = tqdm(total=total, desc="tokenise", unit="text", leave=False)
    try:
        with (
            progress,
            whole_texts(tokenizer) as backend,
            (building / "input_ids.bin").open("wb") as ids_file,
            (building / "offsets.bin").open("wb") as offsets_file,
        ):
            for batch in _batches(texts):
                for encoding in backend.encode_batch(batch, add_special_tokens=False):
                    np.asarray(encoding.ids, np.int32).tofile(ids_file)
                    np.asarray(encoding.offsets, np.int32).tofile(offsets_file)
                    counts.append(len(encoding.ids))
                progress.update(len(batch))
        np.cumsum(counts, dtype=np.int64).tofile(building / "text_start.bin")
        building.replace(home)
    except OSError:
        if not home.exists():  # else another process finished the same store first
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    """Texts in runs of about `_BATCH_CHARACTERS`, the last one whole."""
    batch, characters = [], 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _map(path: Path, dtype: type[np.integer[Any]]) -> IntArray:
    """Read-only memory map of a flat file (an empty file cannot be mapped).

    As a plain array: a slice of a `np.memmap` takes several times as long.
    """
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))


def _first_answers(answers: AnswerTable) -> IntArray:
    """Tokens of the first answer of each example, ``(examples, 2)``; -1 where it has none."""
    first = answers.row_start[:-1]
    answered = np.diff(answers.row_start) > 0
    found = np.full((len(first), 2), -1, np.int64)
    found[answered] = answers.tokens[first[answered]]
    return found
