"""ONNX: a trained model as a file that ONNX Runtime computes, in float32 and in 8-bit integers."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from chaii.config.errors import ConfigError
from chaii.config.schema import Precision
from chaii.files import reading, write_whole
from chaii.model.collate import takes_type_ids
from chaii.model.predict import run_batches
from chaii.recipe.token_store import TokenStore

EXPORTS = {"onnx": "model.onnx", "onnx_int8": "model_int8.onnx"}  # by the precision of a reader
MOST_DIFFERENCE = 1e-3  # of a logit of the float32 export from torch's
_BATCH = 8  # windows; some are padded


class OnnxModel:
    """An export that takes the place of the torch model in `predict_logits`, on the CPU.

    It computes with as many threads as torch is set to when it is made.

    Raises:
        ConfigError: ONNX Runtime is not installed, or there is no such file.
        ValueError: the file is damaged.
    """

    device = torch.device("cpu")

    def __init__(self, file: Path, config: Any) -> None:
        runtime = _need("onnxruntime")
        if not file.is_file():
            source = file.parents[1]
            raise ConfigError(f"{file}: not exported yet; run: python scripts/export.py {source}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.config = config
        providers = ["CPUExecutionProvider"]
        with reading(file):
            self._session = runtime.InferenceSession(file, options, providers=providers)

    def eval(self) -> Self:
        """Return the model: it has no dropout."""
        return self

    def __call__(self, **inputs: torch.Tensor) -> QuestionAnsweringModelOutput:
        """Compute the logits of a batch."""
        arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
        start, end = map(torch.from_numpy, self._session.run(None, arrays))
        return QuestionAnsweringModelOutput(start_logits=start, end_logits=end)


def export_model(
    model: PreTrainedModel, folder: Path, *, windows: pd.DataFrame, store: TokenStore
) -> tuple[float, float]:
    """Write the float32 and the 8-bit export of a model into `folder`, once the first is checked.

    The logits of `windows` by the float32 export are compared with torch's. In the 8-bit export
    the weights of linear layers are rounded, each output channel on its own scale, and those of
    embeddings on one scale; inputs of linear layers are rounded as they come, on one scale each.

    Returns:
        The largest difference of a logit of the float32 export, and the share of windows in which
        the 8-bit export has its largest start and end logit at the same tokens as torch.

    Raises:
        ConfigError: a library is not installed.
        ValueError: a logit differs by more than `MOST_DIFFERENCE`; nothing is written.
    """
    quantization = _need("onnxruntime.quantization")
    model = model.eval().float().cpu()
    expected = _read_logits(model, windows, store)
    with write_whole(folder) as building, _quiet():
        building.mkdir()
        plain, rounded = (building / EXPORTS[name] for name in ("onnx", "onnx_int8"))
        _write_graph(model, plain)
        found = _read_logits(OnnxModel(plain, model.config), windows, store)
        difference = max(float(abs(a - b).max()) for a, b in zip(expected, found, strict=True))
        if not difference <= MOST_DIFFERENCE:
            rule = f"logits must be within {MOST_DIFFERENCE:g} of torch's, differ by"
            raise ValueError(f"{folder}: not written: {rule} {difference:.1e}")
        kind = quantization.QuantType.QInt8
        quantization.quantize_dynamic(plain, rounded, weight_type=kind, per_channel=True)
        found = _read_logits(OnnxModel(rounded, model.config), windows, store)
        places = zip(expected, found, strict=True)
        same = [np.array_equal(a.argmax(axis=1), b.argmax(axis=1)) for a, b in places]
    return difference, float(np.mean(same))


def _read_logits(model: Any, windows: pd.DataFrame, store: TokenStore) -> list[Any]:
    """Compute the start and end logits of each window, ``(2, tokens)``, without padding."""
    logits: list[Any] = [None] * len(windows)
    length = windows["length"].to_numpy()
    for rows, *sides in run_batches(
        model, windows, store, batch_size=_BATCH, precision=Precision.fp32, progress=False
    ):
        for row, *both in zip(rows, *sides, strict=True):
            logits[row] = np.stack(both)[:, : length[row]]
    return logits


def _write_graph(model: PreTrainedModel, file: Path) -> None:
    """Write a model as ONNX, for any number of windows of any length.

    torch.export, by which torch exports since 2.9, proves that nothing of the graph depends on the
    batch and the length of the example; the older exporter by tracing cannot, and is to be removed.
    """
    _need("onnxscript")
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * takes_type_ids(model)
    example = {name: torch.ones(2, 16, dtype=torch.int64) for name in names}
    any_size = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")  # ONNX Runtime computes these products fastest
    torch.onnx.export(
        model,
        kwargs=example,
        f=file,
        input_names=names,
        output_names=["start_logits", "end_logits"],
        dynamic_shapes=dict.fromkeys(names, any_size),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model.set_attn_implementation(attention)


def _need(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        remedy = "the extra [onnx] holds it: pip install onnx onnxruntime onnxscript"
        raise ConfigError(f"ONNX: {error}; {remedy}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporters say about their own workings."""
    with warnings.catch_warnings(action="ignore"):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
