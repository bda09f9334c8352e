"""Natural Questions: tags are removed, and every short answer is found in the rest."""

import gzip
import json
import random

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, Unanswerable
from chaii.corpus.natural_questions import drop_tag, join_tokens
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import CorpusError

URL = "https://en.wikipedia.org//w/index.php?title=Caf%C3%A9_au_lait&amp;oldid=1"


def annotate(*spans, long=-1, yes_no="NONE"):
    return {
        "annotation_id": 1,
        "long_answer": {"start_token": long, "end_token": long, "candidate_index": long},
        "short_answers": [{"start_token": start, "end_token": end} for start, end in spans],
        "yes_no_answer": yes_no,
    }


def make_record(text, *annotations, identity=1, **changes):
    return {
        "annotations": list(annotations),
        "document_text": text,
        "document_url": URL,
        "example_id": identity,
        "long_answer_candidates": [],
        "question_text": "where is it",
    } | changes


def read(path, *records, compress=bytes, **settings):
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(compress(content))
    settings.setdefault("unanswerable", Unanswerable.drop)
    return read_corpus("nq", CorpusConfig(CorpusFormat.natural_questions, str(path), **settings))


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_row_keeps_every_field(tmp_path, compress):
    record = make_record("<P> It is in Paris </P>", annotate((3, 5), long=0))
    examples, _ = read(tmp_path / "f", record, compress=compress)
    assert examples[0] == {
        "id": "1",
        "corpus": "nq",
        "article": "Café_au_lait",
        "language": "english",
        "question": "where is it",
        "context": "It is in Paris",
        "answer_text": ["in Paris"],
        "answer_start": [6],
    }


PLACES = {  # (document, span): (context, answers, starts)
    "tags around": (("<H1> a </H1> <P> b c </P>", (4, 6)), ("a b c", ["b c"], [2])),
    "tag before": (("a <B> b </B> c", (1, 3)), ("a b c", ["b"], [2])),
    "tag after": (("a <B> b </B> c", (2, 4)), ("a b c", ["b"], [2])),
    "tags inside": (("a <Li> b </Li> <Li> c </Li> d", (2, 7)), ("a b c d", ["b c"], [2])),
    "first": (("a b", (0, 1)), ("a b", ["a"], [0])),
    "last": (("<P> a b", (2, 3)), ("a b", ["b"], [2])),
    "everything": (("<P> a <B> b </P>", (0, 5)), ("a b", ["a b"], [0])),
    "attributes": (('<Th_colspan="2"> a </Th>', (1, 2)), ("a", ["a"], [0])),
    "angles in text": (("<P> x < y > z <3 </P>", (2, 5)), ("x < y > z <3", ["< y >"], [2])),
    "spaces in a row": (("a  b   c", (2, 6)), ("a b c", ["b c"], [2])),
    "other whitespace": (("a\u00a0b \u180e c", (2, 3)), ("a\u00a0b \u180e c", ["c"], [6])),
    "other scripts": (("<P> नदी 😀 é </P>", (2, 4)), ("नदी 😀 é", ["😀 é"], [4])),
}


@pytest.mark.parametrize(("given", "wanted"), PLACES.values(), ids=PLACES)
def test_an_answer_is_placed_without_tags(tmp_path, given, wanted):
    examples, report = read(tmp_path / "f", make_record(given[0], annotate(given[1])))
    row = examples[0]
    assert (row["context"], row["answer_text"], row["answer_start"]) == wanted
    assert not report.languages["english"].repaired


def test_several_short_answers_are_kept(tmp_path):
    record = make_record("<P> a b c </P>", annotate((3, 4), (1, 2)), annotate((1, 2), (2, 4)))
    row = read(tmp_path / "f", record)[0][0]
    assert (row["answer_text"], row["answer_start"]) == (["c", "a", "b c"], [4, 0, 2])


def test_an_answer_of_tags_alone_is_lost_and_counted(tmp_path):
    record = make_record("<P> a </P> <Hr>", annotate((3, 4), (1, 2)))
    examples, report = read(tmp_path / "f", record)
    assert examples["answer_text"][:] == [["a"]]
    assert report.languages["english"].lost == {"empty answer": 1}


