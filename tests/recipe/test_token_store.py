import pickle
from pathlib import Path

import numpy as np
import pytest

from chaii.recipe.pair_template import fingerprint_tokenizer, read_pair_template, whole_texts
from chaii.recipe.token_store import open_store


def test_shared_texts_are_tokenised_once(tokenizers, make_examples, tmp_path):
    rows = [(question, "गंगा नदी है।", "नदी", 5) for question in ("क्या?", "कौन?", " क्या?")]
    store = open_store(make_examples(rows), tokenizers["unigram"], tmp_path)
    assert len(store.text_start) - 1 == 3
    assert store.question.tolist() == [0, 1, 0]
    assert len(set(store.context.tolist())) == 1


def test_no_text_is_ever_cut(tokenizers, make_examples, tmp_path):
    backend = tokenizers["wordpiece"].backend_tokenizer
    context = "शहर की जनसंख्या थी। " * 500
    backend.enable_truncation(128)
    backend.enable_padding(length=128)
    try:
        store = open_store(
            make_examples([("क्या?", context, None, 0)]), tokenizers["wordpiece"], tmp_path
        )
    finally:
        backend.no_truncation()
        backend.no_padding()
    assert store.offsets[-1, 1] == len(context.rstrip())
    assert (
        store.tokens_of(store.question[0]).tolist()
        == (tokenizers["wordpiece"]("क्या?", add_special_tokens=False)["input_ids"])
    )


def test_a_warm_store_does_not_tokenise(tokenizers, make_examples, tmp_path, monkeypatch):
    examples = make_examples([("क्या?", "गंगा नदी है।", "नदी", 5)])
    cold = open_store(examples, tokenizers["unigram"], tmp_path)
    monkeypatch.setattr("chaii.recipe.token_store._batches", lambda _: pytest.fail("tokenised"))
    warm = open_store(examples, tokenizers["unigram"], tmp_path)
    np.testing.assert_array_equal(cold.input_ids, warm.input_ids)


def test_another_tokenizer_never_meets_an_old_store(tokenizers, make_examples, tmp_path):
    examples = make_examples([("क्या?", "गंगा नदी है।", "नदी", 5)])
    for tokenizer in tokenizers.values():
        open_store(examples, tokenizer, tmp_path)
    assert len(list(tmp_path.iterdir())) == len(tokenizers)


def test_a_killed_writer_leaves_no_store(tokenizers, make_examples, tmp_path, monkeypatch):
    examples = make_examples([("क्या?", "गंगा नदी है।", "नदी", 5)])

    def killed(_texts):
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr("chaii.recipe.token_store._batches", killed)
        with pytest.raises(KeyboardInterrupt):
            open_store(examples, tokenizers["unigram"], tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    assert len(open_store(examples, tokenizers["unigram"], tmp_path)) == 1


class FullDisk:
    """A file on a disk that is full for one write and has room again after it."""

    def __init__(self, file):
        self.file, self.writes = file, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.writes += 1
        if self.writes == 2:
            raise OSError(28, "No space left on device")
        return self.file.write(content)


@pytest.mark.parametrize("name", ["input_ids.bin", "offsets.bin"])
def test_a_disk_that_is_full_for_a_moment_leaves_no_store(
    name, tokenizers, make_examples, tmp_path, monkeypatch
):
    examples = make_examples([("क्या?", f"गंगा नदी {i} है।", "नदी", 5) for i in range(5)])
    opened = Path.open

    def fill(path, *args, **kwargs):
        file = opened(path, *args, **kwargs)
        return FullDisk(file) if path.name == name else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fill)
        with pytest.raises(OSError, match="No space left"):
            open_store(examples, tokenizers["unigram"], tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    store = open_store(examples, tokenizers["unigram"], tmp_path)
    assert (store.input_ids != 0).all()


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "too long": lambda path: path.write_bytes(path.read_bytes() + bytes(8)),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one byte": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x07"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["input_ids", "offsets", "text_start"])
def test_a_damaged_store_is_made_again_and_said_so(
    name, damage, tokenizers, make_examples, tmp_path, capsys
):
    examples = make_examples([("क्या?", f"गंगा नदी {i} है।", "नदी", 5) for i in range(5)])
    before = open_store(examples, tokenizers["unigram"], tmp_path)
    before = {field: np.array(getattr(before, field)) for field in ("input_ids", "offsets")}
    assert "damaged" not in capsys.readouterr().out
    damage(next(tmp_path.rglob(f"{name}.bin")))
    after = open_store(examples, tokenizers["unigram"], tmp_path)
    assert "damaged; its texts are tokenised again" in capsys.readouterr().out
    for field, array in before.items():
        np.testing.assert_array_equal(getattr(after, field), array)


