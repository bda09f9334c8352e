"""TyDi QA primary task: bytes become characters; every kind of row and of fault is counted."""

import gzip
import json
import os
import random
from pathlib import Path

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, OnError, Unanswerable
from chaii.corpus.checks import UNREAD
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import CorpusError
from chaii.corpus.tydi import locate_bytes

DOCUMENT = "நதி 50 கி.மீ.; नदी 😀 long"


def span(text, document=DOCUMENT):
    start = len(document[: document.index(text)].encode())
    return start, start + len(text.encode())


def annotate(start=-1, end=-1, passage=-1, yes_no="NONE"):
    return {
        "annotation_id": 1,
        "minimal_answer": {"plaintext_start_byte": start, "plaintext_end_byte": end},
        "passage_answer": {"candidate_index": passage},
        "yes_no_answer": yes_no,
    }


def make_record(identity=1, *annotations, language="tamil", document=DOCUMENT, **changes):
    return {
        "annotations": list(annotations) or [annotate(*span("नदी"), passage=0)],
        "document_plaintext": document,
        "document_title": "நதி",
        "document_url": "https://",
        "example_id": identity,
        "language": language,
        "passage_answer_candidates": [],
        "question_text": "q?",
    } | changes


def encode(*records):
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def read(path, content=None, **settings):
    if content is not None:
        path.write_bytes(content)
    settings.setdefault("unanswerable", Unanswerable.drop)
    return read_corpus("tydi", CorpusConfig(CorpusFormat.tydi_primary, str(path), **settings))


def answers_of(examples):
    for row in examples:
        for text, start in zip(row["answer_text"], row["answer_start"], strict=True):
            assert row["context"][start : start + len(text)] == text
    return examples["answer_text"][:]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_row_keeps_every_field(tmp_path, compress):
    examples, report = read(tmp_path / "f", compress(encode(make_record(-7))))
    assert examples[0] == {
        "id": "tamil--7",
        "corpus": "tydi",
        "article": "நதி",
        "language": "tamil",
        "question": "q?",
        "context": DOCUMENT,
        "answer_text": ["नदी"],
        "answer_start": [DOCUMENT.index("नदी")],
    }
    assert report.rows == 1


def test_annotators_give_distinct_answers_in_order(tmp_path):
    spans = [span("😀"), (-1, -1), span("50"), span("😀")]
    record = make_record(1, *(annotate(*ends) for ends in spans))
    assert answers_of(read(tmp_path / "f", encode(record))[0]) == [["😀", "50"]]


def test_an_answer_may_end_the_document(tmp_path):
    record = make_record(1, annotate(*span("long")))
    assert answers_of(read(tmp_path / "f", encode(record))[0]) == [["long"]]


KINDS = {  # annotations: reason that it is left out for
    "passage": ([annotate(passage=3), annotate()], "passage as answer"),
    "yes": ([annotate(), annotate(passage=3, yes_no="YES")], "yes or no as answer"),
    "no": ([annotate(yes_no="NO")], "yes or no as answer"),
    "nothing": ([annotate(), annotate()], "unanswerable"),
}


@pytest.mark.parametrize(("annotations", "reason"), KINDS.values(), ids=KINDS)
def test_a_row_without_a_short_answer_is_left_out_and_counted(tmp_path, annotations, reason):
    examples, report = read(tmp_path / "f", encode(make_record(1, *annotations)))
    assert len(examples) == 0
    assert report.languages["tamil"].dropped == {reason: 1}
    assert report.languages["tamil"].samples == {reason: ["tamil-1"]}


def test_unanswerable_rows_are_kept_where_wanted(tmp_path):
    records = [make_record(number, *kind) for number, (kind, _) in enumerate(KINDS.values())]
    examples, _ = read(tmp_path / "f", encode(*records), unanswerable=Unanswerable.keep)
    assert (examples["id"][:], examples["answer_text"][:]) == (["tamil-3"], [[]])


def test_a_record_without_annotations_is_to_be_answered(tmp_path):
    record = make_record(1)
    del record["annotations"]
    examples, _ = read(tmp_path / "f", encode(record), unanswerable=Unanswerable.keep)
    assert (examples["id"][:], examples["answer_text"][:]) == (["tamil-1"], [[]])


def test_a_short_answer_counts_whatever_else_is_said(tmp_path):
    record = make_record(1, annotate(*span("50")), annotate(yes_no="NO"), annotate(passage=1))
    assert answers_of(read(tmp_path / "f", encode(record))[0]) == [["50"]]


