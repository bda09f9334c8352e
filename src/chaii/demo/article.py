"""Articles of the demo corpora: a few facts about one invented subject between filler sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from chaii.demo.text import KINDS, WORDINGS, Wording

T = TypeVar("T")

# Invented names, each part in Devanagari and in Latin letters; no name is of two sorts, so that
# what kind of thing a name is can be read off its end.
_STARTS = (
    *(("ता", "Ta"), ("मी", "Mi"), ("रो", "Ro"), ("लु", "Lu"), ("पे", "Pe"), ("का", "Ka")),
    *(("नि", "Ni"), ("सो", "So"), ("जा", "Ja"), ("तू", "Tu"), ("ले", "Le"), ("पो", "Po")),
)
_ENDS = {
    "name": (("मल", "mal"), ("रिन", "rin"), ("कोन", "kon"), ("पाल", "pal")),
    "language": (("तुर", "tur"), ("लासी", "lasi")),
    "mountain": (("निमा", "nima"), ("रोक", "rok")),
}
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
    """Write about `size` characters; the facts stand in any order, anywhere in the text.

    In `share_trapped` of all articles filler at the beginning holds the answers as well.
    """
    wording = WORDINGS[language]
    kind = pick(tuple(KINDS), rng)
    subject = _invent_subject(wording, kind, rng)
    answers = {name: _invent_answer(wording, name, rng) for name in KINDS[kind]}
    sentences: list[tuple[str, str, int]] = []  # (attribute or nothing, text, where the answer is)
    for name, answer in answers.items():
        whose = pick(wording.whose[kind], rng).format(s=subject)
        sentences.append((name, *_state_fact(wording, (whose, name, answer), rng)))
    room = size - sum(len(text) for _, text, _ in sentences)
    sentences += [("", text, 0) for text in _write_filler(wording, room, rng)]
    sentences = [sentences[i] for i in rng.permutation(len(sentences))]
    if rng.random() < share_trapped:
        traps = [("", wording.mention.format(answer=answer), 0) for answer in answers.values()]
        sentences = traps + sentences
    sentences.insert(0, ("", wording.intros[kind].format(s=subject), 0))
    context, starts = _join(sentences, rng)
    placed = {name: (text, starts[name]) for name, text in answers.items()}
    return Article(language, kind, subject, context, placed)


def ask(article: Article, attribute: str, rng: np.random.Generator) -> str:
    """Return a question whose answer is `article.answers[attribute]`."""
    wording = WORDINGS[article.language]
    whose = wording.whose[article.kind][0].format(s=article.subject)
    what, question_word = wording.attributes[attribute]
    frame = pick(wording.questions, rng)
    return _capitalise(frame.format(whose=whose, what=what, ask=question_word))


def pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    """Return one of `choices`, each with the same chance."""
    return choices[int(rng.integers(len(choices)))]


def _state_fact(
    wording: Wording, fact: tuple[str, str, str], rng: np.random.Generator
) -> tuple[str, int]:
    """Return the sentence for (whose, attribute, answer) and where the answer starts in it."""
    whose, attribute, answer = fact
    head, tail = wording.fact.split("{answer}")
    head = head.format(whose=whose, what=wording.attributes[attribute][0])
    head = _capitalise(pick(wording.sources, rng) + head)
    attached = rng.random() < _SHARE_ATTACHED
    ending = pick(wording.attached, rng) if attached else wording.ending
    return head + answer + tail.format(ending=ending), len(head)


def _write_filler(wording: Wording, size: int, rng: np.random.Generator) -> list[str]:
    odd = rng.random() < _SHARE_ODD_SPACES
    sentences: list[str] = []
    written = 0
    while written < size:
        if rng.random() < _SHARE_DISTRACTING:
            sentence = wording.distraction.format(p=_invent_town(wording, rng))
        else:
            parts = (wording.openers, wording.actors, wording.actions)
            sentence = " ".join(pick(part, rng) for part in parts) + wording.stop
        if odd:  # a no-break space; a joiner after a virama
            sentence = sentence.replace(" ", "\u00a0", 1).replace("\u094d", "\u094d\u200d", 1)
        sentences.append(sentence)
        written += len(sentence)
    return sentences


def _join(
    sentences: list[tuple[str, str, int]], rng: np.random.Generator
) -> tuple[str, dict[str, int]]:
    """Return the text and attribute -> first character of its answer."""
    text = "\ufeff" if rng.random() < _SHARE_BYTE_ORDER_MARK else ""
    starts = {}
    for attribute, sentence, offset in sentences:
        starts[attribute] = len(text) + offset
        text += sentence + ("\n\n" if rng.random() < _SHARE_PARAGRAPHS else " ")
    return text.rstrip(), starts


def _invent_subject(wording: Wording, kind: str, rng: np.random.Generator) -> str:
    if kind == "town":
        return _invent_town(wording, rng)
    return " ".join(_invent_name(wording, "name", rng) for _ in range(2 if kind == "person" else 1))


def _invent_answer(wording: Wording, attribute: str, rng: np.random.Generator) -> str:
    match attribute:
        case "birth_year":
            year = str(rng.integers(1930, 1970))
            old_digits = wording.script == _DEVANAGARI and rng.random() < _SHARE_OLD_DIGITS
            return year.translate(_DEVANAGARI_DIGITS) if old_digits else year
        case "profession":
            return pick(wording.professions, rng)
        case "population":
            return f"{rng.integers(20, 100)} {wording.thousand}"
        case "length":
            return f"{rng.integers(20, 100)} {wording.kilometre}"
        case "source":
            return " ".join([_invent_name(wording, "mountain", rng), wording.mountain])
        case "language":
            return _invent_name(wording, "language", rng)
    raise AssertionError(attribute)


def _invent_town(wording: Wording, rng: np.random.Generator) -> str:
    return _spell(wording, pick(_STARTS, rng)) + pick(wording.towns, rng)


def _invent_name(wording: Wording, sort: str, rng: np.random.Generator) -> str:
    return _spell(wording, pick(_STARTS, rng)) + _spell(wording, pick(_ENDS[sort], rng))


def _spell(wording: Wording, part: tuple[str, str]) -> str:
    """Return a part of a name in the language's script: all Indic blocks are laid out alike."""
    if wording.script is None:
        return part[1]
    return "".join(chr(ord(letter) - _DEVANAGARI + wording.script) for letter in part[0])


def _capitalise(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
