"""Small generated corpora in the real file formats, so that everything runs without a network.

Every article is about one invented subject: its facts stand in random order between filler
sentences. The trouble of the real data is kept: `answer_start` of chaii is always the first
textual match, punctuation and suffixes hang on to answers, some digits are Devanagari, some
contexts hold U+FEFF, ZWJ or NBSP.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from chaii.corpus.demo_text import KINDS, WORDINGS, Wording

T = TypeVar("T")

VERSION = 1
MARKER = "demo.json"

STARTS = tuple(
    zip(
        ["ता", "मी", "रो", "लु", "पे", "का", "नि", "सो", "जा", "तू", "ले", "पो"],
        ["Ta", "Mi", "Ro", "Lu", "Pe", "Ka", "Ni", "So", "Ja", "Tu", "Le", "Po"],
    )
)
ENDS = {
    "name": (("मल", "mal"), ("रिन", "rin"), ("कोन", "kon"), ("पाल", "pal")),
    "language": (("तुर", "tur"), ("लासी", "lasi")),
    "mountain": (("निमा", "nima"), ("रोक", "rok")),
}
DEVANAGARI, DEVANAGARI_DIGITS = 0x900, str.maketrans("0123456789", "०१२३४५६७८९")

SHARE_WRONG_PLACE = 0.06
SHARE_ODD_CHARACTERS = 0.08
SHARE_HUGE = 0.02
SHARE_DISTRACTING = 0.05
SHARE_OLD_DIGITS = 0.1


@dataclass(frozen=True)
class Article:
    """A text about one subject; `answers` maps an attribute to (text, first character)."""

    language: str
    kind: str
    subject: str
    context: str
    answers: dict[str, tuple[str, int]]


def write_demo_corpora(folder: Path, *, seed: int = 2021) -> None:
    """Write the demo corpora under `folder`, all or nothing; return at once if they are there.

    The bytes depend on `seed` alone. An older or differently seeded demo is replaced.

    Raises:
        FileExistsError: `folder` holds something that is not a demo.
    """
    marker = json.dumps({"version": VERSION, "seed": seed})
    if _is_complete(folder, marker):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / "fresh"
        for name, text in {**generate_files(np.random.default_rng(seed)), MARKER: marker}.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        _swap_in(fresh, folder, marker)


def generate_files(rng: np.random.Generator) -> dict[str, str]:
    """Return relative path -> text of every file of the demo.

    >>> sorted(generate_files(np.random.default_rng(0)))[:2]
    ['chaii/sample_submission.csv', 'chaii/test.csv']
    """
    train, test = _chaii_rows(300, rng), _chaii_rows(40, rng)
    test_columns = ("id", "context", "question", "language")
    submission = [{"id": row["id"], "PredictionString": ""} for row in test]
    return {
        "chaii/train.csv": _to_csv(train, tuple(train[0])),
        "chaii/test.csv": _to_csv(test, test_columns),
        "chaii/sample_submission.csv": _to_csv(submission, ("id", "PredictionString")),
        "tydiqa_goldp/train.json": _to_json(_tydi_articles(400, rng), "1.1"),
        "squad/train.json": _to_json(_paragraph_articles("english", 120, rng), "1.1"),
        "xquad/xquad.hi.json": _to_json(_paragraph_articles("hindi", 60, rng), "1.1"),
    }


def _is_complete(folder: Path, marker: str) -> bool:
    path = folder / MARKER
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} exists and is no demo corpus; choose another folder")
        return False
    return path.read_text() == marker


def _swap_in(fresh: Path, folder: Path, marker: str) -> None:
    """Rename `fresh` to `folder`; if another process was faster with the same demo, keep its."""
    if (folder / MARKER).is_file():
        folder.rename(fresh.parent / "stale")
    try:
        fresh.rename(folder)
    except OSError:
        if not _is_complete(folder, marker):
            raise


def _chaii_rows(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for i in range(count):
        language = "tamil" if i % 3 == 2 else "hindi"
        size = rng.integers(6000, 9000) if rng.random() < SHARE_HUGE else rng.integers(600, 1500)
        kind = _pick(tuple(KINDS), rng)
        attribute = _pick(KINDS[kind], rng)
        trapped = attribute if rng.random() < SHARE_WRONG_PLACE else None
        article = _write_article(language, kind, int(size), rng, trapped=trapped)
        text = article.answers[attribute][0]
        rows.append(
            {
                "id": rng.bytes(5).hex()[:9],
                "context": article.context,
                "question": _ask(article, attribute, rng),
                "answer_text": text,
                "answer_start": article.context.index(text),  # the real labels do the same
                "language": language,
            }
        )
    return [rows[i] for i in rng.permutation(count)]


def _tydi_articles(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One question an article; some answers are annotated more than once."""
    items = []
    for i in range(count):
        language = ("telugu", "bengali", "english")[i % 3]
        article = _write_article(
            language, _pick(tuple(KINDS), rng), int(rng.integers(200, 900)), rng
        )
        attribute = _pick(KINDS[article.kind], rng)
        question = _question(article, attribute, f"{language}-{rng.integers(10**18)}-{i}", rng)
        if rng.random() < 0.2:
            question["answers"].append(_other_annotation(question["answers"][0]))
        items.append(_titled(article, [question]))
    return [items[i] for i in rng.permutation(count)]