def test_languages_are_chosen_and_the_others_are_not_even_checked(tmp_path):
    names = ["tamil", "thai", "english", "tamil"]
    records = [make_record(number, language=name) for number, name in enumerate(names)]
    records[1]["annotations"] = None
    examples, report = read(tmp_path / "f", encode(*records), languages=["english", "tamil"])
    assert examples["language"][:] == ["tamil", "english", "tamil"]
    assert set(report.languages) == {"english", "tamil"}


def test_a_language_that_no_row_is_in_is_named(tmp_path):
    with pytest.raises(
        CorpusError, match=r"no row is in languages \['tamul'\], but in \['tamil'\]"
    ):
        read(tmp_path / "f", encode(make_record()), languages=["tamil", "tamul"])


def test_limit_counts_the_rows_chosen(tmp_path):
    records = [make_record(0, *KINDS["passage"][0]), make_record(1, *KINDS["nothing"][0])]
    records += [make_record(number) for number in range(2, 5)]
    assert read(tmp_path / "f", encode(*records), max_examples=2)[0]["id"][:] == [
        "tamil-2",
        "tamil-3",
    ]


START, END = span("नदी")
MANY = len(DOCUMENT.encode())
FAULTS = {  # second line of three: (rule, reason)
    "cut line": (encode(make_record(2))[:-9] + b"\n", "not readable as JSON", None),
    "not UTF-8": (b"\xff\n", "not UTF-8", None),
    "a list": (b"[]\n", r"\$: list where an object is needed", "malformed row"),
    "inside at start": (
        encode(make_record(2, annotate(START + 1, END))),
        rf"\$: byte offset {START + 1} is inside a character",
        "offset inside a character",
    ),
    "inside at end": (
        encode(make_record(2, annotate(START, END - 1))),
        f"byte offset {END - 1} is inside a character",
        "offset inside a character",
    ),
    "outside": (
        encode(make_record(2, annotate(START, MANY + 1))),
        f"byte offset {MANY + 1} is outside the document of {MANY} bytes",
        "offset outside the document",
    ),
    "half an answer": (
        encode(make_record(2, annotate(-1, 3))),
        "byte offset -1 is outside",
        "offset outside the document",
    ),
    "empty span": (
        encode(make_record(2, annotate(3, 3))),
        r"annotations\[0\]\.minimal_answer: it ends at byte 3, .* after it starts, at 3",
        "answer ends before it starts",
    ),
    "no document": (
        encode({"language": "tamil", "example_id": 2, "annotations": []}),
        r"\$: no key 'document_plaintext'; it has \['annotations', 'example_id'",
        "malformed row",
    ),
    "id missing": (encode(make_record(None)), "example_id must be int", "malformed row"),
    "id twice": (
        encode(make_record(1, question_text="another?")),
        "id 'tamil-1' is already in .*line 1",
        "id occurs twice",
    ),
}


