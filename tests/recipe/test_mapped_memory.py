"""Mapped tables give their memory back, and the token store asks them to."""

from pathlib import Path

import pytest
from datasets import load_from_disk

from chaii.recipe.mapped_memory import release_table
from chaii.recipe.token_store import open_store

ROWS = [("क्या?", f"{number:4} गंगा" + " " * 26_000, "गंगा", 5) for number in range(300)]


def mapped_memory():
    """Bytes of mapped files that are in this process' memory."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))


@pytest.fixture
def stored(make_examples, tmp_path):
    """A table of 8 MB, mapped."""
    make_examples(ROWS).save_to_disk(tmp_path / "table")
    return load_from_disk(tmp_path / "table")


def test_a_mapped_table_gives_its_memory_back_and_keeps_its_rows(stored, make_examples):
    in_memory = make_examples(ROWS)
    assert stored["context"][:] == in_memory["context"][:]
    before = mapped_memory()
    for examples in (stored, in_memory):
        release_table(examples)
    assert before - mapped_memory() > 6_000_000
    assert stored["context"][:] == in_memory["context"][:]
    assert in_memory["context"][0] == ROWS[0][1]


def test_tokenising_keeps_no_text_in_memory(stored, tokenizers, tmp_path):
    release_table(stored)
    before = mapped_memory()
    open_store(stored, tokenizers["wordpiece"], tmp_path)
    assert mapped_memory() - before < 3_000_000
