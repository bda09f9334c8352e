"""Reports: the counts of reading a corpus, by language."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass
class LanguageReport:
    """The counts of one language of a corpus after the checks; the mappings are per reason."""

    rows: int = 0
    characters: int = 0  # of distinct contexts
    repaired: dict[str, int] = field(default_factory=dict)  # answers moved, trimmed or respelled
    dropped: dict[str, int] = field(default_factory=dict)  # rows
    lost: dict[str, int] = field(default_factory=dict)  # answers of rows that keep another one
    noted: dict[str, int] = field(default_factory=dict)  # faulty rows without answers, kept
    samples: dict[str, list[str]] = field(default_factory=dict)  # reason -> ids of the first rows


@dataclass(frozen=True)
class CorpusReport:
    """The counts of reading one corpus, language by language."""

    corpus: str
    languages: Mapping[str, LanguageReport]

    @property
    def rows(self) -> int:
        """Rows kept, over all languages."""
        return sum(report.rows for report in self.languages.values())


def load_report(stored: Mapping[str, Any]) -> CorpusReport:
    """The report that `dataclasses.asdict` made plain."""
    languages = {name: LanguageReport(**part) for name, part in stored["languages"].items()}
    return CorpusReport(stored["corpus"], languages)


def format_reports(reports: Iterable[CorpusReport]) -> str:
    """A table of all corpora by language, then one line of reasons per language with faults.

    `repaired` counts answers, `dropped` counts rows.
    """
    table, reasons = [], []
    for report in reports:
        for language, part in report.languages.items():
            repaired, dropped = sum(part.repaired.values()), sum(part.dropped.values())
            table.append((report.corpus, language, part.rows, part.characters, repaired, dropped))
            for kind in ("repaired", "dropped", "lost", "noted"):
                why = [f"{reason} {n:,}" for reason, n in getattr(part, kind).items()]
                reasons += [f"{report.corpus}, {language}, {kind}: {', '.join(why)}"] if why else []
    names = ["corpus", "language", "rows", "characters", "repaired", "dropped"]
    counts = pd.DataFrame(table, columns=names)
    return "\n".join([counts.to_markdown(index=False, tablefmt="github", intfmt=","), *reasons])
