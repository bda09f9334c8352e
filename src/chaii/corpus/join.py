"""Long contexts made of paragraphs, and answers moved to their first textual match."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from chaii.corpus.checks import Row
from chaii.corpus.records import Rows

_GAP = "\n\n"  # between paragraphs


def join_articles(rows: Rows) -> Rows:
    """Join the paragraphs of each article into one context, which all its questions share.

    Rows of one article must follow each other, as they do in SQuAD's files. Paragraphs keep their
    order, equal ones are taken once, and answers move with their paragraph.

    >>> row = {"article": "Goa", "context": "It is old.", "answer_start": [6]}
    >>> rows = [("a", row), ("b", row | {"context": "It is warm.", "answer_start": [6]})]
    >>> [(row["context"], row["answer_start"]) for _, row in join_articles(rows)][1]
    ('It is old.\\n\\nIt is warm.', [18])
    """
    for _, group in groupby(rows, key=lambda placed: placed[1]["article"]):
        members = list(group)
        starts: dict[str, int] = {}  # first character of each paragraph
        length = 0
        for _, row in members:
            if row["context"] not in starts:
                starts[row["context"]] = length
                length += len(row["context"]) + len(_GAP)
        context = _GAP.join(starts)
        for where, row in members:
            start_chars = [starts[row["context"]] + start for start in row["answer_start"]]
            yield where, {**row, "context": context, "answer_start": start_chars}


def move_to_first_match(rows: Iterable[Row]) -> Iterator[Row]:
    """Move every answer to the first place in the context where its text occurs.

    Source: in the competition's train.csv every `answer_start` is the first textual match.

    >>> row = {"context": "Pune or Goa? Goa", "answer_text": ["Goa"], "answer_start": [13]}
    >>> next(move_to_first_match([row]))["answer_start"]
    [8]
    """
    for row in rows:
        yield {**row, "answer_start": [row["context"].find(text) for text in row["answer_text"]]}