def test_every_byte_of_a_large_store_is_compared_on_demand(
    tokenizers, make_examples, tmp_path, monkeypatch
):
    examples = make_examples([("क्या?", f"गंगा नदी {i} है।", "नदी", 5) for i in range(5)])
    monkeypatch.setattr("chaii.recipe.token_store._SMALL", 0)
    whole = np.array(open_store(examples, tokenizers["unigram"], tmp_path).input_ids)
    DAMAGES["zeros"](next(tmp_path.rglob("input_ids.bin")))
    assert not open_store(examples, tokenizers["unigram"], tmp_path).input_ids.any()
    store = open_store(examples, tokenizers["unigram"], tmp_path, verify=True)
    np.testing.assert_array_equal(store.input_ids, whole)


def test_truncation_does_not_change_the_fingerprint(tokenizers):
    tokenizer = tokenizers["unigram"]
    before = fingerprint_tokenizer(tokenizer)
    tokenizer("a", truncation=True, max_length=8)
    assert fingerprint_tokenizer(tokenizer) == before


def test_a_tokenizer_gets_its_own_settings_back(tokenizers):
    tokenizer = tokenizers["unigram_bert"]
    backend = tokenizer.backend_tokenizer
    tokenizer("a", "b c d", truncation="only_second", max_length=9, padding="max_length")
    before = backend.truncation, backend.padding
    assert None not in before
    with whole_texts(tokenizer) as whole:
        assert (whole.truncation, whole.padding) == (None, None)
    assert (backend.truncation, backend.padding) == before
    backend.no_truncation()
    backend.no_padding()


@pytest.mark.parametrize(
    ("family", "overhead", "type_ids"),
    [
        ("wordpiece", 3, (0, 0, 0, 1, 1)),
        ("unigram", 4, (0, 0, 0, 0, 0)),
        ("unigram_bert", 3, (0, 0, 0, 1, 1)),
    ],
)
def test_template_is_read_from_the_tokenizer(tokenizers, family, overhead, type_ids):
    template = read_pair_template(tokenizers[family])
    assert template.overhead == overhead
    assert template.type_ids == type_ids
    assert template.cls_position == 0
    assert tokenizers[family].mask_token_id in template.special_token_ids


def test_a_batch_boundary_changes_nothing(tokenizers, make_examples, tmp_path, monkeypatch):
    rows = [(f"क्या {i}?", f"गंगा नदी {i} है।" * 9, None, 0) for i in range(20)]
    examples = make_examples(rows)
    whole = open_store(examples, tokenizers["unigram"], tmp_path / "whole")
    monkeypatch.setattr("chaii.recipe.token_store._BATCH_CHARACTERS", 100)
    split = open_store(examples, tokenizers["unigram"], tmp_path / "split")
    np.testing.assert_array_equal(whole.offsets, split.offsets)
    np.testing.assert_array_equal(whole.text_start, split.text_start)


def test_another_process_gets_a_store_without_its_files(tokenizers, make_examples, tmp_path):
    rows = [("क्या?", "गंगा नदी है। " * 500, "नदी", 5), ("कौन?", "पटना बड़ा है।", "पटना", 0)]
    store = open_store(make_examples(rows), tokenizers["unigram"], tmp_path).select(
        np.array([1, 0])
    )
    sent = pickle.dumps(store)
    copy = pickle.loads(sent)
    assert len(sent) < store.input_ids.nbytes
    for row, text in enumerate(store.context):
        assert copy.tokens_of(copy.context[row]).tolist() == store.tokens_of(text).tolist()
        assert copy.answers.of(row).tolist() == store.answers.of(row).tolist()
    np.testing.assert_array_equal(copy.offsets, store.offsets)
