"""Every shipped backbone at its true size, built from its published configuration.

Weights are random: this shows that size, number format and files fit, not what a model knows.
"""

from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForQuestionAnswering

CONF = Path(__file__).parents[2] / "conf" / "backbone"
LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
XLMR = {"vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1}
REMBERT = {
    "vocab_size": 250300,
    "hidden_size": 1152,
    "intermediate_size": 4608,
    "num_hidden_layers": 32,
    "num_attention_heads": 18,
    "input_embedding_size": 256,
    "output_embedding_size": 1664,
}
MDEBERTA = {
    "vocab_size": 251000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
}
MMBERT = {
    "vocab_size": 256000,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "max_position_embeddings": 8192,
}

# backbone: model type, what differs from its defaults (BERT base), millions of parameters
SIZES = {
    "muril_base": ("bert", {"vocab_size": 197285}, 237),
    "muril_large": ("bert", {"vocab_size": 197285, **LARGE}, 505),
    "rembert": ("rembert", REMBERT, 575),
    "xlmr_base": ("xlm-roberta", XLMR, 277),
    "xlmr_large": ("xlm-roberta", XLMR | LARGE, 559),
    "xlmr_large_squad2": ("xlm-roberta", XLMR | LARGE, 559),
    "infoxlm_base": ("xlm-roberta", XLMR, 277),
    "infoxlm_large": ("xlm-roberta", XLMR | LARGE, 559),
    "mdeberta_v3_base": ("deberta-v2", MDEBERTA, 278),
    "indicbert_v2": ("bert", {"vocab_size": 250000}, 278),
    "mmbert_base": ("modernbert", MMBERT, 307),
}


def build(backbone):
    model_type, fields, _ = SIZES[backbone]
    config = AutoConfig.for_model(model_type, **fields)
    return AutoModelForQuestionAnswering.from_config(config, dtype=torch.bfloat16)


def test_every_pretrained_backbone_has_its_size_here():
    backbones = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
    pretrained = {name for name, backbone in backbones.items() if "pretrained" in backbone}
    assert pretrained - {"minilm"} == set(SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SIZES)
def test_a_backbone_has_its_true_size_takes_a_step_and_is_read_back(backbone, tmp_path):
    torch.manual_seed(0)
    model = build(backbone).train()
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert millions == pytest.approx(SIZES[backbone][2], rel=0.01)

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    ids = torch.randint(10, 1000, (2, 24))
    positions = torch.tensor([3, 5])
    before = model.qa_outputs.weight.clone() if hasattr(model, "qa_outputs") else None
    loss = model(input_ids=ids, start_positions=positions, end_positions=positions + 2).loss
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    if before is not None:
        assert not torch.equal(before, model.qa_outputs.weight)

    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    again = AutoModelForQuestionAnswering.from_pretrained(tmp_path, dtype=torch.bfloat16)
    for (name, one), other in zip(
        model.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
