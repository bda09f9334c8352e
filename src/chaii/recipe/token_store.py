"""The token store: every distinct text of a corpus tokenised once, flat, memory-mapped.

It is three plain binary files, because Arrow tables are written in record batches: a flat view over
one would be a copy.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from datasets import Dataset
from numpy.typing import NDArray
from tqdm import tqdm

from chaii.files import is_intact, open_or_make, seal_folder
from chaii.recipe.mapped_memory import release_table
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
_SMALL = 2**26  # bytes of token ids that are digested in a moment


@dataclass(frozen=True)
class TokenStore:
    """The tokens of one corpus under one tokenizer.

    Texts are the distinct questions and contexts; each example points at two of them.
    """

    home: Path | None  # the folder that the next three arrays are mapped from; None: in memory
    input_ids: IntArray  # (tokens,) of all texts, one after another
    offsets: IntArray  # (tokens, 2) half-open characters of each token in its text
    text_start: IntArray  # (texts + 1,) row pointers into the tokens
    question: IntArray  # (examples,) the text that is the question
    context: IntArray  # (examples,) the text that is the context
    answers: AnswerTable  # the answers that count as positives
    template: PairTemplate

    def __len__(self) -> int:
        return len(self.context)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the files out: a process that gets the store maps them itself."""
        files = _map_files(self.home) if self.home else {}
        return {name: part for name, part in vars(self).items() if name not in files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, **(_map_files(state["home"]) if state["home"] else {}))

    def select(self, rows: IntArray) -> Self:
        """Return the store of some of the examples, on the same tokens."""
        question, context = self.question[rows], self.context[rows]
        answers = self.answers.select(rows)
        return dataclasses.replace(self, question=question, context=context, answers=answers)

    def narrow(
        self, example: IntArray, context_from: IntArray, context_to: IntArray, *, question: IntArray
    ) -> Self:
        """Return a store on the same tokens whose examples are ranges of contexts, without answers.

        Each takes the first `question` tokens of its question. All arguments are ``(ranges,)``.
        """
        asked = self.text_start[self.question[example]]
        read = self.text_start[self.context[example]]
        edges = asked, asked + question, read + context_from, read + context_to
        text = 4 * np.arange(len(example))  # between the two texts of a range there is another
        none = AnswerTable(np.zeros((0, 2), np.int64), np.zeros(len(example) + 1, np.int64))
        own = dataclasses.replace(self, question=text, context=text + 2, answers=none)
        return dataclasses.replace(own, home=None, text_start=np.stack(edges, axis=1).ravel())

    def tokens_of(self, text: int) -> IntArray:
        """Return the token ids of one text, as a view."""
        return self.input_ids[self.text_start[text] : self.text_start[text + 1]]

    def context_lengths(self) -> IntArray:
        """Return the number of context tokens of each example, ``(examples,)``."""
        return self.text_start[self.context + 1] - self.text_start[self.context]

    def question_lengths(self) -> IntArray:
        """Return the number of question tokens of each example, ``(examples,)``."""
        return self.text_start[self.question + 1] - self.text_start[self.question]


Stores = Mapping[str, TokenStore]  # by the names of their corpora


def open_store(
    examples: Dataset,
    tokenizer: Any,
    folder: Path,
    *,
    every_answer: bool = False,
    verify: bool = False,
) -> TokenStore:
    """Open the token store of `examples` under `folder`; tokenise them first if it is not there.

    The store's own folder is named by the digests of the tokenizer and of the texts, so that it is
    never used for others. Questions lose their leading whitespace before they are tokenised. The
    first answer of each example counts as a positive, with `every_answer` all that it lists.

    A store whose files are missing or have other sizes is made anew, and so is a small one with any
    other byte; `verify` compares every byte of a large one too.

    Raises:
        OSError: the files cannot be written whole.
    """
    number, is_first, fingerprint = _number_texts(examples)
    home = folder / fingerprint_tokenizer(tokenizer) / fingerprint

    def make(building: Path) -> None:
        new = (examples.select(np.flatnonzero(first)) for first in is_first)
        read = (_read_texts(rows, column) for rows, column in zip(new, _COLUMNS, strict=True))
        texts = map(bytes.decode, chain.from_iterable(read))
        _write_store(building, tqdm(texts, "tokenise", is_first.sum(), leave=False), tokenizer)

    def read() -> dict[str, IntArray] | None:
        return _map_files(home) if _is_whole(home, verify=verify) else None

    files = open_or_make(home, read, make, remedy="its texts are tokenised again")
    question, context = number
    listed = slice(None if every_answer else 1)
    answers = locate_answers(
        [row[listed] for row in examples["answer_start"][:]],
        [row[listed] for row in examples["answer_text"][:]],
        offsets=files["offsets"],
        first=files["text_start"][context],
        last=files["text_start"][context + 1],
    )
    texts = files | {"question": question, "context": context}
    return TokenStore(home, **texts, answers=answers, template=read_pair_template(tokenizer))


