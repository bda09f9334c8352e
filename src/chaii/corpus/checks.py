"""Checks of rows before they become examples: repair what is certain, drop the rest, count all.

A row that has answers must have a question, a context, and at least one answer at its place.
A row without answers (a test row, an unanswerable one) is never dropped, because a submission
needs every id; what is wrong with it is only noted.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, TypedDict

from chaii.corpus.reports import CorpusReport, LanguageReport

UNREAD = "(unread)"  # stands for the language of what could not be read far enough to know it
_SAMPLE_IDS = 3  # ids kept per reason
_MOVED = "offset moved"
_RESPELLED = "canonically equal text"
_TRIMMED = "outer blanks"
_EMPTY = "empty answer"
_ABSENT = "answer not in context"


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
    """The answers that stand at their place, and one reason per answer repaired or dropped."""

    texts: list[str]
    start_chars: list[int]
    repaired: list[str]
    dropped: list[str]


def check_answers(context: str, texts: Sequence[str], start_chars: Sequence[int]) -> CheckedAnswers:
    """Puts every answer at its place in the context, or drops it.

    Afterwards `context[start_char : start_char + len(text)] == text` for every answer, no answer
    has outer blanks and none stands twice; the order is kept. An answer found elsewhere moves to
    the occurrence nearest to its offset. One that only differs from the context in how a letter
    is encoded (U+0958 against U+0915 U+093C) takes the context's spelling.

    >>> check_answers("In Paris, France", ["Paris ", "France", "Rome"], [3, 9, 0])
    CheckedAnswers(texts=['Paris', 'France'], start_chars=[3, 10], \
repaired=['outer blanks', 'offset moved'], dropped=['answer not in context'])
    """
    placed: list[tuple[str, int]] = []
    repaired: list[str] = []
    dropped: list[str] = []
    for text, start_char in dict.fromkeys(zip(texts, start_chars, strict=True)):
        spot, fault = _place_answer(context, text, start_char)
        if spot is None:
            dropped.append(fault)
            continue
        placed.append(spot)
        if fault:
            repaired.append(fault)
    kept = list(dict.fromkeys(placed))
    return CheckedAnswers([text for text, _ in kept], [at for _, at in kept], repaired, dropped)


def _place_answer(context: str, text: str, start_char: int) -> tuple[tuple[str, int] | None, str]:
    """The answer at its place (None: there is none), and what was wrong with it ("": nothing)."""
    core = text.strip()
    if not core:
        return None, _EMPTY
    shifted = start_char + len(text) - len(text.lstrip())
    for at in (shifted, start_char):
        if at >= 0 and context.startswith(core, at):
            return (core, at), _TRIMMED if core != text else ""
    nearest = find_nearest(context, core, near=shifted)
    if nearest is not None:
        return (core, nearest), _MOVED
    span = _find_equivalent(context, core, shifted)
    if span is not None:
        return (context[slice(*span)], span[0]), _RESPELLED
    return None, _ABSENT


def find_nearest(context: str, text: str, *, near: int) -> int | None:
    """First character of the occurrence of `text` nearest to character `near`; None if absent.

    Of two as near, the earlier one.

    >>> find_nearest("नगर नगर", "नगर", near=3)
    4
    """
    middle = min(max(near, 0), len(context))
    hits = (context.rfind(text, 0, middle + len(text)), context.find(text, middle))
    return min((at for at in hits if at >= 0), key=lambda at: abs(at - near), default=None)


def _find_equivalent(context: str, text: str, start_char: int) -> tuple[int, int] | None:
    """Nearest half-open span of whole characters of the context that decompose like the text."""
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
    return min(spans, key=lambda span: abs(span[0] - start_char), default=None)


class Tally:
    """Checks the rows of one corpus as they stream by, and counts what it finds.

    `languages` are those to keep; empty keeps all.
    """

    def __init__(self, corpus: str, languages: Collection[str] = ()) -> None:
        self._corpus = corpus
        self._wanted = languages
        self._seen: set[str] = set()
        self._rows: Counter[str] = Counter()
        self._contexts: dict[str, dict[int, int]] = defaultdict(dict)
        self._faults: Counter[tuple[str, str, str]] = Counter()  # (language, kind, reason)
        self._samples: dict[tuple[str, str], list[str]] = defaultdict(list)

    def check(self, row: Row) -> Row | None:
        """The row with its answers at their places, or None where it is dropped."""
        owner = row["language"], row["id"]
        parts = {"question": row["question"], "context": row["context"]}
        faults = [f"empty {part}" for part, text in parts.items() if not text.strip()]
        if not row["answer_text"]:
            self._count(*owner, kind="noted", reasons=faults)
            return self._keep(row)
        answers = check_answers(row["context"], row["answer_text"], row["answer_start"])
        if faults or not answers.texts:
            self._count(*owner, kind="dropped", reasons=(faults or answers.dropped)[:1])
            return None
        self._count(*owner, kind="repaired", reasons=answers.repaired)
        self._count(*owner, kind="lost", reasons=answers.dropped)
        return self._keep(
            {**row, "answer_text": answers.texts, "answer_start": answers.start_chars}
        )

    def wants(self, language: str) -> bool:
        """Whether rows of this language are to be kept."""
        self._seen.add(language)
        return not self._wanted or language in self._wanted

    def drop(self, language: str, identity: str, reason: str) -> None:
        """Count a row that is left out before it is checked."""
        self._count(language, identity, kind="dropped", reasons=[reason])

    @property
    def languages(self) -> frozenset[str]:
        """Every language that was asked for with `wants`."""
        return frozenset(self._seen)

    def report(self) -> CorpusReport:
        """What was counted so far."""
        languages = sorted({*self._rows, *(language for language, _, _ in self._faults)})
        return CorpusReport(self._corpus, {name: self._report_language(name) for name in languages})

    def _keep(self, row: Row) -> Row:
        self._rows[row["language"]] += 1
        # The hash stands for the context, so that a distinct text is not kept alive for a count.
        self._contexts[row["language"]][hash(row["context"])] = len(row["context"])
        return row

    def _count(self, language: str, identity: str, *, kind: str, reasons: Iterable[str]) -> None:
        for reason in reasons:
            self._faults[language, kind, reason] += 1
            ids = self._samples[language, reason]
            if identity not in ids and len(ids) < _SAMPLE_IDS:
                ids.append(identity)

    def _report_language(self, language: str) -> LanguageReport:
        kinds: dict[str, dict[str, int]] = defaultdict(dict)
        for (owner, kind, reason), number in self._faults.items():
            if owner == language:
                kinds[kind][reason] = number
        return LanguageReport(
            rows=self._rows[language],
            characters=sum(self._contexts[language].values()),
            repaired=kinds["repaired"],
            dropped=kinds["dropped"],
            lost=kinds["lost"],
            noted=kinds["noted"],
            samples={
                reason: tuple(ids)
                for (owner, reason), ids in self._samples.items()
                if owner == language
            },
        )
