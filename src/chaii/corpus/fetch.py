"""Fetch one file over https: resumed where it broke off, checked against its first download."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

_ATTEMPTS = 5  # at one file, as long as each brings something
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without a byte


class DownloadError(ValueError):
    """A corpus that cannot be fetched; the message names the file and the rule."""


@dataclass(frozen=True)
class Lock:
    """What files were at their first download: address, bytes and sha256, kept beside the data."""

    folder: Path

    @property
    def path(self) -> Path:
        """The lock file itself."""
        return self.folder / "download.lock.json"

    def holds(self, address: str) -> bool:
        """Whether a file from this address is recorded."""
        return any(entry["address"] == address for entry in self._read().values())

    def check(self, file: Path, *, content: Path | None = None) -> bool:
        """Whether `file` is recorded. `content` holds its bytes while it has not its name yet.

        Raises:
            DownloadError: it is recorded with another size or sha256.
        """
        expected = self._read().get(self._key(file))
        if expected is None:
            return False
        found = _measure(content or file)
        if any(found[key] != expected[key] for key in found):
            raise DownloadError(
                f"{file}: expected {expected['bytes']} bytes, sha256 {expected['sha256']}; "
                f"found {found['bytes']} bytes, sha256 {found['sha256']}; delete the file to fetch "
                f"it again, or its entry in {self.path} to accept another content"
            )
        return True

    def record(self, file: Path, address: str, *, content: Path | None = None) -> None:
        """Record `file`, or check it where it is recorded already.

        Raises:
            DownloadError: it is recorded with another size or sha256.
        """
        if self.check(file, content=content):
            return
        entry = {"address": address, **_measure(content or file)}
        entries = dict(sorted({**self._read(), self._key(file): entry}.items()))
        self.folder.mkdir(parents=True, exist_ok=True)
        building = self.path.with_suffix(f".{os.getpid()}")
        building.write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
        building.replace(self.path)

    def _read(self) -> dict[str, dict[str, str | int]]:
        if not self.path.is_file():
            return {}
        entries: dict[str, dict[str, str | int]] = json.loads(self.path.read_text())
        return entries

    def _key(self, file: Path) -> str:
        return Path(os.path.relpath(file, self.folder)).as_posix()


def fetch_file(address: str, path: Path, lock: Lock) -> str:
    """Download a file, going on with ``<path>.part`` where there is one; returns what was done.

    A file that lies there is not fetched again: it is checked, unless it was placed by hand.

    Raises:
        DownloadError: the content is not the recorded one, or a web page instead of a file.
        OSError: no network, no such file, no room.
    """
    if path.exists():
        return "there already" if lock.check(path) else "placed by hand, not checked"
    part = path.with_name(path.name + ".part")
    _fetch_all(address, part)
    try:
        lock.record(path, address, content=part)
    except DownloadError:
        part.unlink()
        raise
    part.rename(path)
    _tag_of(part).unlink(missing_ok=True)
    return "downloaded"


def _fetch_all(address: str, part: Path) -> None:
    for _ in range(_ATTEMPTS):
        before = _size_of(part)
        try:
            if _fetch_rest(address, part):
                return
        except HTTPError:
            raise
        except (OSError, HTTPException) as error:
            if _size_of(part) <= before:
                why = getattr(error, "reason", error)  # a URLError wraps what went wrong
                raise ConnectionError(f"no network ({why})") from error
    raise ConnectionError(f"the connection broke {_ATTEMPTS} times, start again to go on")


def _fetch_rest(address: str, part: Path) -> bool:
    """Fetch what is missing of a file; whether it is complete."""
    done, headers = _size_of(part), {"User-Agent": "chaii", "Accept-Encoding": "identity"}
    if done and _tag_of(part).is_file():
        # A file that has changed since is then sent whole, not glued to the old beginning.
        headers |= {"Range": f"bytes={done}-", "If-Range": _tag_of(part).read_text()}
    try:
        response = urlopen(Request(address, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{done}":
            return True  # it broke off between the last byte and the new name
        raise
    with response:
        _reject_page(address, response.headers)
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise DownloadError(f"{address}: the server sent another part than was asked for")
        return _write_body(response, part, done if resumed else 0)


def _write_body(response: HTTPResponse, part: Path, done: int) -> bool:
    length = response.headers.get("Content-Length")
    total = None if length is None else done + int(length)
    _tag_of(part).unlink(missing_ok=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab" if done else "wb") as file:
        if tag := _version_of(response.headers):
            _tag_of(part).write_text(tag)
        name = part.name.removesuffix(".part")
        with tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=name) as progress:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
    return total is None or _size_of(part) == total


def _version_of(headers: Message) -> str | None:
    """What a server calls a version of a file; a weak ETag does not vouch for its bytes."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _reject_page(address: str, headers: Message) -> None:
    """A login or error page that comes with status 200 must not become a corpus."""
    if headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{address}: the server sent a web page instead of the file")


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _measure(file: Path) -> dict[str, str | int]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": _size_of(file), "sha256": digest}
