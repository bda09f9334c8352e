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
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from numpy.typing import NDArray
from tqdm import tqdm

from chaii.recipe.template import PairTemplate, fingerprint_tokenizer, read_pair_template

IntArray = NDArray[np.integer[Any]]

_BATCH_CHARACTERS = 4_000_000  # text handed to the tokenizer at a time: bounds its memory


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
    texts, question, context = _distinct_texts(examples)
    home = folder / fingerprint_tokenizer(tokenizer) / _fingerprint_texts(texts)
    if not home.exists():
        _write_store(home, texts, tokenizer)
    input_ids = _map(home / "input_ids.bin", np.int32)
    offsets = _map(home / "offsets.bin", np.int32).reshape(-1, 2)
    text_start = _map(home / "text_start.bin", np.int64)
    return TokenStore(
        input_ids=input_ids,
        offsets=offsets,
        text_start=text_start,
        question=question,
        context=context,
        answer=_locate_answers(examples, offsets, text_start[context], text_start[context + 1]),
        template=read_pair_template(tokenizer),
    )


def _distinct_texts(examples: Dataset) -> tuple[pa.Array, IntArray, IntArray]:
    """Distinct texts, and for each example the number of its question and of its context."""
    table = examples.with_format("arrow")[:]
    question = pc.utf8_ltrim_whitespace(table["question"].cast(pa.large_string()))
    context = table["context"].cast(pa.large_string())
    both = pa.chunked_array([*question.chunks, *context.chunks], pa.large_string())
    encoded = both.combine_chunks().dictionary_encode()
    rows = encoded.indices.to_numpy().astype(np.int64)
    return encoded.dictionary, rows[: len(examples)], rows[len(examples) :]


def _fingerprint_texts(texts: pa.Array) -> str:
    """Digest of the texts and of where each one ends."""
    digest = hashlib.blake2b(digest_size=10)
    for buffer in pa.concat_arrays([texts]).buffers()[1:]:
        if buffer is not None:
            digest.update(buffer)
    return digest.hexdigest()


def _write_store(home: Path, texts: pa.Array, tokenizer: Any) -> None:
    """Tokenise `texts` into `home`; it appears under its name only when it is complete."""
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.no_truncation()  # some tokenizers are shipped with both switched on
    backend.no_padding()
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    counts = [0]
    progress = tqdm(total=len(texts), desc="tokenise", unit="text", leave=False)
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


def _batches(texts: pa.Array) -> Iterator[list[str]]:
    """Python strings in runs of at most `_BATCH_CHARACTERS` bytes, or a single longer text."""
    sizes = np.cumsum(pc.binary_length(texts).to_numpy())
    first = 0
    while first < len(texts):
        done = sizes[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(sizes, done + _BATCH_CHARACTERS, side="right")))
        yield texts[first:last].to_pylist()
        first = last


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