@pytest.mark.parametrize(("line", "rule", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_line_gives_one_error_with_its_number(tmp_path, line, rule, reason):  # noqa: ARG001
    content = encode(make_record(1)) + line + encode(make_record(3))
    with pytest.raises(CorpusError, match=rf"f\.jsonl, line 2(: |, ).*{rule}") as error:
        read(tmp_path / "f.jsonl", content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("line", "rule", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_line_is_skipped_and_counted_where_wanted(tmp_path, line, rule, reason):
    content = encode(make_record(1)) + line + encode(make_record(3))
    examples, report = read(tmp_path / "f.jsonl", content, on_error=OnError.skip)
    assert examples["id"][:] == ["tamil-1", "tamil-3"]
    assert report.languages[UNREAD].dropped == {reason or rule: 1}
    assert "line 2" in report.languages[UNREAD].samples[reason or rule][0]


def write_damaged(path, damage):
    """A gzip file of 50 rows that compress badly, damaged."""
    generator = random.Random(3)
    noise = ["".join(generator.choices("கखg ", k=2_000)) for _ in range(50)]
    records = [make_record(at, document=DOCUMENT + text) for at, text in enumerate(noise)]
    content = bytearray(gzip.compress(encode(*records)))
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "no end":
        content = content[:-8]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    else:
        content[-8] ^= 0xFF  # the checksum
    path.write_bytes(content)
    return path


DAMAGES = {
    "cut": ("the gzip stream ends too early", "file cut short", range(10, 40)),
    "no end": ("the gzip stream ends too early", "file cut short", range(50, 51)),
    "flipped": ("damaged gzip stream|not UTF-8|not readable", "", range(10, 50)),
    "checksum": ("damaged gzip stream: CRC check failed", "damaged file", range(50, 51)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_gzip_file_gives_one_error_with_the_line(tmp_path, damage):
    path = write_damaged(tmp_path / "f.jsonl.gz", damage)
    with pytest.raises(
        CorpusError, match=rf"f\.jsonl\.gz, (after )?line \d+: .*{DAMAGES[damage][0]}"
    ):
        read(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_before_the_damage_are_kept_where_wanted(tmp_path, damage):
    _, reason, rows = DAMAGES[damage]
    path = write_damaged(tmp_path / "f.jsonl.gz", damage)
    examples, report = read(path, on_error=OnError.skip)
    assert len(examples) in rows
    numbers = [int(identity.removeprefix("tamil-")) for identity in examples["id"][:]]
    assert numbers == sorted(numbers)
    assert not reason or report.languages[UNREAD].dropped == {reason: 1}


def test_a_limit_below_the_damage_meets_none(tmp_path):
    path = write_damaged(tmp_path / "f.jsonl.gz", "cut")
    assert len(read(path, max_examples=5)[0]) == 5


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"")], ids=["none", "lines", "gz"])
def test_an_empty_file_is_refused(tmp_path, content):
    with pytest.raises(CorpusError, match=r"f, row 1: the file (is empty|holds no question)"):
        read(tmp_path / "f", content)


def test_a_file_of_faults_alone_is_refused_even_where_they_are_skipped(tmp_path):
    with pytest.raises(CorpusError, match=r"no row could be read; the first fault: .*line 1: not"):
        read(tmp_path / "f", b"<html>\n</html>\n", on_error=OnError.skip)


def test_a_language_cannot_be_set(tmp_path):
    with pytest.raises(CorpusError, match="language does not go with format tydi_primary"):
        read(tmp_path / "f", encode(make_record()), language="tamil")


def test_any_character_boundary_is_located():
    generator = random.Random(11)
    for _ in range(200):
        text = "".join(generator.choices("a é\u200dक😀\ufeff", k=generator.randint(0, 20)))
        ends = [len(text[:at].encode()) for at in range(len(text) + 1)]
        chosen = generator.choices(ends, k=5)
        located = locate_bytes(text, chosen, "here")
        assert {byte: ends.index(byte) for byte in chosen} == located


def test_no_offset_between_boundaries_is_located():
    text = "aéक😀"
    inside = {2, 4, 5, 7, 8, 9}
    for offset in range(-1, 12):
        if offset in inside or offset in (-1, 11):
            with pytest.raises(CorpusError, match=f"byte offset {offset} is"):
                locate_bytes(text, [offset], "here")
        else:
            assert locate_bytes(text, [offset], "here")


DATA = os.environ.get("CHAII_DATA")
REAL = {  # file: {language: answers of its rows}, where there are any
    "small_gold_annotation.jsonl": {"thai": [1], "arabic": [3]},
    "tiny_dev.jsonl.gz": {"telugu": [1], "finnish": [1], "arabic": [1], "indonesian": [2]},
}
LANGUAGES = {"arabic", "bengali", "english", "finnish", "indonesian", "japanese", "korean"}
LANGUAGES |= {"russian", "swahili", "telugu", "thai"}
needs_data = pytest.mark.skipif(DATA is None, reason="CHAII_DATA names no folder of real corpora")


def real_records(name):
    opener = gzip.open if name.endswith(".gz") else open
    with opener(Path(DATA) / "tydiqa_primary" / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@needs_data
@pytest.mark.parametrize("name", REAL)
def test_every_answer_of_the_real_samples_is_read_at_its_place(name):
    examples, report = read(Path(DATA) / "tydiqa_primary" / name)
    counts = {row["language"]: [len(row["answer_text"])] for row in examples}
    assert counts == REAL[name]
    texts = dict(zip(examples["id"][:], answers_of(examples), strict=True))
    for record in real_records(name):
        document = record["document_plaintext"].encode()
        ends = [annotation["minimal_answer"] for annotation in record["annotations"]]
        slices = [slice(end["plaintext_start_byte"], end["plaintext_end_byte"]) for end in ends]
        wanted = {document[part].decode().strip() for part in slices if part.start >= 0}
        assert set(texts.get(f"{record['language']}-{record['example_id']}", [])) == wanted
    repaired = [part.repaired for part in report.languages.values() if part.repaired]
    assert repaired == ([{"outer whitespace": 1}] if name.startswith("small") else [])
    assert not any(part.lost for part in report.languages.values())


@needs_data
def test_the_real_samples_hold_all_languages():
    path = Path(DATA) / "tydiqa_primary" / "*.jsonl*"
    examples, report = read(path, unanswerable=Unanswerable.keep)
    assert set(report.languages) == LANGUAGES
    assert sum(sum(part.dropped.values()) for part in report.languages.values()) == 2
    assert len(examples) == 12
