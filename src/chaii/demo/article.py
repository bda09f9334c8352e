"""Articles of the demo corpora: a few facts about one invented subject between filler sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from omegaconf import OmegaConf

T = TypeVar("T")

_DEVANAGARI = 0x900
_DEVANAGARI_DIGITS = str.maketrans("0123456789", "०१२३४५६७८९")

_SHARE_BYTE_ORDER_MARK = 0.02
_SHARE_ODD_SPACES = 0.08
_SHARE_PARAGRAPHS = 0.05
_SHARE_DISTRACTING = 0.02
_SHARE_ATTACHED = 0.15
_SHARE_OLD_DIGITS = 0.1


@dataclass(frozen=True)
class Article:
    """A text about one subject; `answers` maps an attribute to (text, first character)."""

    language: str
    kind: str
    subject: str
    context: str
    answers: dict[str, tuple[str, int]]


def write_article(
    language: str, size: int, *, rng: np.random.Generator, share_trapped: float = 0.0
) -> Article:
    """Write about `size` characters, with the facts in any order, anywhere in the text.

    In `share_trapped` of all articles filler at the beginning contains the answers as well.
    """
    return _Writer(language, rng).write(size, share_trapped)


def ask(article: Article, attribute: str, rng: np.random.Generator) -> str:
    """Return a question whose answer is `article.answers[attribute]`."""
    wording = load_wording()["languages"][article.language]
    whose = wording["whose"][article.kind][0].format(s=article.subject)
    what, question_word = wording["attributes"][attribute]
    frame = pick(wording["questions"], rng)
    return _capitalise(frame.format(whose=whose, what=what, ask=question_word))


def pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    """Return one of `choices`, each with the same chance."""
    return choices[int(rng.integers(len(choices)))]


@cache
def load_wording() -> Any:
    """Read `wording.yaml`, which documents its fields."""
    return OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("wording.yaml")))


class _Writer:
    """Writes articles in one language."""

    def __init__(self, language: str, rng: np.random.Generator) -> None:
        self.language = language
        self.rng = rng
        self.wording: Any = load_wording()["languages"][language]

    def write(self, size: int, share_trapped: float) -> Article:
        kinds = load_wording()["kinds"]
        kind = pick(tuple(kinds), self.rng)
        subject = self.invent_subject(kind)
        answers = {attribute: self.invent_answer(attribute) for attribute in kinds[kind]}
        sentences = []  # (attribute or nothing, text, where the answer starts)
        for attribute, answer in answers.items():
            whose = pick(self.wording["whose"][kind], self.rng).format(s=subject)
            sentences.append((attribute, *self.state_fact(whose, attribute, answer)))
        room = size - sum(len(text) for _, text, _ in sentences)
        sentences += [("", text, 0) for text in self.write_filler(room)]
        sentences = [sentences[i] for i in self.rng.permutation(len(sentences))]
        opening = [self.wording["intros"][kind].format(s=subject)]
        if self.rng.random() < share_trapped:
            opening += [self.wording["mention"].format(answer=text) for text in answers.values()]
        sentences = [("", text, 0) for text in opening] + sentences

        context = "\ufeff" if self.rng.random() < _SHARE_BYTE_ORDER_MARK else ""
        starts = {}
        for attribute, sentence, offset in sentences:
            starts[attribute] = len(context) + offset
            context += sentence + ("\n\n" if self.rng.random() < _SHARE_PARAGRAPHS else " ")
        placed = {attribute: (text, starts[attribute]) for attribute, text in answers.items()}
        return Article(self.language, kind, subject, context.rstrip(), placed)

    def state_fact(self, whose: str, attribute: str, answer: str) -> tuple[str, int]:
        """Return a sentence and where the answer starts in it."""
        head, tail = self.wording["fact"].split("{answer}")
        head = head.format(whose=whose, what=self.wording["attributes"][attribute][0])
        head = _capitalise(pick(self.wording["sources"], self.rng) + head)
        attached = self.rng.random() < _SHARE_ATTACHED
        ending = pick(self.wording["attached"], self.rng) if attached else self.wording["ending"]
        return head + answer + tail.format(ending=ending), len(head)

    def write_filler(self, size: int) -> list[str]:
        odd = self.rng.random() < _SHARE_ODD_SPACES
        sentences: list[str] = []
        written = 0
        while written < size:
            if self.rng.random() < _SHARE_DISTRACTING:
                sentence = self.wording["distraction"].format(p=self.invent_subject("town"))
            else:
                parts = (self.wording[name] for name in ("openers", "actors", "actions"))
                sentence = " ".join(pick(part, self.rng) for part in parts) + self.wording["stop"]
            if odd:  # a no-break space; a joiner after a virama
                sentence = sentence.replace(" ", "\u00a0", 1).replace("\u094d", "\u094d\u200d", 1)
            sentences.append(sentence)
            written += len(sentence)
        return sentences

    def invent_subject(self, kind: str) -> str:
        if kind == "town":
            return f"{self.invent_part('start')}{pick(self.wording['towns'], self.rng)}"
        return " ".join(self.invent_name("name") for _ in range(2 if kind == "person" else 1))

    def invent_answer(self, attribute: str) -> str:
        match attribute:
            case "birth_year":
                year = str(self.rng.integers(1930, 1970))
                in_hindi = self.wording["script"] == _DEVANAGARI
                old_digits = in_hindi and self.rng.random() < _SHARE_OLD_DIGITS
                return year.translate(_DEVANAGARI_DIGITS) if old_digits else year
            case "profession":
                return str(pick(self.wording["professions"], self.rng))
            case "population":
                return f"{self.rng.integers(20, 100)} {self.wording['thousand']}"
            case "length":
                return f"{self.rng.integers(20, 100)} {self.wording['kilometre']}"
            case "source":
                return f"{self.invent_name('mountain')} {self.wording['mountain']}"
            case _:
                return self.invent_name("language")

    def invent_name(self, sort: str) -> str:
        return self.invent_part("start") + self.invent_part(sort)

    def invent_part(self, sort: str) -> str:
        """Return a part of a name in the language's script; all Indic blocks have one order."""
        parts: list[tuple[str, str]] = load_wording()["names"][sort]
        devanagari, latin = pick(parts, self.rng)
        script = self.wording["script"]
        if script is None:
            return latin
        return "".join(chr(ord(letter) - _DEVANAGARI + script) for letter in devanagari)


def _capitalise(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
