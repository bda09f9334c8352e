"""The table on disk: as the one in memory, opened at once, never stale, never half written."""

import dataclasses
import gzip
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, OnError, Unanswerable
from chaii.corpus import readers, table
from chaii.corpus.checks import load_report
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import CorpusError
from chaii.corpus.table import EXAMPLE_FEATURES

LONG_AGO = time.time_ns() - 10**12


def make_lines(*words):
    records = [
        {
            "annotations": [
                {
                    "minimal_answer": {"plaintext_start_byte": 0, "plaintext_end_byte": len(word)},
                    "passage_answer": {"candidate_index": 0},
                    "yes_no_answer": "NONE",
                }
            ],
            "document_plaintext": f"{word} text",
            "document_title": "T",
            "example_id": number,
            "language": "english",
            "question_text": "q?",
        }
        for number, word in enumerate(words)
    ]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A corpus of three rows, written long ago."""
    monkeypatch.setattr(table, "_SETTLED", -1)
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(make_lines("one", " two", "six"))
    return CorpusConfig(CorpusFormat.tydi_primary, str(path))


@pytest.fixture
def count_reads(monkeypatch):
    """How often a file was read so far."""
    reads = []
    reader = readers._READERS[CorpusFormat.tydi_primary]

    def count(*arguments):
        reads.append(arguments[0])
        return reader(*arguments)

    monkeypatch.setitem(readers._READERS, CorpusFormat.tydi_primary, count)
    return reads


def texts_of(examples):
    return [text for texts in examples["answer_text"][:] for text in texts]


def test_the_stored_table_equals_the_one_in_memory(source, tmp_path):
    in_memory, report = read_corpus("toy", source)
    stored, stored_report = read_corpus("toy", source, cache=tmp_path / "cache")
    assert stored[:] == in_memory[:]
    assert stored.features == EXAMPLE_FEATURES
    assert stored_report == report


def test_the_stored_table_is_memory_mapped(source, tmp_path):
    in_memory, _ = read_corpus("toy", source)
    stored, _ = read_corpus("toy", source, cache=tmp_path / "cache")
    assert not in_memory.cache_files
    assert [file["filename"] for file in stored.cache_files] == [
        str(path) for path in (tmp_path / "cache").rglob("*.arrow")
    ]


def test_a_second_start_reads_no_corpus(source, tmp_path, count_reads):
    first, first_report = read_corpus("toy", source, cache=tmp_path)
    second, second_report = read_corpus("toy", source, cache=tmp_path)
    assert len(count_reads) == 1
    assert (second[:], second_report) == (first[:], first_report)


CHANGES = {
    "language": {"languages": ["english"]},
    "max_examples": {"max_examples": 2},
    "on error": {"on_error": OnError.skip},
    "unanswerable": {"unanswerable": Unanswerable.drop},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_setting_is_another_table(source, tmp_path, count_reads, change):
    read_corpus("toy", source, cache=tmp_path)
    read_corpus("toy", dataclasses.replace(source, **change), cache=tmp_path)
    assert len(count_reads) == 2


def test_another_name_is_another_table(source, tmp_path):
    for name in ("squad.one", "squad.two"):
        assert set(read_corpus(name, source, cache=tmp_path)[0]["corpus"]) == {name}


def test_what_only_describes_a_corpus_does_not_matter(source, tmp_path, count_reads):
    read_corpus("toy", source, cache=tmp_path)
    read_corpus("toy", dataclasses.replace(source, homepage="x", description="y"), cache=tmp_path)
    assert len(count_reads) == 1


def test_a_changed_file_of_the_same_size_is_read_anew(source, tmp_path):
    read_corpus("toy", source, cache=tmp_path / "cache")
    time.sleep(0.02)  # the file system's clock ticks every few milliseconds
    (tmp_path / "corpus.jsonl").write_bytes(make_lines("one", " two", "ten"))
    assert texts_of(read_corpus("toy", source, cache=tmp_path / "cache")[0])[-1] == "ten"


def test_a_file_put_back_to_its_old_time_is_read_anew(source, tmp_path):
    path = tmp_path / "corpus.jsonl"
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    read_corpus("toy", source, cache=tmp_path / "cache")
    time.sleep(0.02)
    path.write_bytes(make_lines("one", " two", "ten"))
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    assert texts_of(read_corpus("toy", source, cache=tmp_path / "cache")[0])[-1] == "ten"


def test_what_is_read_right_after_its_file_was_written_is_not_stored(
    source, tmp_path, count_reads, monkeypatch
):
    monkeypatch.setattr(table, "_SETTLED", 10**11)
    for _ in range(2):
        read_corpus("toy", source, cache=tmp_path)
    assert len(count_reads) == 2


def test_a_file_that_joins_the_pattern_is_read(source, tmp_path):
    pattern = dataclasses.replace(source, path=str(tmp_path / "*.jsonl"))
    read_corpus("toy", pattern, cache=tmp_path / "cache")
    other = make_lines("one").replace(b'"example_id": 0', b'"example_id": 9')
    (tmp_path / "other.jsonl").write_bytes(other)
    assert len(read_corpus("toy", pattern, cache=tmp_path / "cache")[0]) == 4


def test_a_changed_filter_is_another_table(source, tmp_path):
    kept = tmp_path / "kept.tsv"
    filtered = dataclasses.replace(source, keep_ids=str(kept))
    for number in (0, 2):
        kept.write_text(f"id\tscore\nenglish-{number}\t1\n")
        examples, _ = read_corpus("toy", filtered, cache=tmp_path / "cache")
        assert examples["id"][:] == [f"english-{number}"]


def test_changed_code_is_another_table(source, tmp_path, count_reads, monkeypatch):
    read_corpus("toy", source, cache=tmp_path)
    monkeypatch.setattr(table, "fingerprint_code", lambda: "other")
    read_corpus("toy", source, cache=tmp_path)
    assert len(count_reads) == 2


def test_a_failed_read_leaves_nothing(source, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(path.read_bytes() + b"{")
    with pytest.raises(CorpusError, match="line 4"):
        read_corpus("toy", source, cache=tmp_path / "cache")
    assert not [*tmp_path.rglob("*.arrow"), *tmp_path.rglob("*.json")]


def test_a_file_that_changes_while_it_is_read_is_refused(source, tmp_path, monkeypatch):
    path = tmp_path / "corpus.jsonl"
    reader = readers._READERS[CorpusFormat.tydi_primary]

    def change(*arguments):
        yield from reader(*arguments)
        path.write_bytes(make_lines("one"))

    monkeypatch.setitem(readers._READERS, CorpusFormat.tydi_primary, change)
    with pytest.raises(CorpusError, match="a file changed while it was read"):
        read_corpus("toy", source, cache=tmp_path / "cache")
    assert not [*tmp_path.rglob("*.arrow"), *tmp_path.rglob("*.json")]


def test_rows_of_every_batch_are_stored_in_order(source, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_BATCH_ROWS", 2)
    words = ["a" * size for size in range(1, 8)]
    (tmp_path / "corpus.jsonl").write_bytes(make_lines(*words))
    assert texts_of(read_corpus("toy", source, cache=tmp_path / "cache")[0]) == words


def test_a_report_survives_its_file(source):
    _, report = read_corpus("toy", source)
    assert report.languages["english"].samples
    assert load_report(json.loads(json.dumps(dataclasses.asdict(report)))) == report


def damage(path, kind):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if kind == "cut":
        content = content[:middle]
    elif kind == "zeros":
        content[middle : middle + 64] = bytes(64)
    elif kind == "empty":
        content = b""
    if kind == "gone":
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["cut", "zeros", "empty", "gone"])
@pytest.mark.parametrize("part", ["examples.arrow", "report.json"])
def test_a_damaged_table_is_rebuilt_with_a_notice(source, tmp_path, capsys, part, kind):
    examples, report = read_corpus("toy", source, cache=tmp_path / "cache")
    rows = examples[:]
    del examples
    (home,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    damage(home / part, kind)
    capsys.readouterr()
    again, report_again = read_corpus("toy", source, cache=tmp_path / "cache")
    assert (again[:], report_again) == (rows, report)
    assert capsys.readouterr().out == f"{home}: damaged; its corpus is read again\n"
    read_corpus("toy", source, cache=tmp_path / "cache")
    assert capsys.readouterr().out == ""


def test_readers_that_start_together_build_the_table_once(source, tmp_path, count_reads):
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(read_corpus, "toy", source, cache=tmp_path) for _ in range(4)]
    assert len({tuple(future.result()[0]["id"][:]) for future in found}) == 1
    assert len(count_reads) == 1


START = """
import sys
from pathlib import Path
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.readers import read_corpus
from chaii.demo.corpora import write_demo_corpora

