"""A tiny model of each family, and something for it to read."""

import pandas as pd
import pytest
from transformers import set_seed

from chaii.config.schema import BackboneConfig, ScratchConfig, TokenizerKind
from chaii.model.backbone import load_model
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide

ARCHITECTURES = {
    TokenizerKind.wordpiece: "bert",
    TokenizerKind.unigram: "xlm-roberta",
    TokenizerKind.unigram_bert: "rembert",
}


def _tiny_backbone(kind, **options):
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 200,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    if kind is TokenizerKind.unigram_bert:
        size |= {"input_embedding_size": 32, "output_embedding_size": 32}
    scratch = ScratchConfig(ARCHITECTURES[kind], kind, 400)
    options = {"learning_rate": 1e-3, "config": size} | options
    return BackboneConfig(name="tiny", scratch=scratch, **options)


@pytest.fixture(scope="session")
def tiny_backbone():
    """A backbone of 2 layers; without dropout, so that equal work gives equal losses."""
    return _tiny_backbone


@pytest.fixture(scope="session")
def toy_store(tokenizers, make_examples, tmp_path_factory):
    """A store for each family of 64 short articles."""
    rows = [
        (f"लंबाई {i}?", f"गंगा नदी {i} की लंबाई {i}२५ है। " * (i % 5 + 1), f"{i}२५", None)
        for i in range(64)
    ]
    rows = [(question, context, text, context.index(text)) for question, context, text, _ in rows]
    folder = tmp_path_factory.mktemp("tokens")
    return {
        kind: open_store(make_examples(rows), tokenizers[kind.value], folder)
        for kind in TokenizerKind
    }


@pytest.fixture(scope="session")
def toy_plan(toy_store):
    """Windows of the store in its own order."""
    plans = {}
    for kind, store in toy_store.items():
        windows = slide(store, max_length=64, doc_stride=16)
        plans[kind] = windows.assign(corpus=pd.Categorical(["toy"] * len(windows)))
    return plans


@pytest.fixture(scope="session")
def make_model(tokenizers):
    """A freshly initialised model: the same each time."""

    def make(kind, **options):
        set_seed(0)
        return load_model(_tiny_backbone(kind, **options), tokenizers[kind.value])

    return make
