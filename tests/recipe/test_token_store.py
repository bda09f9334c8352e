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
    monkeypatch.setattr(
        "chaii.recipe.token_store._write_store", lambda *_: pytest.fail("tokenised")
    )
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
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    assert len(open_store(examples, tokenizers["unigram"], tmp_path)) == 1


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
    ("family", "overhead", "uses_type_ids"),
    [("wordpiece", 3, True), ("unigram", 4, False), ("unigram_bert", 3, True)],
)
def test_template_is_read_from_the_tokenizer(tokenizers, family, overhead, uses_type_ids):
    template = read_pair_template(tokenizers[family])
    assert template.overhead == overhead
    assert template.uses_type_ids == uses_type_ids
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
