"""SQuAD JSON: SQuAD 1.1 and 2.0, XQuAD, MLQA, TyDi QA gold passage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from chaii.config.corpora import CorpusConfig
from chaii.corpus.checks import Row, Tally
from chaii.corpus.fields import digest_text, iterate, parse_json, require_text, take
from chaii.corpus.files import CorpusError, iterate_lines
from chaii.corpus.records import Rows

_TYDI_ID = re.compile(r"([a-z]+)--?\d+-\d+")


def read_squad_json(path: Path, corpus: CorpusConfig, _tally: Tally) -> Rows:
    """Rows of one JSON document: data, paragraphs, qas.

    Raises:
        CorpusError: no JSON, or a field that is missing or of another type, named with its place.
    """
    root = parse_json("".join(iterate_lines(path)), f"{path}")
    for at_article, article in iterate(root, "data", f"{path}, $"):
        for at_paragraph, paragraph in iterate(article, "paragraphs", at_article):
            context = take(paragraph, "context", str, at_paragraph)
            title = take(article, "title", str, at_article) if "title" in article else ""
            for where, question in iterate(paragraph, "qas", at_paragraph):
                identity = require_text(take(question, "id", str, where), "id", where)
                texts, start_chars = _take_answers(question, where)
                row: Row = {
                    "id": identity,
                    "article": title or digest_text(context),
                    "language": corpus.language or guess_language(identity, where),
                    "question": take(question, "question", str, where),
                    "context": context,
                    "answer_text": texts,
                    "answer_start": start_chars,
                }
                yield where, row


def guess_language(identity: str, where: str) -> str:
    """The language that a TyDi id begins with.

    Raises:
        CorpusError: it is no TyDi id.

    >>> guess_language("telugu--123-0", "file, line 1")
    'telugu'
    """
    match = _TYDI_ID.fullmatch(identity)
    if match is None:
        rule = "set the corpus's language, or use TyDi ids such as 'telugu--123-0'"
        raise CorpusError(f"{where}: id '{identity}' tells no language; {rule}")
    return match[1]


def _take_answers(question: dict[str, Any], where: str) -> tuple[list[str], list[int]]:
    answers = list(iterate(question, "answers", where))
    if question.get("is_impossible"):
        answers = []  # SQuAD 2: what stands there is no answer
    texts = [take(answer, "text", str, at) for at, answer in answers]
    return texts, [take(answer, "answer_start", int, at) for at, answer in answers]
