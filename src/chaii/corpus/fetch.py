"""Fetch one file over https: resumed after an interruption, checked, pinned at its first download.

Of the libraries, pooch does not resume, and the Hub's client resumes without asking whether the
file is still the same.
"""

import gzip
import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from chaii.files import save_json

_ATTEMPTS = 5  # at one file, as long as each brings something
_CHUNK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without a byte


class DownloadError(ValueError):
    """A corpus that cannot be fetched; the message names the file and the rule."""


@dataclass(frozen=True)
class Lock:
    """Address, size and sha256 of every file at its first download, kept beside the data."""

    folder: Path

    @property
    def path(self) -> Path:
        """The lock file itself."""
        return self.folder / "download.lock.json"

    def holds(self, address: str) -> bool:
        """Whether a file from this address is recorded."""
        return any(entry["address"] == address for entry in self._read().values())

    def check(self, file: Path, *, content: Path | None = None) -> bool:
        """Whether `file` is recorded; `content` is where its bytes are while it lacks its name.

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
        save_json(self.path, entries)

    def _read(self) -> dict[str, dict[str, str | int]]:
        if not self.path.is_file():
            return {}
        try:
            entries: dict[str, dict[str, str | int]] = json.loads(self.path.read_text("utf-8"))
            for name, entry in entries.items():
                if missing := {"address", "bytes", "sha256"} - set(entry):
                    raise ValueError(f"entry '{name}' has no {sorted(missing)}")
        except (ValueError, TypeError, AttributeError) as error:
            raise DownloadError(f"{self.path}: not a lock file ({error}); delete it") from error
        return entries

    def _key(self, file: Path) -> str:
        return Path(os.path.relpath(file, self.folder)).as_posix()


def fetch_file(address: str, path: Path, lock: Lock, *, insecure: bool = False) -> str:
    """Download a file, continuing ``<path>.part`` where there is one; return what was done.

    An existing file is not fetched again: it is checked, unless it was placed by hand. Addresses
    other than https are fetched only if `insecure`.

    Raises:
        DownloadError: the address is not https, or the content is not the recorded one, empty, cut
            short, a web page, or not of the format that the name of the file promises.
        OSError: no network, no such file, no room.
    """
    if path.exists():
        return "there already" if lock.check(path) else "placed by hand, not checked"
    _check_scheme(address, insecure)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_ATTEMPTS):
        before = _size_of(part)
        try:
            if _fetch_rest(address, part, insecure):
                break
        except HTTPError as error:
            answer = f"the server answers {error.code} {error.reason}"
            raise ConnectionError(f"{error.url}: {answer}") from error
        except (OSError, HTTPException) as error:
            if _size_of(part) <= before:
                why = getattr(error, "reason", error)  # a URLError wraps the cause
                raise ConnectionError(f"no network ({why})") from error
    else:
        raise ConnectionError(f"the connection broke {_ATTEMPTS} times; start again to continue")
    try:
        check_content(part, path.name)
        lock.record(path, address, content=part)
        part.rename(path)
    except DownloadError:
        part.unlink()
        raise
    finally:
        _tag_of(part).unlink(missing_ok=True)
    return "downloaded"


def check_content(file: Path, name: str) -> None:
    """Check that a file has the format that its name promises; archives are read to their end.

    Raises:
        DownloadError: it has not, is empty, or is a web page.
    """
    fault = ""
    try:
        with file.open("rb") as stream:
            head = stream.read(1024).lstrip().lower()
        match Path(name).suffix:
            case _ if not head:
                fault = "it is empty"
            case _ if head.startswith((b"<!doctype", b"<html")):
                fault = "it is a web page"
            case ".json":
                json.loads(file.read_bytes())
            case ".jsonl":
                with file.open("rb") as stream:
                    all(map(json.loads, filter(bytes.strip, stream)))
            case ".gz":
                with gzip.open(file) as stream:
                    while stream.read(_CHUNK):
                        pass
            case ".zip":
                with zipfile.ZipFile(file) as archive:
                    fault = f"member {bad} is damaged" if (bad := archive.testzip()) else ""
            case ".parquet":
                fault = "" if head.startswith(b"par1") else "it is no Parquet file"
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        fault = str(error)
    if fault:
        raise DownloadError(f"{name}: not a whole file of its format: {fault}")


def _check_scheme(address: str, insecure: bool) -> None:
    if not insecure and not address.startswith("https://"):
        raise DownloadError(f"{address}: only https is fetched; --insecure allows other addresses")


def _fetch_rest(address: str, part: Path, insecure: bool) -> bool:
    """Fetch the missing rest of a file; whether it is complete."""
    done, headers = _size_of(part), {"User-Agent": "chaii", "Accept-Encoding": "identity"}
    if done and _tag_of(part).is_file():
        # A file that has changed since is then sent whole, not appended to the old beginning.
        headers |= {"Range": f"bytes={done}-", "If-Range": _tag_of(part).read_text("utf-8")}
    try:
        request = Request(address, headers=headers)
        response = urlopen(request, timeout=_TIMEOUT)  # nosec B310 # `_check_scheme` came before
    except HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{done}":
            return True  # it was interrupted between the last byte and the new name
        raise
    with response:
        _check_scheme(response.url, insecure)  # an https address may redirect to another
        answer = response.headers
        if answer.get("Content-Type", "").startswith("text/html"):  # of a login or an error
            raise DownloadError(f"{address}: the server sent a web page instead of the file")
        if response.status != 206:
            done = 0
        elif not answer.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise DownloadError(f"{address}: the server sent another part than requested")
        _tag_of(part).unlink(missing_ok=True)
        total = done + int(answer["Content-Length"]) if "Content-Length" in answer else None
        name = part.name.removesuffix(".part")
        with (
            part.open("ab" if done else "wb") as file,
            tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=name) as progress,
        ):
            # A weak ETag does not vouch for the bytes of a file.
            tag = answer.get("ETag", "")
            if version := tag if tag.startswith('"') else answer.get("Last-Modified"):
                _tag_of(part).write_text(version, encoding="utf-8")
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
    return total is None or _size_of(part) == total


def _tag_of(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _measure(file: Path) -> dict[str, str | int]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": _size_of(file), "sha256": digest}
