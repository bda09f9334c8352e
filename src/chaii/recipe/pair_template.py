"""What a tokenizer puts around a pair of texts, and what distinguishes tokenizers."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class PairTemplate:
    """The special tokens around a (question, context) pair.

    ``before + question + between + context + after`` is the finished input; ``type_ids`` holds the
    token type of each of these five parts.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    type_ids: tuple[int, ...]
    cls_position: int  # where a window without the answer points to
    pad_token_id: int
    mask_token_id: int
    unk_token_id: int | None  # None where no text is unknown
    special_token_ids: tuple[int, ...]

    @property
    def overhead(self) -> int:
        """Number of special tokens in a finished input."""
        return len(self.before) + len(self.between) + len(self.after)


def read_pair_template(tokenizer: Any) -> PairTemplate:
    """Find out how `tokenizer` joins a question and a context, by joining "a" and "b".

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
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    ids, types, parts = encoded["input_ids"], encoded["token_type_ids"], encoded.sequence_ids(0)
    question = [i for i, part in enumerate(parts) if part == 0]
    context = [i for i, part in enumerate(parts) if part == 1]
    edges = [0, question[0], question[-1] + 1, context[0], context[-1] + 1, len(ids)]
    spans = [slice(*edge) for edge in pairwise(edges)]
    before, _, between, _, after = (tuple(ids[span]) for span in spans)
    cls = tokenizer.cls_token_id
    return PairTemplate(
        before=before,
        between=between,
        after=after,
        type_ids=tuple(next(iter(types[span]), 0) for span in spans),
        cls_position=before.index(cls) if cls in before else 0,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.mask_token_id,
        unk_token_id=tokenizer.unk_token_id,
        special_token_ids=tuple(sorted(set(tokenizer.all_special_ids))),
    )


def fingerprint_tokenizer(tokenizer: Any) -> str:
    """Digest all that changes a tokenizer's tokens; its truncation and padding do not count."""
    with whole_texts(tokenizer) as backend:
        return hashlib.blake2b(backend.to_str().encode(), digest_size=10).hexdigest()


@contextmanager
def whole_texts(tokenizer: Any) -> Iterator[Any]:
    """Yield the tokenizer's backend with truncation and padding off; some are shipped with both on.

    A copy would do as well, but copying one of 250,000 pieces takes seconds.
    """
    backend = tokenizer.backend_tokenizer
    truncation, padding = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        yield backend
    finally:
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)
