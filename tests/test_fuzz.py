"""Random corpora are read, tokenised, cut, labelled, decoded: perfect logits give the answers."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.ensemble import Merge
from chaii.corpus.readers import read_corpus
from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.decode import decode_answers, read_answer
from chaii.recipe.pair_template import read_pair_template
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import answer_positions, finished_input, slide
from chaii.run_folder import Prediction

# Pieces that tokenizers and graphemes treat in their own way: marks, joiners, kinds of whitespace.
PIECES = [
    *["गंगा", "नदी", "क्षत्रिय", "विद्यार्थी", "१९४७", "ई.पू.", "\u200d", "\u200c", "़", "।"],
    *["சென்னை", "தமிழ்", "கி.மு.", "ஸ்ரீ", "ு", "క్ష్మా", "ভারত", "北京", "東京都"],
    *["River", "it's", "2,525", "km", "ﬁ", "ÀÉ", "é", "İ", "ß", "🇮🇳", "👩\u200d👩\u200d👧"],
    *["\u200b", "\ufeff", "\xad", "…", "–", "(", ")", "“", "”", "\\"],
    *("\u00a0", "\u3000", " ", " ", " ", "  ", "\n", "\t"),
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=40).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)

ROWS = 4  # the fewest of a corpus


@st.composite
def draw_rows(draw):
    """Questions with a context and an answer that is not only whitespace."""
    rows = []
    for number in range(draw(st.integers(ROWS, 2 * ROWS))):
        context = draw(TEXTS.filter(str.strip))
        start_char = draw(st.integers(0, len(context) - 1))
        end_char = draw(st.integers(start_char + 1, len(context)))
        answer = context[start_char:end_char]
        if not answer.strip():
            answer, start_char = context, 0
        question = draw(TEXTS.filter(str.strip))
        rows.append((str(number), question, context, answer, start_char))
    return rows


def write_squad(path, rows):
    """Write the rows as SQuAD JSON."""
    paragraphs = [
        {
            "context": context,
            "qas": [
                {"id": row, "question": question, "answers": [{"text": text, "answer_start": at}]}
            ],
        }
        for row, question, context, text, at in rows
    ]
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), "utf-8")


def predict_perfectly(store, windows):
    """Logits of 0, but 9 at the first and last token of the answer in each window that holds it.

    Where a window does not hold it, those of "no answer" are 9.
    """
    sides = [[], []]
    null = np.where(windows[["start_token", "end_token"]] < 0, 9, 0).astype(np.float16)
    for window in windows.itertuples():
        *_, context = finished_input(store, window)
        for side, tokens in zip(sides, answer_positions(store, window, context), strict=True):
            logits = np.zeros(window.context_to - window.context_from, np.float16)
            if window.start_token >= 0:
                logits[tokens - context] = 9
            side.append(logits)
    return [*(np.concatenate([*side, np.zeros(0, np.float16)]) for side in sides), null]


def check_rows(rows, tokenizer, *, max_length, doc_stride, merge):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.json")
        write_squad(path, rows)
        corpus = CorpusConfig(CorpusFormat.squad_json, str(path), language="hindi")
        examples, _ = read_corpus("fuzz", corpus)
        store = open_store(examples, tokenizer, Path(folder, "tokens"))
    assert examples["context"][:] == [context for _, _, context, _, _ in rows]
    windows = slide(store, max_length=max_length, doc_stride=doc_stride)
    prediction = Prediction(examples, windows, *predict_perfectly(store, windows))
    logits = read_context_logits(prediction, store, max_answer_tokens=10**4, merge=merge)
    answers = decode_answers(logits)
    held = set(windows[windows["start_token"] >= 0]["example"])
    for row, (context, texts, starts) in enumerate(
        zip(logits.contexts, examples["answer_text"], examples["answer_start"], strict=True)
    ):
        found = answers.loc[row]
        assert found["prediction"] == context[found["start_char"] : found["end_char"]]
        if row not in held:
            continue
        tokens = store.answers.of(row)[0]
        offsets = store.offsets[store.text_start[store.context[row]] :]
        widened = int(offsets[tokens[0], 0]), int(offsets[tokens[1], 1])
        # The answer itself, but for characters that share a token or a grapheme with its ends.
        expected = read_answer(context, *widened)
        assert (found["prediction"], found["start_char"], found["end_char"]) == expected
        if widened[0] <= starts[0] and widened[1] >= starts[0] + len(texts[0]):
            kept = read_answer(context, starts[0], starts[0] + len(texts[0]))
            assert kept[0] in found["prediction"]


def fuzz(tokenizers, *, examples, derandomize=False):
    """Check at least so many examples, in random corpora with random windows."""

    @settings(
        max_examples=examples // ROWS,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        rows=draw_rows(),
        kind=st.sampled_from(sorted(tokenizers)),
        max_length=st.integers(16, 60),
        overlap=st.floats(0, 1),
        merge=st.sampled_from(list(Merge)),
    )
    def check(rows, kind, max_length, overlap, merge):
        tokenizer = tokenizers[kind]
        most = max_length - read_pair_template(tokenizer).overhead - 2
        check_rows(
            rows,
            tokenizer,
            max_length=max_length,
            doc_stride=int(overlap * most),
            merge=merge,
        )

    check()


def test_perfect_logits_give_back_the_answers(tokenizers):
    fuzz(tokenizers, examples=200, derandomize=True)


@pytest.mark.slow
def test_perfect_logits_give_back_the_answers_of_20_000_examples(tokenizers):
    fuzz(tokenizers, examples=20_000)
