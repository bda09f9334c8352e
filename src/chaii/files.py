"""Files and folders that are written whole or not at all, that can be checked, and read."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from filelock import FileLock, Timeout

_SEAL = "digest.txt"
_Content = TypeVar("_Content")


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield an unused path beside `path`; move what is written there onto `path` at the end.

    The block writes a file or makes a folder under the yielded path. If the block fails, nothing
    is left and an earlier `path` keeps its content. Parent folders are made.

    Raises:
        OSError: the block's own, or `path` cannot be replaced; it names a file.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp(), "scores.csv")
    >>> with write_whole(target) as building:
    ...     _ = building.write_text("id,jaccard")
    >>> target.read_text()
    'id,jaccard'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    building = workshop / path.name
    try:
        with writing(path):
            yield building
            if building.is_dir() and path.is_dir():
                path.rename(workshop / f"{path.name}.old")  # a folder cannot replace a folder
            building.replace(path)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def save_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8."""
    with write_whole(path) as building:
        building.write_text(text, encoding="utf-8")


def save_json(path: Path, content: Any, *, indent: int = 2) -> None:
    """Write a JSON file whole."""
    save_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: Path, kind: type[_Content]) -> _Content:
    """Read a JSON file that holds a value of the type `kind`.

    Raises:
        ValueError: it does not, or cannot be read.
    """
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, kind):
            raise TypeError(f"{type(content).__name__} where a {kind.__name__} is needed")
    return content


def open_or_make(
    home: Path,
    read: Callable[[], _Content | None],
    make: Callable[[Path], object],
    *,
    remedy: str | None = None,
) -> _Content:
    """Return what `read` finds in the folder `home`; where that is None, `make` it whole first.

    Of processes that start side by side one makes it. With a `remedy`, a folder that is replaced
    was damaged, and a line says so.

    Raises:
        OSError: `read` finds nothing in what was made.
    """
    found = read()
    if found is None:
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{home}.lock"):
            found = read()  # another process may have been first
            if found is None:
                if remedy and home.exists():
                    print(f"{home}: damaged; {remedy}")
                with write_whole(home) as building:
                    make(building)
                found = read()
    if found is None:
        raise OSError(f"{home}: not all of it reached the disk")
    return found


@contextmanager
def claim(file: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; yields False where another process holds it.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "trial0")
    >>> with claim(file) as first, claim(file) as second:
    ...     first, second
    (True, False)
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that a block writes in an error that names none, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file or folder that a block reads in any error of the block.

    The libraries that read run folders and tables raise errors of many kinds, often without a name.

    Raises:
        ValueError: the block's error, in one line.

    >>> with reading(Path("metrics.json")):
    ...     float("many")
    Traceback (most recent call last):
    ValueError: metrics.json: cannot be read: could not convert string to float: 'many'
    """
    try:
        yield
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ValueError(f"{path}: cannot be read: {shorten(why, 300)}") from error


def seal_folder(folder: Path) -> None:
    """Note the digest of all files of a folder inside it, for `is_intact`."""
    (folder / _SEAL).write_text(digest_folder(folder), encoding="utf-8")


def is_intact(folder: Path) -> bool:
    """Whether a folder holds exactly the files, byte by byte, that it held when it was sealed."""
    seal = folder / _SEAL
    return seal.is_file() and seal.read_bytes() == digest_folder(folder).encode()


def digest_folder(folder: Path) -> str:
    """Digest the names and contents of all files of a folder, but for its seal."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path != folder / _SEAL:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "blake2b").digest()
            digest.update(path.relative_to(folder).as_posix().encode() + content)
    return digest.hexdigest()
