"""Small generated corpora in the real file formats, so that everything runs without a network.

The difficulties of the real data are kept: documents of many windows; `answer_start` of chaii is
always the first textual match, even where another occurrence answers the question; punctuation and
suffixes attached to answers; some Devanagari digits; some contexts with U+FEFF, ZWJ or NBSP.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chaii.demo.article import Article, ask, pick, write_article
from chaii.files import open_or_make

Row = dict[str, Any]

VERSION = 2  # raise it with every change of what is generated
MARKER = "demo.json"

_TEST_COLUMNS = ("id", "context", "question", "language")
_TRAIN_COLUMNS = ("id", "context", "question", "answer_text", "answer_start", "language")

_SHARE_WRONG_PLACE = 0.06
_SHARE_HUGE = 0.02
_SHARE_ANNOTATED_TWICE = 0.2


def write_demo_corpora(folder: Path, *, seed: int = 2021) -> None:
    """Write the demo corpora under `folder`, all or nothing; return at once if they are there.

    The bytes depend on `seed` alone. A demo of another version or seed is replaced.

    Raises:
        FileExistsError: `folder` holds something that is not a demo.
    """
    marker = json.dumps({"version": VERSION, "seed": seed})

    def make(building: Path) -> None:
        files = generate_files(np.random.default_rng(seed))
        for name, text in {**files, MARKER: marker}.items():
            path = building / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    open_or_make(folder, lambda: _is_complete(folder, marker) or None, make)


def generate_files(rng: np.random.Generator) -> dict[str, str]:
    """Return relative path -> text of every file of the demo.

    >>> sorted(generate_files(np.random.default_rng(0)))[:2]
    ['chaii/sample_submission.csv', 'chaii/test.csv']
    """
    train, test = _chaii_rows(900, rng), _chaii_rows(40, rng)
    submission = [{"id": row["id"], "PredictionString": ""} for row in test]
    return {
        "chaii/train.csv": _to_csv(train, _TRAIN_COLUMNS),
        "chaii/test.csv": _to_csv(test, _TEST_COLUMNS),
        "chaii/sample_submission.csv": _to_csv(submission, ("id", "PredictionString")),
        "tydiqa_goldp/train.json": _to_json(_tydi_articles(900, rng)),
        "squad/train.json": _to_json(_paragraph_articles("english", 300, rng)),
        "xquad/xquad.hi.json": _to_json(_paragraph_articles("hindi", 300, rng)),
    }


def _is_complete(folder: Path, marker: str) -> bool:
    path = folder / MARKER
    if path.is_file():
        return path.read_text(encoding="utf-8") == marker
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is no demo corpus; choose another folder")
    return False


def _chaii_rows(count: int, rng: np.random.Generator) -> list[Row]:
    """Two rows in Hindi for one in Tamil."""
    rows = []
    for i in range(count):
        sizes = (6000, 9000) if rng.random() < _SHARE_HUGE else (600, 1500)
        language, size = "tamil" if i % 3 == 2 else "hindi", int(rng.integers(*sizes))
        article = write_article(language, size, rng=rng, share_trapped=_SHARE_WRONG_PLACE)
        attribute = pick(tuple(article.answers), rng)
        text, _ = article.answers[attribute]
        row = {
            "id": rng.bytes(5).hex()[:9],
            "context": article.context,
            "question": ask(article, attribute, rng),
            "answer_text": text,
            "answer_start": article.context.index(text),  # as in the real labels: the first match
            "language": language,
        }
        rows.append(row)
    return [rows[i] for i in rng.permutation(count)]


def _tydi_articles(count: int, rng: np.random.Generator) -> list[Row]:
    """One question per article; some answers are annotated twice."""
    articles = []
    for i in range(count):
        language = ("telugu", "bengali", "english")[i % 3]
        article = write_article(language, int(rng.integers(200, 900)), rng=rng)
        attribute = pick(tuple(article.answers), rng)
        question = _question(article, attribute, f"{language}-{rng.integers(10**18)}-{i}", rng)
        if rng.random() < _SHARE_ANNOTATED_TWICE:
            first = question["answers"][0]
            question["answers"].append({**first, "text": first["text"].split()[0]})
        articles.append(_titled(article, [question]))
    return [articles[i] for i in rng.permutation(count)]


def _paragraph_articles(language: str, count: int, rng: np.random.Generator) -> list[Row]:
    """Short paragraphs with one question per fact."""
    articles = []
    for _ in range(count):
        article = write_article(language, int(rng.integers(200, 700)), rng=rng)
        questions = [_question(article, name, rng.bytes(12).hex(), rng) for name in article.answers]
        articles.append(_titled(article, questions))
    return articles


def _titled(article: Article, questions: list[Row]) -> Row:
    paragraph = {"context": article.context, "qas": questions}
    return {"title": article.subject, "paragraphs": [paragraph]}


def _question(article: Article, attribute: str, identity: str, rng: np.random.Generator) -> Row:
    text, start = article.answers[attribute]
    answers = [{"text": text, "answer_start": start}]
    return {"id": identity, "question": ask(article, attribute, rng), "answers": answers}


def _to_csv(rows: list[Row], columns: Sequence[str]) -> str:
    return str(pd.DataFrame(rows).to_csv(columns=columns, index=False, lineterminator="\n"))


def _to_json(articles: list[Row]) -> str:
    return json.dumps({"version": "1.1", "data": articles}, ensure_ascii=False)
