"""Backbones: a pre-trained one by hub name or folder, or one built from its configuration."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES

from chaii.config.errors import ConfigError
from chaii.config.schema import BackboneConfig, ScratchConfig, TokenizerKind
from chaii.files import is_intact, open_or_make, seal_folder

_BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_XLMR_TOKENS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_BERT = _BERT_TOKENS, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"
_FAMILIES = {  # special tokens, and what surrounds one text and a pair
    TokenizerKind.wordpiece: _BERT,
    TokenizerKind.unigram: (_XLMR_TOKENS, "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    TokenizerKind.unigram_bert: _BERT,
}


def load_tokenizer(backbone: BackboneConfig, *, texts: Sequence[str], folder: Path) -> Any:
    """Load a backbone's fast tokenizer; that of a scratch backbone is trained on `texts` and kept.

    Args:
        texts: distinct texts; only a scratch backbone needs them.
        folder: trained tokenizers are kept here, each under a digest of what it was made of.

    Raises:
        FileNotFoundError: the pre-trained tokenizer is neither a folder nor in the hub's cache,
            and no hub can be reached.
    """
    if backbone.scratch is None:
        return _from_pretrained(AutoTokenizer, backbone)
    scratch = backbone.scratch
    made_of = json.dumps([2, scratch.tokenizer.value, scratch.vocab_size, *texts])  # 2: of decoders
    home = folder / hashlib.blake2b(made_of.encode(), digest_size=10).hexdigest()

    def make(building: Path) -> None:
        train_tokenizer(scratch, texts).save_pretrained(building)
        seal_folder(building)

    remedy = "the tokenizer is trained again"
    open_or_make(home, lambda: is_intact(home) or None, make, remedy=remedy)
    return load_local(AutoTokenizer, home, model_max_length=position_limit(backbone))


def load_local(auto: Any, folder: Path, **options: Any) -> Any:
    """Load a model or tokenizer by the library's class `auto` from a folder, whoever made it.

    No code of the folder is run: weights must be safetensors.

    Raises:
        ValueError: it cannot be loaded.
    """
    try:
        return auto.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, **options
        )
    except Exception as error:  # of many types; a damaged tokenizer raises the base class itself
        raise ValueError(f"{folder}: cannot be loaded: {error}") from error


def position_limit(backbone: BackboneConfig) -> int | None:
    """The most tokens of an input that the backbone has positions for; None without a limit.

    Raises:
        ConfigError, FileNotFoundError: as `load_model`.
    """
    config = _configure(backbone)
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if not getattr(config, "position_biased_input", True):  # DeBERTa: relative positions alone
        return None
    if limit is not None and "roberta" in config.model_type:  # its positions begin after padding
        return limit - int(config.pad_token_id) - 1
    return limit


def load_model(backbone: BackboneConfig, tokenizer: Any) -> PreTrainedModel:
    """Load a backbone with a span head; torch's random generator initialises a scratch backbone.

    Raises:
        FileNotFoundError: as `load_tokenizer`.
        ConfigError: there is no such architecture, or `backbone.config` does not go with it.
    """
    if backbone.scratch is None:
        config = _configure(backbone)
        model = _from_pretrained(AutoModelForQuestionAnswering, backbone, config=config)
    else:
        config = _configure(
            backbone,
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
        )
        try:
            model = AutoModelForQuestionAnswering.from_config(config)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"backbone.config={backbone.config}: {error}") from error
    assert isinstance(model, PreTrainedModel)
    return model


def train_tokenizer(scratch: ScratchConfig, texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Train a small tokenizer of one of the real families on `texts`.

    The same texts give the same tokenizer, which the library's word-piece and unigram trainers do
    not promise: candidate pieces come from byte-pair merges, which are deterministic, and the most
    frequent are kept. The score of a unigram piece is the logarithm of its share.
    """
    kind = scratch.tokenizer
    (special, single, pair), words = _FAMILIES[kind], kind is TokenizerKind.wordpiece
    draft = _untrained(models.BPE(), kind)
    draft.pre_tokenizer = pre_tokenizers.Sequence(  # no piece may glue a full stop to a word
        [draft.pre_tokenizer, pre_tokenizers.Punctuation()]
    )
    trainer = trainers.BpeTrainer(vocab_size=scratch.vocab_size, show_progress=False)
    draft.train_from_iterator(texts, trainer=trainer)
    pieces = _count_pieces(draft, texts, prefix="##" if words else "")
    kept = list(pieces.items())[: scratch.vocab_size - len(special)]
    if words:
        vocabulary = {piece: i for i, piece in enumerate([*special.values(), *dict(kept)])}
        model: Any = models.WordPiece(vocabulary, unk_token=special["unk"])
    else:
        scores = [(token, 0.0) for token in special.values()]
        scores += [(piece, math.log(count / pieces.total())) for piece, count in kept]
        model = models.Unigram(scores, unk_id=list(special).index("unk"))
    tokenizer = _untrained(model, kind)
    tokenizer.add_special_tokens([token for name, token in special.items() if name != "mask"])
    tokenizer.decoder = decoders.WordPiece() if words else decoders.Metaspace()
    ids = [(token, tokenizer.token_to_id(token)) for token in special.values()]
    tokenizer.post_processor = TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    tokens: dict[str, Any] = {f"{name}_token": token for name, token in special.items()}
    tokens["mask_token"] = AddedToken(special["mask"], lstrip=not words, special=True)
    inputs = ["input_ids", "attention_mask"]
    if kind is not TokenizerKind.unigram:
        inputs.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **tokens)


