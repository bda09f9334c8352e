"""Natural Questions, simplified: tokens and HTML tags by blanks, answers as token spans.

Tags are removed, and what is left is joined by single blanks; offsets are counted in that text.
An answer with a tag inside stays, without the tag: it is one run of the text that the reader
gives. Rows with a long answer or a yes or no, but no short answer, are left out and counted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chaii.config.corpora import CorpusConfig
from chaii.corpus.checks import Row, Tally
from chaii.corpus.fields import digest_text, iterate, take, take_identity
from chaii.corpus.files import CorpusError
from chaii.corpus.records import Rows, read_json_lines

_LANGUAGE = "english"
_TAG = re.compile(r"</?[A-Za-z][^>]*>")
_NO_YES_NO = "NONE"


def read_natural_questions(path: Path, corpus: CorpusConfig, tally: Tally) -> Rows:
    """Rows of simplified-nq-train.jsonl, plain or compressed.

    Raises:
        CorpusError: a faulty line; see `read_json_lines`.

    Source: https://ai.google.com/research/NaturalQuestions/download
    """

    def parse(where: str, record: Any, tally: Tally) -> Row | None:
        # A blank alone separates tokens: other white space stands inside some.
        tokens = take(record, "document_text", str, where).split(" ")
        return build_row(where, record, tokens=_drop_tags(tokens), tally=tally)

    return read_json_lines(path, corpus, tally, parse=parse)


def drop_tag(token: str) -> str:
    """The token, or nothing where it is an HTML tag.

    >>> [drop_tag(token) for token in ("<P>", "</Td>", '<Th_colspan="2">', "<", "a<b>", "word")]
    ['', '', '', '<', 'a<b>', 'word']
    """
    return "" if token.startswith("<") and _TAG.fullmatch(token) else token


def build_row(where: str, record: Any, *, tokens: Iterable[str], tally: Tally) -> Row | None:
    """One record as a row; `tokens` are its document's, with nothing in place of a tag.

    None where English is not wanted, or no short answer can be had.

    Raises:
        CorpusError: a field is missing, or a span is not one of the document.
    """
    if not tally.wants(_LANGUAGE):
        return None
    identity = take_identity(record, "example_id", where)
    spans, other = _take_annotations(record, where)
    if other and not spans:
        tally.drop(_LANGUAGE, identity, other)
        return None
    context, texts, start_chars = join_tokens(list(tokens), spans, where)
    return {
        "id": identity,
        "article": _find_title(record, where) or digest_text(context),
        "language": _LANGUAGE,
        "question": take(record, "question_text", str, where),
        "context": context,
        "answer_text": texts,
        "answer_start": start_chars,
    }


def join_tokens(
    tokens: Sequence[str], spans: Iterable[tuple[int, int]], where: str
) -> tuple[str, list[str], list[int]]:
    """Joins the tokens that are not empty; gives the text, and each span's text and character.

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
        start_chars.append(len(before) + bool(before))  # the blank between them
    return _join(tokens), texts, start_chars


def _drop_tags(tokens: Sequence[str]) -> Iterator[str]:
    # A document has far fewer distinct tokens than tokens. Nothing is done before the first is
    # asked for: most rows have no short answer, and are left out without a look at their text.
    words = {token: drop_tag(token) for token in set(tokens)}
    yield from map(words.__getitem__, tokens)


def _join(tokens: Sequence[str]) -> str:
    return " ".join(filter(None, tokens))


def _take_annotations(record: Any, where: str) -> tuple[list[tuple[int, int]], str]:
    """Token spans of the short answers, and what the annotators gave besides ("": nothing)."""
    spans: list[tuple[int, int]] = []
    other = ""
    for at, annotation in iterate(record, "annotations", where):
        for place, answer in iterate(annotation, "short_answers", at):
            start = take(answer, "start_token", int, place)
            spans.append((start, take(answer, "end_token", int, place)))
        if take(annotation, "yes_no_answer", str, at) != _NO_YES_NO:
            other = "yes or no as answer"
        long_answer = take(annotation, "long_answer", dict, at)
        if take(long_answer, "start_token", int, f"{at}.long_answer") >= 0:
            other = other or "passage as answer"
    return spans, other


def _find_title(record: dict[str, Any], where: str) -> str:
    """Title of the Wikipedia article, which the simplified files hold only in its address."""
    if "document_title" in record:
        return take(record, "document_title", str, where)
    url = take(record, "document_url", str, where) if "document_url" in record else ""
    return parse_qs(urlsplit(html.unescape(url)).query).get("title", [""])[0]
