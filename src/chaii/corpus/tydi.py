"""TyDi QA primary task: whole documents, answers as byte spans, up to three annotators.

A row whose annotators gave no span, but a passage or a yes or no, is left out and counted: its
document does answer the question, so it is an example neither of a span nor of no answer.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chaii.config.corpora import CorpusConfig
from chaii.corpus import records
from chaii.corpus.checks import Row, Tally
from chaii.corpus.records import CorpusError, PlacedRows

_NO_SPAN = -1  # at both ends where an annotator gave no short answer
_NO_YES_NO = "NONE"


def read_tydi_primary(path: Path, corpus: CorpusConfig, tally: Tally) -> PlacedRows:
    """Rows of tydiqa-v1.0-{train,dev}.jsonl, plain or compressed.

    Ids are `<language>-<example_id>`. Answers are the distinct spans of all annotators.

    Raises:
        CorpusError: a faulty line; see `read_json_lines`.

    Source: https://github.com/google-research-datasets/tydiqa
    """
    return records.read_json_lines(path, corpus, tally, parse=parse_tydi_record)


def parse_tydi_record(where: str, record: Any, tally: Tally) -> Row | None:
    """One record as a row; None where its language is not wanted, or it has no short answer.

    A record without `annotations` is one to be answered.

    Raises:
        CorpusError: a field is missing, or a span is not one of the document.
    """
    language = records.take_text(record, "language", where)
    if not tally.wants(language):
        return None
    identity = f"{language}-{records.take_identity(record, 'example_id', where)}"
    spans, other = _take_annotations(record, where) if "annotations" in record else ([], "")
    if other and not spans:
        tally.drop(language, identity, other)
        return None
    context = records.take(record, "document_plaintext", str, where)
    characters = locate_bytes(context, (offset for span in spans for offset in span), where)
    answers = [(characters[start], characters[end]) for start, end in spans]
    return {
        "id": identity,
        "article": records.take(record, "document_title", str, where).strip()
        or records.digest_text(context),
        "language": language,
        "question": records.take(record, "question_text", str, where),
        "context": context,
        "answer_text": [context[start:end] for start, end in answers],
        "answer_start": [start for start, _ in answers],
    }


def locate_bytes(text: str, offsets: Iterable[int], where: str) -> dict[int, int]:
    """The character at each UTF-8 byte offset; the text is encoded once.

    Raises:
        CorpusError: an offset is outside the text, or inside a character.

    >>> locate_bytes("நதி", [0, 6, 9], "file, line 1")
    {0: 0, 6: 2, 9: 3}
    """
    data = text.encode()
    characters: dict[int, int] = {}
    last = character = 0
    for offset in sorted(set(offsets)):
        if not 0 <= offset <= len(data):
            rule = f"byte offset {offset} is outside the document of {len(data)} bytes"
            raise CorpusError(f"{where}: {rule}", reason="offset outside the document")
        if data[offset : offset + 1] and data[offset] & 0xC0 == 0x80:  # a byte that continues
            rule = f"byte offset {offset} is inside a character"
            raise CorpusError(f"{where}: {rule}", reason="offset inside a character")
        character += len(data[last:offset].decode())
        last, characters[offset] = offset, character
    return characters


def _take_annotations(record: Any, where: str) -> tuple[list[tuple[int, int]], str]:
    """Distinct byte spans in order, and the other kind of answer given ("": none)."""
    spans: dict[tuple[int, int], None] = {}
    other = ""
    for at, annotation in records.iterate(record, "annotations", where):
        place = f"{at}.minimal_answer"
        minimal = records.take(annotation, "minimal_answer", dict, at)
        start = records.take(minimal, "plaintext_start_byte", int, place)
        end = records.take(minimal, "plaintext_end_byte", int, place)
        if (start, end) != (_NO_SPAN, _NO_SPAN):
            if start >= end:
                rule = f"it ends at byte {end}, and must end after it starts, at {start}"
                raise CorpusError(f"{place}: {rule}", reason="answer ends before it starts")
            spans[start, end] = None
        if records.take(annotation, "yes_no_answer", str, at) != _NO_YES_NO:
            other = "yes or no as answer"
        passage = records.take(annotation, "passage_answer", dict, at)
        if records.take(passage, "candidate_index", int, f"{at}.passage_answer") >= 0:
            other = other or "passage as answer"
    return list(spans), other
