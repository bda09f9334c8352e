"""Natural Questions, simplified: tokens and HTML tags between spaces, answers as token spans.

Tags are removed, and the other tokens are joined by single spaces; offsets count in that text.
An answer with a tag inside is kept without the tag, as one run of that text. Rows with a long
answer or a yes or no, but no short answer, are left out and counted.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chaii.config.corpora import CorpusConfig
from chaii.corpus import records
from chaii.corpus.checks import Row, Tally
from chaii.corpus.records import CorpusError, PlacedRows

_LANGUAGE = "english"
_TAG = re.compile(r"</?[A-Za-z][^>]*>")
_NO_YES_NO = "NONE"


def read_natural_questions(path: Path, corpus: CorpusConfig, tally: Tally) -> PlacedRows:
    """Rows of simplified-nq-train.jsonl, plain or compressed.

    Raises:
        CorpusError: a faulty line; see `read_json_lines`.

    Source: https://ai.google.com/research/NaturalQuestions/download
    """

    def parse(where: str, record: Any, tally: Tally) -> Row | None:
        # Only a space separates tokens: other whitespace occurs inside some.
        tokens = records.take(record, "document_text", str, where).split(" ")
        return build_row(where, record, tokens=_drop_tags(tokens), tally=tally)

    return records.read_json_lines(path, corpus, tally, parse=parse)


def drop_tag(token: str) -> str:
    """The token, or nothing where it is an HTML tag.

    >>> [drop_tag(token) for token in ("<P>", "</Td>", '<Th_colspan="2">', "<", "a<b>", "word")]
    ['', '', '', '<', 'a<b>', 'word']
    """
    return "" if token.startswith("<") and _TAG.fullmatch(token) else token


def build_row(where: str, record: Any, *, tokens: Iterable[str], tally: Tally) -> Row | None:
    """One record as a row, given its document's tokens with "" in place of each tag.

    None where English is not wanted, or it has no short answer. A record without `annotations` is
    one to be answered.

    Raises:
        CorpusError: a field is missing, or a span is not one of the document.
    """
    if not tally.wants(_LANGUAGE):
        return None
    identity = records.take_identity(record, "example_id", where)
    spans, other = _take_annotations(record, where) if "annotations" in record else ([], "")
    if other and not spans:
        tally.drop(_LANGUAGE, identity, other)
        return None
    context, texts, start_chars = join_tokens(list(tokens), spans, where)
    if "document_title" in record:
        title = records.take(record, "document_title", str, where)
    else:  # the simplified files have the title only in the article's address
        url = records.take(record, "document_url", str, where) if "document_url" in record else ""
        title = parse_qs(urlsplit(html.unescape(url)).query).get("title", [""])[0]
    return {
        "id": identity,
        "article": title or records.digest_text(context),
        "language": _LANGUAGE,
        "question": records.take(record, "question_text", str, where),
        "context": context,
        "answer_text": texts,
        "answer_start": start_chars,
    }


def join_tokens(
    tokens: Sequence[str], spans: Iterable[tuple[int, int]], where: str
) -> tuple[str, list[str], list[int]]:
    """Join the tokens that are not empty; return the text, and each span's text and start.

    Raises:
        CorpusError: a half-open span of tokens is empty or reaches beyond them.

    >>> join_tokens(["", "In", "", "Paris", "", "France", ""], [(3, 6)], "file, line 1")
    ('In Paris France', ['Paris France'], [3])
    """
    texts, start_chars = [], []
    for start, end in spans:
        if not 0 <= start < end <= len(tokens):
            rule = f"short answer [{start}, {end}) is no span of the {len(tokens)} tokens"
            raise CorpusError(f"{where}: {rule}", reason="offset outside the document")
        before = _join(tokens[:start])
        texts.append(_join(tokens[start:end]))
        start_chars.append(len(before) + bool(before))  # the space between them
    return _join(tokens), texts, start_chars


def _drop_tags(tokens: Sequence[str]) -> Iterator[str]:
    # A document has far fewer distinct tokens than tokens. A generator, because most rows have no
    # short answer and are left out before their tokens are needed.
    words = {token: drop_tag(token) for token in set(tokens)}
    yield from map(words.__getitem__, tokens)


def _join(tokens: Sequence[str]) -> str:
    return " ".join(filter(None, tokens))


def _take_annotations(record: Any, where: str) -> tuple[list[tuple[int, int]], str]:
    """Token spans of the short answers, and the other kind of answer given ("": none)."""
    spans: list[tuple[int, int]] = []
    other = ""
    for at, annotation in records.iterate(record, "annotations", where):
        for place, answer in records.iterate(annotation, "short_answers", at):
            start = records.take(answer, "start_token", int, place)
            spans.append((start, records.take(answer, "end_token", int, place)))
        if records.take(annotation, "yes_no_answer", str, at) != _NO_YES_NO:
            other = "yes or no as answer"
        long_answer = records.take(annotation, "long_answer", dict, at)
        if records.take(long_answer, "start_token", int, f"{at}.long_answer") >= 0:
            other = other or "passage as answer"
    return spans, other
