"""Reports: what reading a corpus gave, counted by language, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LanguageReport:
    """What one language of a corpus holds after the checks. The mappings count per reason."""

    rows: int
    characters: int  # of distinct contexts
    repaired: Mapping[str, int]  # answers moved, trimmed or respelled
    dropped: Mapping[str, int]  # rows
    lost: Mapping[str, int]  # answers dropped from rows that keep another one
    noted: Mapping[str, int]  # rows without answers that are kept in spite of a fault
    samples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # reason -> first row ids


@dataclass(frozen=True)
class CorpusReport:
    """What reading one corpus gave, language by language."""

    corpus: str
    languages: Mapping[str, LanguageReport]

    @property
    def rows(self) -> int:
        """Rows kept, over all languages."""
        return sum(report.rows for report in self.languages.values())


def dump_report(report: CorpusReport) -> str:
    """The report as JSON."""
    return json.dumps(dataclasses.asdict(report), ensure_ascii=False, indent=1)


def load_report(text: str) -> CorpusReport:
    """The report that `dump_report` wrote."""
    stored = json.loads(text)
    languages = {
        name: LanguageReport(
            **{**part, "samples": {key: tuple(ids) for key, ids in part["samples"].items()}}
        )
        for name, part in stored["languages"].items()
    }
    return CorpusReport(stored["corpus"], languages)


def format_reports(reports: Iterable[CorpusReport]) -> str:
    """One Markdown table over corpora: a line per language, counts, and the reasons behind them.

    `repaired` counts answers, `dropped` counts rows.
    """
    header = ("corpus", "language", "rows", "characters", "repaired", "dropped", "why")
    lines: list[tuple[str, ...]] = [header]
    for report in reports:
        lines += [
            (report.corpus, language, *_format_counts(part))
            for language, part in report.languages.items()
        ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def _format_counts(part: LanguageReport) -> tuple[str, str, str, str, str]:
    kinds = {"repaired": part.repaired, "dropped": part.dropped}
    kinds |= {"answers lost": part.lost, "noted": part.noted}
    why = [
        f"{kind}: " + ", ".join(f"{reason} {number}" for reason, number in reasons.items())
        for kind, reasons in kinds.items()
        if reasons
    ]
    repaired, dropped = sum(part.repaired.values()), sum(part.dropped.values())
    counts = f"{part.rows:,}", f"{part.characters:,}", f"{repaired:,}", f"{dropped:,}"
    return (*counts, "; ".join(why))
