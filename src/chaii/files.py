"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield an unused path beside `path`; move what is written there onto `path` at the end.

    The block writes a file or makes a folder under the yielded path. If the block fails, nothing
    is left and an earlier `path` keeps its content. Parent folders are made.

    Raises:
        OSError: the block's own, or `path` cannot be replaced.

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
        yield building
        if building.is_dir() and path.is_dir():
            path.rename(workshop / f"{path.name}.old")  # a folder cannot replace a folder
        building.replace(path)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
