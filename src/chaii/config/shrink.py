"""The smallest backbone of a family, to try an experiment without its weights."""

import dataclasses
from typing import Any

from chaii.config.errors import ConfigError
from chaii.config.schema import BackboneConfig, ScratchConfig, TokenizerKind

_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,  # so narrow a model hardly starts from the usual 0.02
}
_FAMILIES: dict[str, tuple[TokenizerKind, dict[str, Any]]] = {  # tokenizer, and what else is needed
    "bert": (TokenizerKind.wordpiece, {}),
    "xlm-roberta": (TokenizerKind.unigram, {"max_position_embeddings": 514, "type_vocab_size": 1}),
    "rembert": (
        TokenizerKind.unigram_bert,
        {"input_embedding_size": 32, "output_embedding_size": 32},
    ),
    "deberta-v2": (
        TokenizerKind.unigram_bert,
        {"type_vocab_size": 0, "relative_attention": True, "position_biased_input": False}
        | {"pos_att_type": ["p2c", "c2p"]},
    ),
    "modernbert": (
        TokenizerKind.unigram_bert,
        {"max_position_embeddings": 8192, "cls_token_id": 2, "sep_token_id": 3}
        | {"layer_types": ["full_attention", "sliding_attention"]},
    ),
}


def shrink_backbone(backbone: BackboneConfig) -> BackboneConfig:
    """Make a backbone of 2 narrow layers with random weights, of the same family.

    Raises:
        ConfigError: the family is not stated, or none that is known.
    """
    family = backbone.scratch.architecture if backbone.scratch else backbone.family
    if family not in _FAMILIES:
        known = f"must be one of {', '.join(_FAMILIES)} where backbone.shrink=true"
        raise ConfigError(f"backbone.family={family}: {known}")
    tokenizer, more = _FAMILIES[family]
    return dataclasses.replace(
        backbone,
        pretrained=None,
        revision=None,
        scratch=ScratchConfig(family, tokenizer, vocab_size=2000),
        config=backbone.config | _SIZES | more,
        learning_rate=3e-3,
        shrink=False,
    )
