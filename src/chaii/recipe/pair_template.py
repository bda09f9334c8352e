"""What a tokenizer puts around a pair of texts, and what tells one tokenizer from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


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
    with whole_texts(tokenizer) as backend:
        return hashlib.blake2b(backend.to_str().encode(), digest_size=10).hexdigest()


@contextmanager
def whole_texts(tokenizer: Any) -> Iterator[Any]:
    """The tokenizer's backend, which cuts and pads no text meanwhile; some are shipped doing both.

    A copy would do as well, but to build that of 250,000 pieces takes seconds.
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
