"""SQuAD JSON: SQuAD 1.1 and 2.0, XQuAD, MLQA, TyDi QA gold passage."""

import re
from pathlib import Path
from typing import Any

from chaii.config.corpora import CorpusConfig
from chaii.corpus import records
from chaii.corpus.checks import Row, Tally
from chaii.corpus.records import CorpusError, PlacedRows

_TYDI_ID = re.compile(r"([a-z]+)--?\d+-\d+")


def read_squad_json(path: Path, corpus: CorpusConfig, _tally: Tally) -> PlacedRows:
    """Rows of one JSON document: data, paragraphs, qas.

    Raises:
        CorpusError: no JSON, or a field that is missing or of another type, named with its place.
    """
    root = records.parse_json("".join(records.iterate_lines(path)), f"{path}")
    for at_article, article in records.iterate(root, "data", f"{path}, $"):
        for at_paragraph, paragraph in records.iterate(article, "paragraphs", at_article):
            context = records.take(paragraph, "context", str, at_paragraph)
            title = records.take(article, "title", str, at_article) if "title" in article else ""
            for where, question in records.iterate(paragraph, "qas", at_paragraph):
                row = build_row(where, question, context, title=title, language=corpus.language)
                yield where, row


def build_row(
    where: str, question: dict[str, Any], context: str, *, title: str, language: str | None
) -> Row:
    """One question as a row; without a language, it is the one in its TyDi id.

    A question without `answers` is one to be answered.

    Raises:
        CorpusError: a field is missing or of another type, or the language is unknown.
    """
    identity = records.take_identity(question, "id", where)
    answers = list(records.iterate(question, "answers", where)) if "answers" in question else []
    if question.get("is_impossible"):
        answers = []  # SQuAD 2 lists plausible answers of such a question, which are wrong
    texts = [records.take(answer, "text", str, at) for at, answer in answers]
    starts = [records.take_start(answer, "answer_start", at) for at, answer in answers]
    return {
        "id": identity,
        "article": title or records.digest_text(context),
        "language": language or guess_language(identity, where),
        "question": records.take(question, "question", str, where),
        "context": context,
        "answer_text": texts,
        "answer_start": starts,
    }


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
        raise CorpusError(f"{where}: id '{identity}' names no language; {rule}")
    return match[1]
