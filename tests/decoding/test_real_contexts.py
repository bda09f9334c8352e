"""Spans of real questions on real contexts: against the n-best loop and against brute force."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.ensemble import Merge
from chaii.config.schema import BackboneConfig, Precision, ScratchConfig, TokenizerKind
from chaii.corpus.readers import read_corpus
from chaii.corpus.training_data import distinct_texts
from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.span_search import best_spans
from chaii.model.backbone import load_model, train_tokenizer
from chaii.model.predict import predict_logits
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction

MOST_TOKENS = 30
MODEL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 514,
    "initializer_range": 1.0,  # so that an untrained model has strong opinions
}


@pytest.fixture(scope="module")
def real(chaii_data, tmp_path_factory):
    """All of XQuAD-hi: logits window by window, and merged into those of contexts."""
    corpus = CorpusConfig(
        format=CorpusFormat.squad_json, path=f"{chaii_data}/xquad/xquad.hi.json", language="hindi"
    )
    examples, _ = read_corpus("xquad_hi", corpus)
    scratch = ScratchConfig("xlm-roberta", TokenizerKind.unigram, 3000)
    tokenizer = train_tokenizer(scratch, distinct_texts({"xquad_hi": examples}))
    store = open_store(examples, tokenizer, tmp_path_factory.mktemp("tokens"))
    windows = slide(store, max_length=256, doc_stride=64)
    torch.manual_seed(0)
    model = load_model(BackboneConfig("tiny", scratch=scratch, config=MODEL), tokenizer)
    logits = predict_logits(model, windows, store, batch_size=64, precision=Precision.fp32)
    prediction = Prediction(examples, windows, *logits)
    logits = read_context_logits(prediction, store, max_answer_tokens=MOST_TOKENS, merge=Merge.max)
    return windows, prediction.start_logits, prediction.end_logits, logits


def loop_over_n_best(windows, start_logits, end_logits, n=20):
    """Best score of each example by the usual loop: the n best starts and ends of each window."""
    best = {}
    width = (windows["context_to"] - windows["context_from"]).to_numpy()
    for row, (a, b) in enumerate(pairwise(np.concatenate([[0], np.cumsum(width)]))):
        start, end = start_logits[a:b].astype(float), end_logits[a:b].astype(float)
        example = int(windows["example"].iloc[row])
        for first in np.argsort(start)[-n:].tolist():
            for last in np.argsort(end)[-n:].tolist():
                if first <= last < first + MOST_TOKENS:
                    score = start[first] + end[last]
                    best[example] = max(best.get(example, -np.inf), score)
    return best


def test_no_span_scores_below_the_n_best_loops(real):
    windows, start, end, logits = real
    found = best_spans(logits.start, logits.end, logits.row_start, max_tokens=MOST_TOKENS).score
    looped = loop_over_n_best(windows, start, end)
    assert len(found) == 1190
    assert windows["example"].duplicated().sum() > 500  # contexts of several windows
    assert all(found[example] >= score for example, score in looped.items())


def test_every_span_equals_brute_force(real):
    *_, logits = real
    found = best_spans(logits.start, logits.end, logits.row_start, max_tokens=MOST_TOKENS)
    for row, (a, b) in enumerate(pairwise(logits.row_start)):
        start, end = logits.start[a:b].astype(float), logits.end[a:b].astype(float)
        totals = start[:, None] + end[None, :]
        legal = np.triu(np.ones_like(totals, dtype=bool)) & np.tri(
            len(start), k=MOST_TOKENS - 1, dtype=bool
        )
        totals[~legal] = -np.inf
        first, last = np.unravel_index(totals.argmax(), totals.shape)
        assert (found.start_token[row], found.end_token[row]) == (first, last)