def tokenise_pairs(
    questions: Sequence[str],
    contexts: Sequence[str],
    tokenizer: Any,
    *,
    max_question_tokens: int | None = None,
) -> TokenStore:
    """Make the token store of questions and contexts without answers, in memory.

    Questions lose their leading whitespace, and what is beyond `max_question_tokens`.
    """
    asked = {text: number for number, text in enumerate(dict.fromkeys(map(str.lstrip, questions)))}
    given = {text: number for number, text in enumerate(dict.fromkeys(contexts), len(asked))}
    with whole_texts(tokenizer) as backend:
        encodings = [
            encoding
            for batch in _batches(chain(asked, given))
            for encoding in backend.encode_batch(batch, add_special_tokens=False)
        ]
    limits = [max_question_tokens] * len(asked) + [None] * len(given)
    ids = [encoding.ids[:most] for encoding, most in zip(encodings, limits, strict=True)]
    offsets = [encoding.offsets[:most] for encoding, most in zip(encodings, limits, strict=True)]
    none = np.zeros((0, 2), np.int64), np.zeros(len(questions) + 1, np.int64)
    return TokenStore(
        home=None,
        input_ids=np.fromiter(chain.from_iterable(ids), np.int32),
        offsets=np.array(list(chain.from_iterable(offsets)), np.int32).reshape(-1, 2),
        text_start=np.cumsum([0, *map(len, ids)]),
        question=np.array([asked[text.lstrip()] for text in questions]),
        context=np.array([given[text] for text in contexts]),
        answers=AnswerTable(*none),
        template=read_pair_template(tokenizer),
    )


def _map_files(home: Path) -> dict[str, IntArray]:
    return {
        "input_ids": _map(home / "input_ids.bin", np.int32),
        "offsets": _map(home / "offsets.bin", np.int32).reshape(-1, 2),
        "text_start": _map(home / "text_start.bin", np.int64),
    }


def _number_texts(examples: Dataset) -> tuple[IntArray, NDArray[np.bool_], str]:
    """Number the distinct texts by their digests, with a few rows in memory at a time.

    Returns:
        ``(2, examples)`` the numbers of questions and contexts; of the same shape, whether a text
        is met for the first time; and a digest of the texts in the order of their numbers.
    """
    numbers: dict[bytes, int] = {}
    number, is_first = [], []
    last, digest = None, b""
    for text in chain.from_iterable(_read_texts(examples, column) for column in _COLUMNS):
        if text != last:  # the questions of one context often follow one another
            last, digest = text, hashlib.blake2b(text, digest_size=16).digest()
        is_first.append(digest not in numbers)
        number.append(numbers.setdefault(digest, len(numbers)))
    fingerprint = hashlib.blake2b(b"".join(numbers), digest_size=10).hexdigest()
    shape = (len(_COLUMNS), len(examples))
    first = np.array(is_first, np.bool_).reshape(shape)
    return np.array(number, np.int64).reshape(shape), first, fingerprint


def _read_texts(examples: Dataset, column: str) -> Iterator[bytes]:
    """Read the texts of a column in UTF-8; questions without leading whitespace."""
    stored = examples.select_columns([column]).with_format("arrow")
    for table in stored.iter(batch_size=_BATCH_ROWS):
        for text in table[column].cast(pa.large_binary()).to_pylist():
            yield text.decode().lstrip().encode() if column == "question" else text
        release_table(examples)


def _write_store(home: Path, texts: Iterable[str], tokenizer: Any) -> None:
    """Tokenise `texts` into the new folder `home`."""
    counts = [0]
    home.mkdir()
    with (
        whole_texts(tokenizer) as backend,
        (home / "input_ids.bin").open("wb") as ids_file,
        (home / "offsets.bin").open("wb") as offsets_file,
    ):
        for batch in _batches(texts):
            for encoding in backend.encode_batch(batch, add_special_tokens=False):
                # not by `ndarray.tofile`, which does not tell when the disk is full
                ids_file.write(np.asarray(encoding.ids, np.int32).tobytes())
                offsets_file.write(np.asarray(encoding.offsets, np.int32).tobytes())
                counts.append(len(encoding.ids))
    (home / "text_start.bin").write_bytes(np.cumsum(counts, dtype=np.int64).tobytes())
    seal_folder(home)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Group texts in runs of about `_BATCH_CHARACTERS`, the last text of each whole."""
    batch, characters = [], 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _is_whole(home: Path, *, verify: bool) -> bool:
    """Whether a store is there, its sizes fit, and its bytes as far as `verify` and size ask."""
    paths = [home / f"{name}.bin" for name in ("text_start", "input_ids", "offsets")]
    if not all(path.is_file() for path in paths):
        return False
    text_start = _map(paths[0], np.int64)
    ids, offsets = (path.stat().st_size for path in paths[1:])
    if not len(text_start) or not 2 * ids == offsets == 8 * text_start[-1]:
        return False
    return is_intact(home) if verify or ids < _SMALL else True


def _map(path: Path, dtype: type[np.integer[Any]]) -> IntArray:
    """Open a read-only memory map of a flat file (an empty file cannot be mapped).

    Returns a plain array: a slice of a `np.memmap` takes several times as long.
    """
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))
