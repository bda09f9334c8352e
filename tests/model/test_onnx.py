"""ONNX: exports that compute what torch computes, for any batch and length, or none at all."""

import shutil
import sys

import numpy as np
import pytest

from chaii.config.errors import ConfigError
from chaii.config.schema import Precision, TokenizerKind
from chaii.model import onnx
from chaii.model.onnx import EXPORTS, OnnxModel, export_model
from chaii.model.predict import predict_logits


@pytest.fixture(scope="module")
def export(make_model, toy_plan, toy_store, tmp_path_factory):
    """Export a tiny model once; returns the folder, and what `export_model` found."""
    done = {}

    def once(kind):
        if kind not in done:
            folder = tmp_path_factory.mktemp("run") / "onnx"
            work = {"windows": toy_plan[kind], "store": toy_store[kind]}
            done[kind] = folder, *export_model(make_model(kind), folder, **work)
        return done[kind]

    return once


SLOW = {TokenizerKind.wordpiece, TokenizerKind.unigram_bert}  # an export takes seconds at any size
KINDS = [pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW)) for kind in TokenizerKind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_has_the_logits_of_torch_for_any_batch(
    kind, export, make_model, toy_plan, toy_store
):
    folder, difference, same = export(kind)
    assert 0 < difference < 1e-4
    assert 0.5 < same <= 1
    model, plan = make_model(kind), toy_plan[kind]
    exported, rounded = (OnnxModel(folder / file, model.config) for file in EXPORTS.values())
    for windows, batch_size in ((plan.head(1), 1), (plan, 7)):
        expected, found, coarse = (
            predict_logits(
                one, windows, toy_store[kind], batch_size=batch_size, precision=Precision.fp32
            )
            for one in (model, exported, rounded)
        )
        for side in (0, 1, 2):
            np.testing.assert_allclose(found[side], expected[side], atol=1e-3)
        error = abs(coarse.start.astype(float) - expected.start).max()
        assert 0 < error < 0.2 * expected.start.astype(float).std() + 0.05


def test_other_logits_are_refused_and_nothing_is_written(
    export, make_model, toy_plan, toy_store, tmp_path, monkeypatch
):
    kind = TokenizerKind.unigram
    model, exported = make_model(kind), export(kind)[0] / "model.onnx"
    monkeypatch.setattr(onnx, "_write_graph", lambda _, file: shutil.copy(exported, file))
    model.qa_outputs.bias.data += 0.01
    work = {"windows": toy_plan[kind], "store": toy_store[kind]}
    with pytest.raises(ValueError, match=r"not written: logits must be within 0.001 of torch's"):
        export_model(model, tmp_path / "onnx", **work)
    assert not list(tmp_path.iterdir())


def test_an_export_that_is_missing_or_damaged_is_told(tmp_path):
    file = tmp_path / "fold0/onnx/model.onnx"
    with pytest.raises(ConfigError, match=f"run: python scripts/export.py {tmp_path}/fold0$"):
        OnnxModel(file, None)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"torn")
    with pytest.raises(ValueError, match=rf"{file}: cannot be read: "):
        OnnxModel(file, None)


@pytest.mark.parametrize("module", ["onnxruntime", "onnxscript"])
def test_a_library_that_is_missing_is_told(module, make_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    model, file = make_model(TokenizerKind.wordpiece), tmp_path / "model.onnx"
    use = {"onnxruntime": OnnxModel, "onnxscript": lambda *_: onnx._write_graph(model, file)}
    with pytest.raises(ConfigError, match=r"pip install onnx onnxruntime onnxscript$"):
        use[module](file, None)
