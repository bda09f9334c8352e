"""The token store: every distinct text of a corpus tokenised once, flat, memory-mapped.

Stored as plain binary files rather than Arrow: Arrow tables are written in record batches, so a
flat view over them would be a copy; three memory maps are flat as they lie.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from tqdm import tqdm

from chaii.recipe.template import PairTemplate, fingerprint_tokenizer, read_pair_template

IntArray = NDArray[np.integer[Any]]

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

    def __len__(self) -> int:
        return len(self.context)

    def select(self, rows: IntArray) -> TokenStore:
        """The store of some of the examples, on the same tokens."""
        return dataclasses.replace(
            self,
            question=self.question[rows],
            context=self.context[rows],
            answer=self.answer[rows],
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


def open_store(examples: Dataset, tokenizer: Any, folder: Path) -> TokenStore:
    """Open the token store of `examples` under `folder`, tokenising them first if it is not there.

    The store's own folder is named by the tokenizer's and the texts' digests, so no other tokenizer
    or corpus can meet it. Leading blanks of questions are dropped before they are tokenised.
    """
    distinct = _find_distinct(examples)
    home = folder / fingerprint_tokenizer(tokenizer) / distinct.fingerprint
    if not home.exists():
        _write_store(home, distinct.texts(), tokenizer, total=int(distinct.is_first.sum()))
    input_ids = _map(home / "input_ids.bin", np.int32)
    offsets = _map(home / "offsets.bin", np.int32).reshape(-1, 2)
    text_start = _map(home / "text_start.bin", np.int64)
    context = distinct.context
    return TokenStore(
        input_ids=input_ids,
        offsets=offsets,
        text_start=text_start,
        question=distinct.question,
        context=context,
        answer=_locate_answers(examples, offsets, text_start[context], text_start[context + 1]),
        template=read_pair_template(tokenizer),
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
        return compress(_all_texts(self.examples), self.is_first)


def _find_distinct(examples: Dataset) -> _Distinct:
    """Number the distinct texts by their digests, a few rows in memory at a time."""
    numbers: dict[bytes, int] = {}
    number, is_first = [], []
    for text in _all_texts(examples):
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        is_first.append(digest not in numbers)
        number.append(numbers.setdefault(digest, len(numbers)))
    fingerprint = hashlib.blake2b(b"".join(numbers), digest_size=10).hexdigest()
    question, context = np.array(number, np.int64).reshape(2, -1)
    return _Distinct(examples, question, context, np.array(is_first), fingerprint)


def _all_texts(examples: Dataset) -> Iterator[str]:
    """Every question without its leading blanks, then every context."""
    for column in ("question", "context"):
        for batch in examples.select_columns([column]).iter(batch_size=_BATCH_ROWS):
            for text in batch[column]:
                yield text.lstrip() if column == "question" else text


def _write_store(home: Path, texts: Iterator[str], tokenizer: Any, *, total: int) -> None:
    """Tokenise `texts` into `home`; it appears under its name only when it is complete."""
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.no_truncation()  # some tokenizers are shipped with both switched on
    backend.no_padding()
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    counts = [0]
    progress = tqdm(total=total, desc="tokenise", unit="text", leave=False)
    try:
        with (
            progress,
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
    """Read-only memory map of a flat file (an empty file cannot be mapped)."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")


def _locate_answers(
    examples: Dataset, offsets: IntArray, first: IntArray, last: IntArray
) -> IntArray:
    """First and last context token of each example's first answer, by the rule of `slide`."""
    found = np.full((len(examples), 2), -1, np.int64)
    start_char, end_char = _first_answers(examples["answer_start"], examples["answer_text"])
    answered = start_char >= 0
    first, last = first[answered], last[answered]
    after = _search(offsets[:, 0], first, last, start_char[answered] + 1)
    end = _search(offsets[:, 1], first, last, end_char[answered])
    found[answered] = np.stack([after - 1 - first, end - first], axis=1)
    return found


def _first_answers(
    starts: Iterable[Sequence[int]], texts: Iterable[Sequence[str]]
) -> tuple[IntArray, IntArray]:
    """Half-open characters of the first answer of each example, -1 where it has none."""
    pairs = [
        (start[0], start[0] + len(text[0])) if start else (-1, -1)
        for start, text in zip(starts, texts, strict=True)
    ]
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _search(values: IntArray, low: IntArray, high: IntArray, target: IntArray) -> IntArray:
    """`np.searchsorted` (left) of each target in its own sorted slice ``values[low:high]``."""
    low, high = low.copy(), high.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        below = open_ & (values[np.where(open_, middle, 0)] < target)
        low = np.where(below, middle + 1, low)
        high = np.where(open_ & ~below, middle, high)
    return low