def _untrained(model: Any, kind: TokenizerKind) -> Tokenizer:
    """Make a tokenizer that cleans and splits text as its family does."""
    tokenizer = Tokenizer(model)
    if kind is TokenizerKind.wordpiece:
        tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return tokenizer


def _count_pieces(draft: Tokenizer, texts: Sequence[str], *, prefix: str) -> Counter[str]:
    """Count the uses of each piece; `prefix` marks one that continues a word.

    Every single character counts at least once, so that no text of the corpora is unknown. Single
    characters come first, so that a small vocabulary keeps them, then the most frequent pieces.
    """
    characters = [piece for piece in draft.get_vocab() if len(piece) == 1]
    counts = Counter({mark + piece: 1 for piece in characters for mark in {"", prefix}})
    for encoding in draft.encode_batch(list(texts)):
        continues = [a == b for a, b in pairwise([None, *encoding.word_ids])]
        pieces = zip(continues, encoding.tokens, strict=True)
        counts.update(prefix * inside + piece for inside, piece in pieces)
    order = sorted(counts, key=lambda p: (len(p.removeprefix(prefix)) > 1, -counts[p], p))
    return Counter({piece: counts[piece] for piece in order})


def _configure(backbone: BackboneConfig, **options: Any) -> Any:
    """Make the configuration of a backbone's model, with the fields of `backbone.config`."""
    if backbone.scratch is None:
        config = _from_pretrained(AutoConfig, backbone)
    else:
        name = backbone.scratch.architecture
        if name not in MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES:
            rule = "transformers has no such model with a head for question answering"
            raise ConfigError(f"backbone.scratch.architecture={name}: {rule}")
        config = AutoConfig.for_model(name, **options)
    if unknown := sorted(set(backbone.config) - set(config.to_dict())):
        raise ConfigError(f"backbone.config.{unknown[0]}: {config.model_type} has no such field")
    config.update(backbone.config)
    return config


def _from_pretrained(auto: Any, backbone: BackboneConfig, **options: Any) -> Any:
    """Load by the library's class `auto`, at the revision that is asked for."""
    name = backbone.pretrained
    options["trust_remote_code"] = False
    if backbone.revision is not None:
        options["revision"] = backbone.revision
    try:
        return auto.from_pretrained(name, **options)
    except ValueError as error:
        raise ConfigError(f"backbone.pretrained={name}: {error}") from error
    except OSError as error:
        remedy = "download it on a machine with a network and set the folder's path"
        fault = f"backbone.pretrained={name}: neither a local folder nor on the hub; {remedy}"
        raise FileNotFoundError(fault) from error
