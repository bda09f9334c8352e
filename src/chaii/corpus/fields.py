"""Fields of parsed JSON: taken by name and type, each fault named with its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, TypeVar

from chaii.corpus.files import CorpusError

_T = TypeVar("_T")


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text.

    Raises:
        CorpusError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(
            f"{where}: not readable as JSON: {error}", reason="not readable as JSON"
        ) from error


def take(holder: Any, key: str, kind: type[_T], where: str) -> _T:
    """The value of a key, of the type it must have.

    Raises:
        CorpusError: no object, no such key, another type, or a text that is none.
    """
    if not isinstance(holder, dict):
        raise CorpusError(f"{where}: {type(holder).__name__} where an object is needed")
    if key not in holder:
        raise CorpusError(f"{where}: no key '{key}'; it has {sorted(holder)}")
    value = holder[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CorpusError(f"{where}: {key} must be {kind.__name__}, not {type(value).__name__}")
    if isinstance(value, str) and not _is_text(value):
        raise CorpusError(f"{where}: {key} holds half a surrogate pair, which is no character")
    return value


def take_identity(holder: Any, key: str, where: str) -> str:
    """An id that is written as a number or as a text."""
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        return require_text(take(holder, key, str, where), key, where)
    return str(take(holder, key, int, where))


def iterate(holder: Any, key: str, where: str) -> Iterator[tuple[str, Any]]:
    """The members of a list, each with its place in the file: `$.data[0].paragraphs[3]`."""
    for number, item in enumerate(take(holder, key, list, where)):
        yield f"{where}.{key}[{number}]", item


def require_text(value: str, field: str, where: str) -> str:
    """The value, which must hold more than blanks.

    Raises:
        CorpusError: it does not.
    """
    if not value.strip():
        raise CorpusError(f"{where}: {field} is empty; every row needs one")
    return value


def digest_text(text: str) -> str:
    """A short name for a text: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
