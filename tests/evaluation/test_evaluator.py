"""The settings of prediction reach the evaluator's windows, model and answers."""

from types import SimpleNamespace

import numpy as np
import pytest

from chaii.config.schema import Precision
from chaii.evaluation import evaluator as module
from chaii.evaluation.evaluator import Evaluator
from chaii.evaluation.oof_table import read_oof_table
from chaii.model.predict import WindowLogits
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction, RunFolder

CONTEXT = " ".join(f"w{number}" for number in range(60))


@pytest.fixture
def examples(make_examples):
    return make_examples([("q?", CONTEXT, "w3", 9), ("q?", CONTEXT, "w50", 194)])


@pytest.fixture
def calls(monkeypatch):
    """What the model is asked for; its best answers begin a window and are as long as may be."""
    calls = []

    def predict(_model, windows, store, **settings):
        calls.append({"windows": windows, "store": store, **settings})
        width = (windows["context_to"] - windows["context_from"]).to_numpy()
        start, end = np.zeros((2, width.sum()), np.float16)
        start[np.cumsum(width) - width] = 9
        end[:] = np.concatenate([np.arange(size) for size in width]) / 50
        return WindowLogits(start, end, np.zeros((len(windows), 2), np.float16))

    monkeypatch.setattr(module, "predict_logits", predict)
    return calls


@pytest.fixture
def evaluate(examples, tokenizers, tmp_path, calls):
    """Evaluate with some settings of the recipe and the trainer; return the model's call."""

    def run(*, run=None, **changes):
        recipe = {"predict_max_length": 40, "predict_doc_stride": 10}
        trainer = {"predict_batch_size": 8, "precision": Precision.fp32, "max_answer_tokens": 5}
        config = SimpleNamespace(
            recipe=SimpleNamespace(**recipe | {k: v for k, v in changes.items() if k in recipe}),
            trainer=SimpleNamespace(**trainer | {k: v for k, v in changes.items() if k in trainer}),
            paths=SimpleNamespace(tokens=str(tmp_path / "tokens")),
            verify=changes.get("verify", False),
        )
        scores = Evaluator(config, examples, tokenizers["wordpiece"]).evaluate(None, run=run)
        return calls[-1], scores

    return run


@pytest.mark.parametrize(("max_length", "doc_stride"), [(40, 10), (64, 10), (40, 20)])
def test_windows_have_the_length_and_stride_of_the_recipe(evaluate, max_length, doc_stride):
    call, _ = evaluate(predict_max_length=max_length, predict_doc_stride=doc_stride)
    expected = slide(call["store"], max_length=max_length, doc_stride=doc_stride)
    assert call["windows"].equals(expected)


@pytest.mark.parametrize(
    ("setting", "values"),
    [("predict_batch_size", (8, 3)), ("precision", (Precision.fp32, Precision.bf16))],
)
def test_the_model_runs_as_the_trainer_is_set(evaluate, setting, values):
    for value in values:
        call, _ = evaluate(**{setting: value})
        assert call[setting.removeprefix("predict_")] == value


def test_no_answer_is_longer_than_the_trainer_allows(evaluate, tmp_path):
    longest = {}
    for most in (2, 5, 30):
        run = RunFolder(tmp_path, f"run{most}", "0")
        evaluate(run=run, max_answer_tokens=most)
        lengths = read_oof_table([run.oof])["prediction"].str.len()
        longest[most] = lengths.max()
    assert longest[2] < longest[5] < longest[30]


def test_the_run_folder_gets_logits_and_answers(evaluate, examples, tmp_path):
    run = RunFolder(tmp_path, "run", "0")
    _, scores = evaluate(run=run)
    table = read_oof_table([run.oof])
    assert table["id"].tolist() == examples["id"][:]
    assert Prediction.load(run.logits).examples["id"][:] == examples["id"][:]
    assert table["jaccard"].mean() == scores["jaccard"]


def test_without_a_run_folder_nothing_is_written(evaluate, tmp_path):
    evaluate()
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_verify_compares_every_byte_of_the_token_store(evaluate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("chaii.recipe.token_store._SMALL", 0)
    evaluate()
    file = next((tmp_path / "tokens").rglob("input_ids.bin"))
    content = bytearray(file.read_bytes())
    file.write_bytes(bytes([content[0] ^ 1, *content[1:]]))
    for verify, notices in ((False, 0), (True, 1)):
        evaluate(verify=verify)
        assert capsys.readouterr().out.count("damaged") == notices
