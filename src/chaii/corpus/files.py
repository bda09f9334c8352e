"""Files of a corpus: found by a pattern, plain or gzip, read line by line."""

import codecs
import glob
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

_GZIP = b"\x1f\x8b"


class CorpusError(ValueError):
    """A corpus that cannot be read; the message names the file, the place and the rule.

    `reason` is the rule alone, under which faulty rows are counted where they are skipped.
    """

    def __init__(self, message: str, *, reason: str = "malformed row") -> None:
        super().__init__(message)
        self.reason = reason


def find_files(name: str, pattern: str) -> list[Path]:
    """Files of a corpus: the one that `pattern` names, or all that it matches, in sorted order.

    Raises:
        CorpusError: there is none.
    """
    if Path(pattern).is_file():  # first, since a file's own name may contain [ or *
        return [Path(pattern)]
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 (absolute)
    if paths := [path for path in matches if path.is_file()]:
        return paths
    raise CorpusError(f"corpus {name}: no file matches path '{pattern}'")


def iterate_bytes(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; gzip is recognised by its first bytes, not by the name.

    A UTF-8 byte order mark at the beginning is left out.

    Raises:
        CorpusError: an empty file, or a gzip stream that is cut short or damaged. All lines before
            the damage have been yielded by then.
    """
    number = 0
    with path.open("rb") as raw:
        head = raw.read(len(_GZIP))
        if not head:
            raise CorpusError(f"{path}, row 1: the file is empty", reason="empty file")
        raw.seek(0)
        try:
            lines = gzip.GzipFile(fileobj=raw) if head == _GZIP else raw
            for number, line in enumerate(lines, start=1):
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        except EOFError as error:
            rule = "the gzip stream ends too early; fetch the file again"
            raise CorpusError(
                f"{path}, after line {number}: {rule}", reason="file cut short"
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise CorpusError(
                f"{path}, after line {number}: damaged gzip stream: {error}", reason="damaged file"
            ) from error


def decode_line(line: bytes, where: str) -> str:
    """The text of a line, its end as it is.

    Raises:
        CorpusError: it is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise CorpusError(f"{where}: not UTF-8: {error}", reason="not UTF-8") from error


def iterate_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends as they are; a quoted CSV field may span several.

    Raises:
        CorpusError: as `iterate_bytes` and `decode_line`.
    """
    for number, line in iterate_bytes(path):
        yield decode_line(line, f"{path}, line {number}")
