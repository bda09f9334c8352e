"""Each error of a setting or a file is one line that names it."""

from pathlib import Path

import pytest

from chaii.config.compose import compose_config
from chaii.config.errors import EXPECTED, describe_error, one_line_errors

CONF = Path(__file__).parents[2] / "conf"
OVERRIDES = {
    "trainer.num_worker=3": "trainer.num_worker: no such setting; is num_workers meant?",
    "bacbone=tiny_muril": "bacbone: no such setting; is backbone meant?",
    "backbone=tiny_mural": "backbone=tiny_mural: conf/ has no backbone/tiny_mural.yaml; "
    "is tiny_muril meant?",
    "trainer.logging_steps=many": "trainer.logging_steps: Value 'many' of type 'str' could not be "
    "converted to Integer",
    "folds.scheme=random": "folds.scheme: Invalid value 'random', expected one of",
    "trainer.precision=int8": "trainer.precision=int8: is gone; write an export by "
    "scripts/export.py, read it by Reader(..., precision='onnx_int8')",
    "backbone.config.layers=2": "backbone.config.layers: not set yet; "
    "+backbone.config.layers=... adds it",
    "name=a=b": "name=a=b: no override of the form key=value",
    "fold": "fold: no override of the form key=value",
    "trainer.batch_size=8": "trainer.batch_size: has a new name, "
    "trainer.per_device_train_batch_size",
    "recipe.stages.0.ingredients=[]": "recipe.stages[0].ingredients: has a new name, "
    "recipe.stages.0.sources",
    "trainer=old": "trainer/old.yaml: trainer.workers: has a new name, trainer.num_workers",
    "recipe=old": "recipe/old.yaml: stride: has a new name, doc_stride",
    "recipe=torn": "recipe/torn.yaml, line 2: ",
}
FILES = {
    "trainer/old.yaml": "workers: 2",
    "recipe/old.yaml": "stages: [{sources: [{corpus: chaii, max_length: 96, stride: 32}]}]",
    "recipe/torn.yaml": "stages: [\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of YAML files with faults."""
    folder = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("override", "line"), OVERRIDES.items())
def test_an_override_that_does_not_fit_is_one_line(override, line, folder):
    with pytest.raises(EXPECTED) as caught:
        compose_config(CONF, "train", [f"hydra.searchpath=[{folder}]", override])
    described = describe_error(caught.value)
    assert line in described
    assert "\n" not in described


def test_an_error_of_the_system_names_the_file(tmp_path):
    with pytest.raises(SystemExit, match=f"error: {tmp_path}: Is a directory"), one_line_errors():
        tmp_path.read_text()


def test_a_fault_of_the_code_keeps_its_traceback():
    with pytest.raises(TypeError), one_line_errors():
        len(3)