def _paragraph_articles(
    language: str, count: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Short paragraphs with a question for every fact."""
    items = []
    for _ in range(count):
        article = _write_article(
            language, _pick(tuple(KINDS), rng), int(rng.integers(200, 700)), rng
        )
        questions = [_question(article, name, rng.bytes(12).hex(), rng) for name in article.answers]
        items.append(_titled(article, questions))
    return items


def _titled(article: Article, questions: list[dict[str, Any]]) -> dict[str, Any]:
    paragraph = {"context": article.context, "qas": questions}
    return {"title": article.subject, "paragraphs": [paragraph]}


def _question(
    article: Article, attribute: str, name: str, rng: np.random.Generator
) -> dict[str, Any]:
    text, start = article.answers[attribute]
    answers = [{"text": text, "answer_start": start}]
    return {"id": name, "question": _ask(article, attribute, rng), "answers": answers}


def _other_annotation(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the same place, annotated by someone who kept only the first word."""
    return {**answer, "text": answer["text"].split()[0]}


def _ask(article: Article, attribute: str, rng: np.random.Generator) -> str:
    wording = WORDINGS[article.language]
    whose = wording.whose[article.kind][0].format(s=article.subject)
    what, ask = wording.attributes[attribute]
    return _pick(wording.questions, rng).format(whose=whose, what=what, ask=ask)


def _write_article(
    language: str, kind: str, size: int, rng: np.random.Generator, *, trapped: str | None = None
) -> Article:
    """Write about `size` characters; the answer of `trapped` also stands in an early filler."""
    wording = WORDINGS[language]
    subject = _invent_subject(wording, kind, rng)
    answers = {name: _invent_answer(wording, name, rng) for name in KINDS[kind]}
    facts = [
        (name, *_state_fact(wording, kind, subject, name, answers[name], rng)) for name in answers
    ]
    filler = _write_filler(wording, size - sum(len(fact[1]) for fact in facts), rng)
    texts = [(None, sentence, 0) for sentence in filler]
    for fact in facts:
        texts.insert(int(rng.integers(len(texts) + 1)), fact)
    texts.insert(0, (None, wording.intros[kind].format(s=subject), 0))
    if trapped:
        texts.insert(1, (None, wording.mention.format(answer=answers[trapped]), 0))
    context, starts = "\ufeff" * (rng.random() < SHARE_ODD_CHARACTERS / 4), {}
    for name, sentence, offset in texts:
        starts[name] = len(context) + offset
        context += sentence + ("\n\n" if rng.random() < 0.05 else " ")
    placed = {name: (text, starts[name]) for name, text in answers.items()}
    return Article(language, kind, subject, context.rstrip(), placed)


def _state_fact(
    wording: Wording, kind: str, subject: str, name: str, answer: str, rng: np.random.Generator
) -> tuple[str, int]:
    """Return the sentence and where the answer starts in it."""
    whose = _pick(wording.whose[kind], rng).format(s=subject)
    head, tail = wording.fact.split("{answer}")
    head = _pick(wording.sources, rng) + head.format(whose=whose, what=wording.attributes[name][0])
    return head + answer + tail.format(ending=_pick(wording.endings, rng)), len(head)


def _write_filler(wording: Wording, size: int, rng: np.random.Generator) -> list[str]:
    odd = rng.random() < SHARE_ODD_CHARACTERS
    sentences: list[str] = []
    while sum(map(len, sentences)) < size:
        if rng.random() < SHARE_DISTRACTING:
            place, year = _invent_town(wording, rng), rng.integers(1900, 1980)
            sentence = wording.distraction.format(p=place, y=year)
        else:
            parts = (wording.openers, wording.actors, wording.actions)
            sentence = " ".join(_pick(part, rng) for part in parts) + wording.stop
        if odd:
            sentence = sentence.replace(" ", "\u00a0", 1).replace("\u094d", "\u094d\u200d", 1)
        sentences.append(sentence)
    return sentences


def _invent_answer(wording: Wording, attribute: str, rng: np.random.Generator) -> str:
    if attribute == "birth_year":
        year = str(rng.integers(1900, 1980))
        old_digits = wording.script == DEVANAGARI and rng.random() < SHARE_OLD_DIGITS
        return year.translate(DEVANAGARI_DIGITS) if old_digits else year
    if attribute == "population":
        return f"{rng.integers(20, 100)} {wording.thousand}"
    if attribute == "length":
        return f"{rng.integers(20, 100)} {wording.kilometre}"
    if attribute == "source":
        return " ".join((_invent_name(wording, "mountain", rng), wording.mountain))
    if attribute == "profession":
        return _pick(wording.professions, rng)
    if attribute == "birth_place":
        return _invent_town(wording, rng)
    return _invent_name(wording, "language", rng)


def _invent_subject(wording: Wording, kind: str, rng: np.random.Generator) -> str:
    if kind == "town":
        return _invent_town(wording, rng)
    return " ".join(_invent_name(wording, "name", rng) for _ in range(2 if kind == "person" else 1))


def _invent_town(wording: Wording, rng: np.random.Generator) -> str:
    return _spell(wording, _pick(STARTS, rng)) + _pick(wording.towns, rng)


def _invent_name(wording: Wording, sort: str, rng: np.random.Generator) -> str:
    return _spell(wording, _pick(STARTS, rng)) + _spell(wording, _pick(ENDS[sort], rng))


def _spell(wording: Wording, syllables: tuple[str, str]) -> str:
    """Return (Devanagari, Latin) in the language's script; Indic Unicode blocks are laid out alike."""
    if wording.script is None:
        return syllables[1]
    return "".join(chr(ord(letter) - DEVANAGARI + wording.script) for letter in syllables[0])


def _pick(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


def _to_csv(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _to_json(articles: list[dict[str, Any]], version: str) -> str:
    return json.dumps({"version": version, "data": articles}, ensure_ascii=False)
