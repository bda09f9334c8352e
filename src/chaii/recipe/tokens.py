"""The token store: every distinct text of a corpus tokenised once, flat, memory-mapped.

Stored as plain binary files rather than Arrow: Arrow tables are written in record batches, so a flat
view over them would be a copy; three memory maps are flat as they lie.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
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

IntArray = NDArray[np.integer[Any]]

_BATCH_CHARACTERS = 4_000_000  # text handed to the tokenizer at a time: bounds its memory


@dataclass(frozen=True)
class PairTemplate:
    """What a tokenizer puts around a (question, context) pair.

    ``before + question + between + context + after`` is the finished input; ``type_ids`` holds the
    token type of each of these five parts.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    type_ids: tuple[int, int, int, int, int]
    cls_position: int  # where a window without the answer points to
    pad_token_id: int
    mask_token_id: int
    special_token_ids: tuple[int, ...]
    uses_type_ids: bool

    @property
    def overhead(self) -> int:
        """Number of special tokens in a finished input."""
        return len(self.before) + len(self.between) + len(self.after)


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

    def tokens_of(self, text: int) -> IntArray:
        """Token ids of one text, a view."""
        return self.input_ids[self.text_start[text] : self.text_start[text + 1]]

    def context_lengths(self) -> IntArray:
        """Number of context tokens of each example, ``(examples,)``."""
        return self.text_start[self.context + 1] - self.text_start[self.context]

    def question_lengths(self) -> IntArray:
        """Number of question tokens of each example, ``(examples,)``."""
        return self.text_start[self.question + 1] - self.text_start[self.question]

    def context_offsets(self, rows: IntArray | None = None) -> IntArray:
        """Character offsets of the context tokens of `rows` (all by default), laid end to end."""
        texts = self.context if rows is None else self.context[rows]
        bounds = zip(self.text_start[texts], self.text_start[texts + 1], strict=True)
        parts = [self.offsets[first:last] for first, last in bounds]
        return np.concatenate(parts) if parts else np.empty((0, 2), np.int32)


def read_pair_template(tokenizer: Any) -> PairTemplate:
    """Find out how `tokenizer` joins a question and a context, by asking it once.

    Raises:
        ValueError: the tokenizer is not a fast one, pads or truncates on the left, or has no mask
            or padding token.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__}: a fast tokenizer is needed for offsets")
    for name in ("padding_side", "truncation_side"):
        if getattr(tokenizer, name) != "right":
            raise ValueError(f"tokenizer.{name}={getattr(tokenizer, name)!r}: must be 'right'")
    for name in ("pad_token_id", "mask_token_id"):
        if getattr(tokenizer, name) is None:
            raise ValueError(f"tokenizer.{name} is not set: padding and cutout need it")
    encoded = tokenizer("a", "b", return_token_type_ids=True, truncation=False, padding=False)
    ids, types, parts = encoded["input_ids"], encoded["token_type_ids"], encoded.sequence_ids(0)
    question = [i for i, part in enumerate(parts) if part == 0]
    context = [i for i, part in enumerate(parts) if part == 1]
    before, between, after = (
        slice(0, question[0]),
        slice(question[-1] + 1, context[0]),
        slice(context[-1] + 1, None),
    )
    slots = [types[before], types[question[0]], types[between], types[context[0]], types[after]]
    kinds = [(slot[0] if slot else 0) if isinstance(slot, list) else slot for slot in slots]
    cls = tokenizer.cls_token_id
    return PairTemplate(
        before=tuple(ids[before]),
        between=tuple(ids[between]),
        after=tuple(ids[after]),
        type_ids=(kinds[0], kinds[1], kinds[2], kinds[3], kinds[4]),
        cls_position=ids[before].index(cls) if cls in ids[before] else 0,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.mask_token_id,
        special_token_ids=tuple(sorted(set(tokenizer.all_special_ids))),
        uses_type_ids="token_type_ids" in tokenizer.model_input_names,
    )


def fingerprint_tokenizer(tokenizer: Any) -> str:
    """Digest of all that changes a tokenizer's tokens; its truncation and padding do not count."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.update(truncation=None, padding=None)
    text = json.dumps(state, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


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
        os.replace(building, home)
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
