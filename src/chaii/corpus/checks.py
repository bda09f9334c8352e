"""Checks of rows before they become examples: clear faults are repaired, other rows dropped.

A row with answers must have a question, a context, and at least one answer at its place.
A row without answers (a test row, an unanswerable one) is never dropped, because a submission
needs every id; its faults are only noted. All of these are counted.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import pandas as pd

UNREAD = "(unread)"  # the language of rows that could not be read far enough to know it
_SAMPLE_IDS = 3  # ids kept per reason


class Row(TypedDict):
    """One question as a reader yields it: an example that does not know its corpus yet."""

    id: str
    article: str
    language: str
    question: str
    context: str
    answer_text: list[str]
    answer_start: list[int]


class CheckedAnswers(NamedTuple):
    """The answers at their places, and one reason per answer repaired or dropped."""

    texts: list[str]
    start_chars: list[int]
    repaired: list[str]
    dropped: list[str]


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


def check_answers(context: str, texts: Sequence[str], start_chars: Sequence[int]) -> CheckedAnswers:
    """Put every answer at its place in the context, or drop it.

    Afterwards `context[start_char : start_char + len(text)] == text` for every answer, no answer
    has outer whitespace or occurs twice; the order is kept. An answer found elsewhere moves to
    the occurrence nearest to its offset. One that differs from the context only in the encoding of
    a letter (U+0958 against U+0915 U+093C) takes the context's spelling.

    >>> check_answers("In Paris, France", ["Paris ", "France", "Rome"], [3, 9, 0])
    CheckedAnswers(texts=['Paris', 'France'], start_chars=[3, 10], \
repaired=['outer whitespace', 'offset moved'], dropped=['answer not in context'])
    """
    placed: dict[tuple[str, int], None] = {}
    repaired: list[str] = []
    dropped: list[str] = []
    for text, start_char in dict.fromkeys(zip(texts, start_chars, strict=True)):
        spot, fault = place_answer(context, text, start_char)
        if spot is None:
            dropped.append(fault)
        else:
            placed[spot] = None
            repaired += [fault] if fault else []
    return CheckedAnswers([text for text, _ in placed], [at for _, at in placed], repaired, dropped)


def place_answer(context: str, text: str, start_char: int) -> tuple[tuple[str, int] | None, str]:
    """The answer at its place (None: there is none), and its fault ("": none)."""
    core = text.strip()
    if not core:
        return None, "empty answer"
    shifted = start_char + len(text) - len(text.lstrip())
    for at in (shifted, start_char):
        if at >= 0 and context.startswith(core, at):
            return (core, at), "outer whitespace" if core != text else ""
    nearest = find_nearest(context, core, near=shifted)
    if nearest is not None:
        return (core, nearest), "offset moved"
    span = find_equivalent(context, core, near=shifted)
    if span is not None:
        return (context[slice(*span)], span[0]), "canonically equal text"
    return None, "answer not in context"


def find_nearest(context: str, text: str, *, near: int) -> int | None:
    """First character of the occurrence of `text` nearest to character `near`; None if absent.

    Of two as near, the earlier one.

    >>> find_nearest("नगर नगर", "नगर", near=3)
    4
    """
    middle = min(max(near, 0), len(context))
    hits = (context.rfind(text, 0, middle + len(text)), context.find(text, middle))
    return min((at for at in hits if at >= 0), key=lambda at: abs(at - near), default=None)


def find_equivalent(context: str, text: str, *, near: int) -> tuple[int, int] | None:
    """Half-open span nearest to character `near` whose characters decompose like the text.

    >>> find_equivalent("क\u093cल", "\u0958ल", near=0)
    (0, 3)
    """
    pieces = [unicodedata.normalize("NFD", character) for character in context]
    origin = [at for at, piece in enumerate(pieces) for _ in piece] + [len(pieces)]
    decomposed = "".join(pieces)
    wanted = "".join(unicodedata.normalize("NFD", character) for character in text)
    spans: list[tuple[int, int]] = []
    hit = decomposed.find(wanted)
    while hit >= 0:
        end = hit + len(wanted)
        if (hit == 0 or origin[hit - 1] < origin[hit]) and origin[end - 1] < origin[end]:
            spans.append((origin[hit], origin[end]))
        hit = decomposed.find(wanted, hit + 1)
    return min(spans, key=lambda span: abs(span[0] - near), default=None)


class Tally:
    """Checks the rows of one corpus as they stream by, and counts its findings.

    `languages` are those to keep; empty keeps all. With `keep_all` no row is dropped for a fault.
    """

    def __init__(
        self, corpus: str, languages: Collection[str] = (), *, keep_all: bool = False
    ) -> None:
        self.languages: set[str] = set()  # every argument of `wants`
        self._keep_all = keep_all
        self._corpus = corpus
        self._wanted = languages
        self._reports: dict[str, LanguageReport] = defaultdict(LanguageReport)
        self._contexts: set[tuple[str, int]] = set()  # language and hash

    def check(self, row: Row) -> Row | None:
        """The row with its answers at their places, or None where it is dropped."""
        owner = row["language"], row["id"]
        parts = {"question": row["question"], "context": row["context"]}
        faults = [f"empty {part}" for part, text in parts.items() if not text.strip()]
        if row["answer_text"]:
            answers = check_answers(row["context"], row["answer_text"], row["answer_start"])
            if (faults or not answers.texts) and not self._keep_all:
                self._count(*owner, kind="dropped", reasons=(faults or answers.dropped)[:1])
                return None
            self._count(*owner, kind="repaired", reasons=answers.repaired)
            self._count(*owner, kind="lost", reasons=answers.dropped)
            row = {**row, "answer_text": answers.texts, "answer_start": answers.start_chars}
        self._count(*owner, kind="noted", reasons=faults)
        report = self._reports[row["language"]]
        report.rows += 1
        # The hash represents the context, so that a distinct text is not kept alive for a count.
        key = row["language"], hash(row["context"])
        report.characters += 0 if key in self._contexts else len(row["context"])
        self._contexts.add(key)
        return row

    def wants(self, language: str) -> bool:
        """Whether rows of this language are to be kept."""
        self.languages.add(language)
        return not self._wanted or language in self._wanted

    def drop(self, language: str, identity: str, reason: str) -> None:
        """Count a row that is left out before it is checked."""
        self._count(language, identity, kind="dropped", reasons=[reason])

    def report(self) -> CorpusReport:
        """The counts so far."""
        return CorpusReport(self._corpus, dict(sorted(self._reports.items())))

    def _count(self, language: str, identity: str, *, kind: str, reasons: Iterable[str]) -> None:
        for reason in reasons:
            report = self._reports[language]
            counts = getattr(report, kind)
            counts[reason] = counts.get(reason, 0) + 1
            ids = report.samples.setdefault(reason, [])
            if identity not in ids and len(ids) < _SAMPLE_IDS:
                ids.append(identity)


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