KINDS = {
    "long": (annotate(long=1), "passage as answer"),
    "yes": (annotate(long=1, yes_no="YES"), "yes or no as answer"),
    "nothing": (annotate(), "unanswerable"),
}


@pytest.mark.parametrize(("annotation", "reason"), KINDS.values(), ids=KINDS)
def test_a_row_without_a_short_answer_is_left_out_and_counted(tmp_path, annotation, reason):
    examples, report = read(tmp_path / "f", make_record("a", annotation))
    assert len(examples) == 0
    assert report.languages["english"].dropped == {reason: 1}


def test_a_record_without_annotations_is_to_be_answered(tmp_path):
    record = make_record("a b", identity="7")
    del record["annotations"]
    examples, _ = read(tmp_path / "f", record, unanswerable=Unanswerable.keep)
    assert (examples["id"][:], examples["answer_text"][:]) == (["7"], [[]])


TITLES = {
    "address": ({}, "Café_au_lait"),
    "field": ({"document_title": "Tea"}, "Tea"),
}


@pytest.mark.parametrize(("changes", "title"), TITLES.values(), ids=TITLES)
def test_the_article_is_the_title(tmp_path, changes, title):
    examples, _ = read(tmp_path / "f", make_record("a", annotate((0, 1)), **changes))
    assert examples["article"][:] == [title]


def test_rows_of_one_document_without_address_share_their_article(tmp_path):
    records = [make_record(text, annotate((0, 1)), identity=text) for text in ("a", "a b", "a")]
    for number, record in enumerate(records):
        record["example_id"] = number
        del record["document_url"]
    articles = read(tmp_path / "f", *records)[0]["article"][:]
    assert articles[0] == articles[2] != articles[1]


@pytest.mark.parametrize("ends", [(2, 4), (-1, 1), (1, 1), (2, 1)])
def test_a_span_outside_the_document_is_refused_with_its_line(tmp_path, ends):
    good = make_record("a b c", annotate((0, 1)))
    faulty = make_record("a b c", annotate(ends), identity=2)
    rule = rf"line 2, \$: short answer \[{ends[0]}, {ends[1]}\) is no span of the 3 tokens"
    with pytest.raises(CorpusError, match=rule):
        read(tmp_path / "f", good, faulty)


TOKENS = ["<P>", "</P>", '<Td_colspan="2">', "<", ">", "a", "नदी", "😀", "b>", "", "<5"]


def test_the_answer_is_always_the_tokens_without_tags():
    generator = random.Random(7)
    for _ in range(1_000):
        tokens = generator.choices(TOKENS, k=generator.randint(1, 15))
        start = generator.randrange(len(tokens))
        end = generator.randint(start + 1, len(tokens))
        words = [drop_tag(token) for token in tokens]
        context, (text,), (start_char,) = join_tokens(words, [(start, end)], "here")
        wanted = " ".join(
            token
            for token in tokens[start:end]
            if token and not (token[0] == "<" and token[-1] == ">" and len(token) > 1)
        )
        assert text == wanted
        assert context[start_char : start_char + len(text)] == text
        assert context.split() == [token for token in words if token]


def write_filter(path, *ids):
    path.write_text("id\tscore\n" + "".join(f"{identity}\t0.5\n" for identity in ids))
    return str(path)


def test_only_rows_of_the_filter_are_read(tmp_path):
    records = [make_record("a", annotate((0, 1)), identity=number) for number in range(4)]
    keep_ids = write_filter(tmp_path / "kept.tsv", 3, 1)
    assert read(tmp_path / "f", *records, keep_ids=keep_ids)[0]["id"][:] == ["1", "3"]


def test_the_error_of_a_missing_filter_names_its_script(tmp_path):
    record = make_record("a", annotate((0, 1)))
    with pytest.raises(ValueError, match=r"none\.tsv: no such file; .*filter_questions"):
        read(tmp_path / "f", record, keep_ids=str(tmp_path / "none.tsv"))