print("ready", flush=True)
for line in sys.stdin:
    folder = Path(line.strip())
    write_demo_corpora(folder / "demo")
    corpus = CorpusConfig(CorpusFormat.tydi_primary, str(folder / "corpus.jsonl"))
    print(len(read_corpus("toy", corpus, cache=folder / "cache")[0]), flush=True)
    print(len((folder / "demo/chaii/train.csv").read_bytes()), flush=True)
"""


@pytest.mark.slow
def test_two_processes_that_start_together_both_read_20_of_20(tmp_path):
    folders = [tmp_path / str(number) for number in range(20)]
    for folder in folders:
        folder.mkdir()
        (folder / "corpus.jsonl").write_bytes(make_lines(*(f"word{n}" for n in range(300))))
    time.sleep(2.1)  # a table of files just written would not be stored
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    both = [subprocess.Popen([sys.executable, "-c", START], **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for folder in folders:
        for process in both:
            process.stdin.write(f"{folder}\n")
        counts = [[int(process.stdout.readline()) for _ in range(2)] for process in both]
        assert counts[0] == counts[1]
        assert counts[0][0] == 300
    for process in both:
        process.communicate()
        assert process.returncode == 0


MEASURE = """
import resource, sys
from pathlib import Path
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.readers import read_corpus

def read(path):
    corpus = CorpusConfig(CorpusFormat.natural_questions, path)
    return read_corpus("nq", corpus, cache=Path(sys.argv[1]))[0]

read(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = len(read(sys.argv[3]))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def write_questions(path, count, tokens):
    """Rows of `tokens` words and tags each; compresses well, so that it is quick to make."""
    text = " ".join(["<P>", "நதி", "river", "</P>"] * (tokens // 4))
    annotation = {
        "long_answer": {"start_token": 0},
        "short_answers": [{"start_token": 1, "end_token": 3}],
        "yes_no_answer": "NONE",
    }
    with gzip.open(path, "wb", compresslevel=1) as file:
        for number in range(count):
            record = {"document_text": f"{number} {text}", "example_id": number}
            record |= {"question_text": "q", "annotations": [annotation]}
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    return path


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    small = write_questions(tmp_path / "small.gz", 40, 20_000)
    large = write_questions(tmp_path / "large.gz", 2_500, 20_000)  # 310 MB of JSON
    command = [sys.executable, "-c", MEASURE, tmp_path / "cache", small, large]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == 2_500
    assert grown < 150 * 1024  # kilobytes
