import json
from types import SimpleNamespace

import numpy as np
import pytest

from chaii.config.schema import ScratchConfig, TokenizerKind
from chaii.model.backbone import train_tokenizer
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import crop, finished_input, slide

FAMILIES = ["wordpiece", "unigram", "unigram_bert"]


def tokenizer_windows(tokenizer, question, context, answer, *, max_length, doc_stride):
    """Ids, types, offsets and labels by the tokenizer itself and a plain scan over its offsets."""
    encoded = tokenizer(
        question.lstrip(),
        context,
        truncation="only_second",
        max_length=max_length,
        stride=doc_stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    whole = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    pieces = list(enumerate(whole["offset_mapping"]))
    first = max(k for k, (begin, _) in pieces if begin <= answer[0])
    last = max(first, min(k for k, (_, stop) in pieces if stop >= answer[1]))
    begins = 0  # the window's first context token
    for i, ids in enumerate(encoded["input_ids"]):
        inside = [k for k, part in enumerate(encoded.sequence_ids(i)) if part == 1]
        offsets = [encoded["offset_mapping"][i][k] for k in inside]
        start = end = -1
        if begins <= first and last < begins + len(inside):
            start, end = inside[first - begins], inside[last - begins]
        types = encoded["token_type_ids"][i] if "token_type_ids" in encoded else [0] * len(ids)
        yield ids, types, offsets, start, end
        begins += len(inside) - doc_stride


def store_windows(store, *, max_length, doc_stride, rows=None):
    for window in slide(
        store, max_length=max_length, doc_stride=doc_stride, rows=rows
    ).itertuples():
        ids, types, _ = finished_input(store, window)
        texts = store.context[window.example]
        offsets = store.offsets[store.text_start[texts] : store.text_start[texts + 1]]
        part = offsets[window.context_from : window.context_to]
        yield (
            ids.tolist(),
            types.tolist(),
            [tuple(pair) for pair in part.tolist()],
            window.start_token,
            window.end_token,
        )


def random_answer(context, generator):
    start = int(generator.integers(0, max(1, len(context) - 1)))
    stop = min(len(context), start + int(generator.integers(1, 60)))
    text = context[start:stop]
    start += len(text) - len(text.lstrip())
    return text.strip() or context.strip()[:1], start if text.strip() else context.index(
        context.strip()[:1]
    )


@pytest.fixture(scope="module")
def real_pairs(chaii_data):
    """Questions and contexts in six languages."""
    pairs = []
    for name in [
        *(f"xquad/xquad.{language}.json" for language in ("hi", "th", "ru", "en")),
        "tydiqa_goldp/telugu_tydiqa_dev.json",
    ]:
        for article in json.loads((chaii_data / name).read_text())["data"][:24]:
            for paragraph in article["paragraphs"][:2]:
                pairs.append((paragraph["qas"][0]["question"], paragraph["context"]))
    tamil = (chaii_data / "text/tamil.txt").read_text().split("\n\n")
    pairs += [(text[:70], text[:3000]) for text in tamil if len(text) > 700][:40]
    return pairs


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_equal_the_tokenizers_own_on_real_text(family, real_pairs, make_examples, tmp_path):
    texts = [context[:600] for _, context in real_pairs]
    tokenizer = train_tokenizer(ScratchConfig("bert", TokenizerKind(family), 3000), texts)
    generator = np.random.default_rng(2021)
    picked = [real_pairs[i] for i in generator.integers(0, len(real_pairs), 300)]
    rows = [
        (
            " " * int(generator.integers(0, 3)) + question,
            context,
            *random_answer(context, generator),
        )
        for question, context in picked
    ]
    store = open_store(make_examples(rows), tokenizer, tmp_path)
    windows = 0
    for i, (question, context, text, start) in enumerate(rows):
        length = store.question_lengths()[i] + store.template.overhead
        max_length = int(length + generator.integers(2, 400))
        doc_stride = int(generator.integers(0, max_length - length))
        lengths = {"max_length": max_length, "doc_stride": doc_stride}
        answer = (start, start + len(text))
        expected = list(tokenizer_windows(tokenizer, question, context, answer, **lengths))
        assert list(store_windows(store, **lengths, rows=[i])) == expected
        windows += len(expected)
    assert windows > 600  # most contexts really were cut


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_equal_the_tokenizers_own(family, tokenizers, make_examples, tmp_path):
    context = "गंगा नदी की लंबाई २५२५ किलोमीटर है। The river, 320 km — काशी… " * 9
    rows = [(" लंबाई कितनी है?", context, "२५२५ किलोमीटर", context.index("२५२५"))]
    store = open_store(make_examples(rows), tokenizers[family], tmp_path)
    answer = (rows[0][3], rows[0][3] + len(rows[0][2]))
    for max_length, doc_stride in [(40, 10), (64, 0), (64, 30), (512, 128)]:
        lengths = {"max_length": max_length, "doc_stride": doc_stride}
        expected = list(
            tokenizer_windows(tokenizers[family], rows[0][0], context, answer, **lengths)
        )
        assert list(store_windows(store, **lengths)) == expected


@pytest.fixture
def store(tokenizers, make_examples, tmp_path):
    """A long context with a long question and a short one."""
    context = "शहर की जनसंख्या १२३४ थी। " * 4000  # 100,000 characters
    rows = [
        ("क्या " * 600, context, "१२३४", context.index("१२३४")),
        ("कितनी?", context[:60], "१२३४", context.index("१२३४")),
    ]
    return open_store(make_examples(rows), tokenizers["wordpiece"], tmp_path)


def test_an_endless_question_is_cut_and_its_context_still_covered(store):
    windows = slide(store, max_length=384, doc_stride=128, rows=[0])
    assert store.question_lengths()[0] >= 600
    assert windows["length"].max() == 384
    assert windows["context_to"].iloc[-1] == store.context_lengths()[0]
    overlap = windows["context_to"].to_numpy()[:-1] - windows["context_from"].to_numpy()[1:]
    assert (overlap == 128).all()


def test_a_window_without_room_to_move_is_refused(store):
    with pytest.raises(ValueError, match="max_length=131: must exceed doc_stride=128"):
        slide(store, max_length=131, doc_stride=128)


def test_cropped_windows_hold_the_answer_at_a_uniform_place(store):
    one = slide(store, max_length=384, doc_stride=128, rows=[0])
    many = one.iloc[np.zeros(4000, int)]
    moved = crop(many, store, generator=np.random.default_rng(0))
    first, last = store.answers.of(0)[0]
    width = many["context_to"].iloc[0]
    places = min(first, width - 1) - max(0, last - width + 1) + 1
    assert (moved["start_token"] >= 0).all()
    counts = np.bincount(moved["context_from"], minlength=places)
    assert len(counts) == places
    assert abs(counts - 4000 / places).max() < 5 * (4000 / places) ** 0.5


def test_cropped_negatives_never_hold_the_answer(store):
    windows = slide(store, max_length=384, doc_stride=128)
    moved = crop(windows, store, generator=np.random.default_rng(0))
    assert ((windows["start_token"] < 0) == (moved["start_token"] < 0)).all()
    assert (windows["length"] == moved["length"]).all()
    assert (windows["context_from"] != moved["context_from"]).any()


@pytest.mark.parametrize(("answer", "draw"), [("last", 0.0), ("first", 1 - 1e-12)])
def test_a_cropped_negative_reaches_both_ends_of_its_context(
    answer, draw, tokenizers, make_examples, tmp_path
):
    context = "first " + "गंगा नदी " * 200 + "last"
    examples = make_examples([("कौन?", context, answer, context.index(answer))])
    store = open_store(examples, tokenizers["wordpiece"], tmp_path)
    windows = slide(store, max_length=64, doc_stride=16)
    middle = windows[windows["start_token"] < 0].iloc[1:2]
    generator = SimpleNamespace(random=lambda size: np.full(size, draw))
    moved = crop(middle, store, generator=generator)
    if answer == "last":
        assert moved["context_from"].item() == 0
    else:
        assert moved["context_to"].item() == store.context_lengths()[0]
