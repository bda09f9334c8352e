"""Files that give one value per id of a corpus: label places and kept ids."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chaii.corpus.records import CorpusError
from chaii.files import reading, write_whole


@dataclass(frozen=True)
class IdFile:
    """A kind of file with the columns id and `column`; `writer` is the script that writes it."""

    column: str
    delimiter: str
    writer: str

    def read(self, path: Path) -> dict[str, tuple[str, str]]:
        """Of each id, in the order of the file: its value, and the row for messages.

        Raises:
            CorpusError: there is no such file, it has other columns, or an id twice.
        """
        if not path.is_file():
            raise CorpusError(f"{path}: no such file; {self.writer} writes it")
        with reading(path), path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file, delimiter=self.delimiter)) or [[]]
        columns = ["id", self.column]
        if header != columns:
            found = header or "none: the file is empty"
            raise CorpusError(f"{path}, row 1: the columns must be {columns}, not {found}")
        values: dict[str, tuple[str, str]] = {}
        for number, cells in enumerate(rows, start=2):
            where = f"{path}, row {number}"
            if len(cells) != len(columns):
                raise CorpusError(f"{where}: {len(cells)} cells, not {len(columns)}")
            if cells[0] in values:
                raise CorpusError(f"{where}: id '{cells[0]}' occurs twice")
            values[cells[0]] = cells[1], where
        return values

    def write(self, path: Path, rows: Iterable[tuple[str, object]]) -> None:
        """Write pairs of an id and its value."""
        with (
            write_whole(path) as building,
            building.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, delimiter=self.delimiter, lineterminator="\n")
            writer.writerow(["id", self.column])
            writer.writerows(rows)


LABELS = IdFile("answer_start", ",", "scripts/relabel.py")
KEPT_IDS = IdFile("score", "\t", "scripts/filter_questions.py")
