"""A student of finished runs, through its script: an ordinary run, with what its teachers say."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from chaii import Reader
from chaii.run_folder import RunFolder

FAST = ("max_examples=40", "trainer.max_steps=8", "trainer.num_evaluations=2", "name=student")


@pytest.fixture
def runs(demo_run, tmp_path):
    """A folder with one finished run."""
    shutil.copytree(demo_run.path, tmp_path / "runs/demo_muril/fold0")
    return tmp_path / "runs"


@pytest.fixture
def overrides(demo_run, runs, tmp_path):
    """What a student of the finished run sets; its corpora and tokens are shared."""
    paths = f"paths.output={demo_run.root.parent}", f"paths.runs={runs}"
    own = f"paths.predictions={tmp_path}/predictions", "distill.teachers=[demo_muril]"
    return [*FAST, *paths, *own]


@pytest.fixture
def distill(run_script, runs, overrides):
    """Run the script; returns the student's run and what is printed."""

    def run(*more):
        status, printed, errors = run_script("distill", *overrides, *more)
        assert status == 0, errors
        return RunFolder(runs, "student", "0"), printed

    return run


def read_weights(run):
    return (run.model / "model.safetensors").read_bytes()


def test_a_student_of_another_tokenizer_is_an_ordinary_run(distill, tmp_path):
    run, printed = distill("experiment=demo_xlmr", "backbone.config.num_hidden_layers=1")
    assert "a student of demo_muril, whose share of the loss is 0.5, at temperature 2" in printed
    names = {path.name for path in run.path.iterdir()}
    assert {"metrics.json", "model", "oof.parquet", "logits"} <= names
    assert "checkpoints" not in names
    assert run.read_config().distill.teachers == ["demo_muril"]
    assert not [name for name in load_file(run.model / "model.safetensors") if "layer.1." in name]
    answer = Reader(run.path)(question="कौन?", context="गंगा नदी की लंबाई 2525 किलोमीटर है।")
    assert 0 <= answer["score"] <= 1
    assert list(Path(tmp_path, "predictions").iterdir()) == [tmp_path / "predictions/demo_muril"]


def test_a_weight_of_0_is_the_plain_run_bit_by_bit(distill, demo_run, tmp_path):
    run, _ = distill("distill.weight=0")
    assert read_weights(run) == read_weights(demo_run)
    assert run.oof.read_bytes() == demo_run.oof.read_bytes()
    assert not (tmp_path / "predictions").exists()


def stop(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_student_goes_on_and_other_teachers_are_refused(
    distill, run_script, overrides, demo_run, runs, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("chaii.train.train_model", stop)
        assert run_script("distill", *overrides)[0] == 130
    student = RunFolder(runs, "student", "0")
    plan = pd.read_parquet(student.plan)
    assert student.read_teacher().shape == (
        2,
        (plan["context_to"] - plan["context_from"] + 1).sum(),
    )
    file = runs / "demo_muril/fold0/model/config.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + " ", encoding="utf-8")
    _, _, errors = run_script("distill", *overrides)
    assert "what is read of them, or the teachers have changed since" in errors
    file.write_text(text, encoding="utf-8")
    assert (
        "distill.weight=0.5 (now 0.7)" in run_script("distill", *overrides, "distill.weight=0.7")[2]
    )
    reading = "chaii.ensemble.members.predict_logits"
    monkeypatch.setattr(reading, lambda *_, **__: pytest.fail("read anew"))
    run, _ = distill()
    assert read_weights(run) != read_weights(demo_run)
    assert run.read_teacher() is None
