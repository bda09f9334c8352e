"""The reader: any checkpoint, any form of call, the answers and probabilities of its model."""

import pickle
import re
import shutil
import subprocess
import sys
from itertools import count, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from transformers import AutoConfig, AutoModel, AutoModelForQuestionAnswering, AutoTokenizer

from chaii import Reader
from chaii.config.errors import ConfigError
from chaii.ensemble import answerer
from chaii.ensemble.answerer import find_checkpoints, load_answerer
from chaii.run_folder import Prediction

CONTEXT = "The river rises in the hills, and runs 320 km to the sea. It's long!"
QUESTION = "Where does the river rise?"
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 2, "max_position_embeddings": 512}


@pytest.fixture(scope="module")
def save_checkpoint(tokenizers, tmp_path_factory):
    """Save an untrained model as transformers alone does; returns its folder."""

    def save(kind="wordpiece", auto=AutoModelForQuestionAnswering):
        tokenizer = tokenizers[kind]
        options = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        folder = tmp_path_factory.mktemp("checkpoint")
        auto.from_config(AutoConfig.for_model("bert", **TINY, **options)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="module")
def reader(save_checkpoint):
    return Reader.from_pretrained(save_checkpoint(), precision="fp32")


@pytest.fixture(scope="module")
def demo_runs(train_demo, tmp_path_factory):
    """A folder of runs of three backbones, whose tokenizers differ."""
    output = tmp_path_factory.mktemp("reader")
    for backbone in ("muril", "xlmr", "rembert"):
        train_demo(output, f"experiment=demo_{backbone}")
    return output / "runs"


@pytest.mark.parametrize(
    ("precision", "most", "step"), [("bf16", 48, 16), ("bf16", 50, None), ("fp32", 48, None)]
)
def test_bfloat16_is_padded_to_few_lengths(save_checkpoint, monkeypatch, precision, most, step):
    steps, predict = [], answerer.predict_logits

    def note(*inputs, pad_to_multiple_of, **options):
        steps.append(pad_to_multiple_of)
        return predict(*inputs, pad_to_multiple_of=pad_to_multiple_of, **options)

    monkeypatch.setattr(answerer, "predict_logits", note)
    reader = Reader.from_pretrained(save_checkpoint(), precision=precision)
    reader(question="गंगा?", context="गंगा नदी", max_seq_len=most, doc_stride=8)
    assert steps == [step]


def test_nothing_heavy_is_imported_before_it_is_used():
    code = "import sys; from chaii import Reader; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_answer_is_a_slice_of_the_context_with_a_probability(reader):
    found = reader(question=QUESTION, context=CONTEXT)
    assert list(found) == ["score", "start", "end", "answer"]
    assert found["answer"] == CONTEXT[found["start"] : found["end"]] != ""
    assert 0 < found["score"] < 1


@pytest.mark.parametrize("windows", [{}, {"max_seq_len": 24, "doc_stride": 6}])
def test_the_probabilities_of_all_answers_add_up_to_one(reader, windows):
    for impossible in (False, True):
        options = {"align_to_words": False, "handle_impossible_answer": impossible, **windows}
        answers = reader(question=QUESTION, context=CONTEXT, top_k=5000, **options)
        assert sum(answer["score"] for answer in answers) == pytest.approx(1, abs=1e-4)
        assert ("" in [answer["answer"] for answer in answers]) == impossible


def test_answers_are_sorted_and_differ(reader):
    answers = reader(question=QUESTION, context=CONTEXT, top_k=8)
    scores = [answer["score"] for answer in answers]
    assert len({(answer["start"], answer["end"]) for answer in answers}) == 8
    assert scores == sorted(scores, reverse=True)


def test_answers_are_widened_to_words(reader):
    context = "Watersheds between mountainsides"  # words of several pieces
    for aligned in (True, False):
        answers = reader(question=QUESTION, context=context, top_k=20, align_to_words=aligned)
        letters = [
            context[place - 1 : place + 1].isalpha()
            for answer in answers
            for place in (answer["start"], answer["end"])
            if 0 < place < len(context)
        ]
        assert any(letters) != aligned


def test_an_answer_is_as_long_as_it_may_be(reader, tokenizers):
    options = {"top_k": 5000, "align_to_words": False}
    for most in (1, 4):
        answers = reader(question=QUESTION, context=CONTEXT, max_answer_len=most, **options)
        lengths = [len(tokenizers["wordpiece"].tokenize(answer["answer"])) for answer in answers]
        assert max(lengths) == most


def test_only_the_beginning_of_a_long_question_is_read(reader):
    long = "river " * 500
    short = reader(question="river " * 7, context=CONTEXT, max_question_len=5)
    assert reader(question=long, context=CONTEXT, max_question_len=5) == short
    assert reader(question=long, context=CONTEXT, max_question_len=1000)["answer"]


def test_lists_streams_and_columns_have_the_answers_of_single_calls(reader):
    contexts = [CONTEXT, CONTEXT[20:], "नदी लंबी है।"]
    single = [reader(question=QUESTION, context=context) for context in contexts]
    rows = [{"question": QUESTION, "context": context} for context in contexts]
    columns = {"question": np.array([QUESTION] * 3), "context": np.array(contexts)}
    batch = reader(columns)
    for answers in (
        reader(question=[QUESTION] * 3, context=contexts),
        reader(rows),
        list(reader(iter(rows))),
        [{name: batch[name][row] for name in single[0]} for row in range(3)],
        Dataset.from_list(rows).map(reader, batched=True).select_columns(list(single[0])).to_list(),
    ):
        for found, expected in zip(answers, single, strict=True):
            assert found["answer"] == expected["answer"]
            assert found["score"] == pytest.approx(expected["score"], rel=1e-3)


def test_one_context_serves_many_questions(reader):
    questions = [QUESTION, "How long is it?"]
    expected = [reader(question=question, context=CONTEXT)["answer"] for question in questions]
    answers = reader(question=questions, context=CONTEXT)
    assert [answer["answer"] for answer in answers] == expected


def test_an_endless_stream_is_answered_as_it_comes(reader):
    drawn = count()
    stream = ({"question": QUESTION, "context": f"{next(drawn)} km"} for _ in count())
    assert len(list(islice(reader(stream), 300))) == 300
    assert next(drawn) <= 512


@pytest.mark.parametrize(("question", "context"), [("", CONTEXT), (QUESTION, " "), ("", "")])
def test_without_text_there_is_no_answer(reader, question, context):
    empty = {"score": 0.0, "start": 0, "end": 0, "answer": ""}
    assert reader(question=question, context=context) == empty


@pytest.mark.slow
def test_a_context_of_a_million_characters_is_answered(reader):
    context = (CONTEXT + " ") * (1_000_000 // len(CONTEXT))
    found = reader(question=QUESTION, context=context)
    assert found["answer"] == context[found["start"] : found["end"]] != ""


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"question": QUESTION}, r"context: is missing"),
        ({"question": [QUESTION] * 2, "context": [CONTEXT]}, r"2 questions for 1 contexts"),
        ({"question": QUESTION, "context": CONTEXT, "top_k": 0}, r"top_k=0: must be at least 1"),
        ({"inputs": "a question"}, r"row 0: must hold question and context, is 'a'"),
        ({"inputs": [{"question": "a", "context": None}]}, r"row 0: context must be text, is None"),
        ({"question": QUESTION, "context": CONTEXT, "topk": 2}, r"topk"),
    ],
)
def test_a_wrong_call_is_told(reader, call, error):
    with pytest.raises((ValueError, TypeError), match=error):
        reader(**call)


def test_a_pickled_reader_answers_alike_and_carries_no_weights(reader):
    pickled = pickle.dumps(reader)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    assert copy(question=QUESTION, context=CONTEXT) == reader(question=QUESTION, context=CONTEXT)


def test_a_model_that_was_not_trained_to_answer_is_refused(save_checkpoint):
    with pytest.raises(ValueError, match=r"no extractive checkpoint: it lacks qa_outputs\.bias"):
        Reader.from_pretrained(save_checkpoint(auto=AutoModel))


def test_an_unknown_source_is_told(tmp_path):
    error = "no run in data/runs, no ensemble in conf, no checkpoint"
    with pytest.raises(FileNotFoundError, match=error):
        Reader.from_pretrained(tmp_path)


@pytest.mark.parametrize("source", ["fold", "run", "name"])
def test_a_run_gives_the_answers_that_it_was_scored_on(demo_runs, source):
    fold = demo_runs / "demo_muril" / "fold0"
    given = {"fold": fold, "run": fold.parent, "name": "demo_muril"}[source]
    reader = Reader.from_pretrained(given, runs=demo_runs, precision="fp32")
    rows = Prediction.load(fold / "logits").examples
    expected = pd.read_parquet(fold / "oof.parquet")["prediction"]
    answers = reader(rows.select_columns(["question", "context"]).to_list(), align_to_words=False)
    assert [answer["answer"] for answer in answers] == expected.to_list()


def test_exports_give_the_answers_of_the_run(demo_runs, run_script):
    fold = demo_runs / "demo_muril" / "fold0"
    with pytest.raises(ConfigError, match=r"run: python scripts/export.py .*fold0$"):
        Reader.from_pretrained(fold, precision="onnx")
    status, printed, errors = run_script("export", fold)
    assert (status, printed.count("logits are within")) == (0, 1), errors
    rows = Prediction.load(fold / "logits").examples.select_columns(["question", "context"])
    exact, exported, rounded = (
        Reader.from_pretrained(fold, precision=name)(rows.to_list(), top_k=2)
        for name in ("fp32", "onnx", "onnx_int8")
    )
    for found, expected in zip(exported, exact, strict=True):
        assert [one["answer"] for one in found] == [one["answer"] for one in expected]
        assert found[0]["score"] == pytest.approx(expected[0]["score"], rel=2e-3)
    scores, others = ([one[0]["score"] for one in answers] for answers in (rounded, exact))
    assert np.abs(np.divide(scores, others) - 1).max() > 5e-3
    assert np.corrcoef(scores, others)[0, 1] > 0.9


def test_an_export_of_a_checkpoint_is_checked_on_rows_that_are_given(
    save_checkpoint, run_script, tmp_path, monkeypatch
):
    folder, file = save_checkpoint(), tmp_path / "rows.jsonl"
    file.write_text('{"question": "Where?", "context": "Here it is."}\n{"question": "Who?"}')
    monkeypatch.setattr(
        "chaii.model.onnx.export_model", lambda *_, windows, **__: (0, len(windows))
    )
    for arguments, error in (
        ([], "has no held-out rows; name a file of others by --rows"),
        (["--rows", file], f"{file}, row 2: context must be text"),
    ):
        status, _, errors = run_script("export", folder, *arguments)
        assert status == 1
        assert error in errors
    file.write_text(file.read_text().partition("\n")[0])
    status, printed, _ = run_script("export", folder, "--rows", file)
    assert (status, printed.partition(" logits")[0]) == (0, f"{folder}/onnx: on 1 windows the")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"precision": "int8"}, "precision=int8: is gone; write an export by scripts/export.py"),
        ({"precision": "onnx_int4"}, "must be one of auto, fp32, bf16, fp16, onnx, onnx_int8$"),
        (
            {"precision": "onnx", "device": "cuda"},
            "device=cuda: precision=onnx computes on the CPU",
        ),
    ],
)
def test_a_precision_that_cannot_be_is_told(save_checkpoint, arguments, error):
    with pytest.raises(ValueError, match=error):
        Reader.from_pretrained(save_checkpoint(), **arguments)


@pytest.mark.parametrize("method", [None, "vote", "fusion"])
def test_backbones_vote_or_are_fused(demo_runs, method):
    reader = Reader.from_pretrained(["demo_muril", "demo_xlmr"], runs=demo_runs, method=method)
    found = reader(question=QUESTION, context=CONTEXT)
    assert found["answer"]
    assert 0 < found["score"] <= 1
    with pytest.raises(ValueError, match="top_k: only where all checkpoints are of one backbone"):
        reader(question=QUESTION, context=CONTEXT, top_k=2)


@pytest.mark.parametrize("method", ["vote", "fusion"])
def test_an_ensemble_answers_as_its_submission(demo_runs, ensemble_demo, method):
    weights = "+method.weights.tiny_xlmr=2.5"
    path = ensemble_demo(demo_runs.parent, f"method={method}", weights, "precision=fp32")
    file = path.parent / "method" / f"{path.stem}.yaml"
    reader = Reader.from_pretrained("demo", runs=demo_runs, method=file, precision="fp32")
    rows = pd.read_csv(demo_runs.parent / "demo/chaii/test.csv", keep_default_na=False)
    answers = reader(rows[["question", "context"]].to_dict("records"))
    expected = pd.read_csv(path, keep_default_na=False)["PredictionString"]
    found = [" ".join(answer["answer"].split()) for answer in answers]
    assert found == expected.to_list()


def test_a_method_that_does_not_fit_is_refused(demo_runs, tmp_path):
    file, runs = tmp_path / "method.yaml", ["demo_muril", "demo_xlmr"]
    for text, error in (
        ("weights: {muril: 2.0}", "method.weights: 'muril' is none of tiny_muril, tiny_xlmr"),
        ("kind: auto", "kind auto is chosen by scripts/ensemble.py alone"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=error):
            Reader.from_pretrained(runs, runs=demo_runs, method=file)


def test_a_window_longer_than_the_model_reads_is_refused(demo_runs):
    reader = Reader.from_pretrained("demo_muril", runs=demo_runs)
    with pytest.raises(ValueError, match=r"max_seq_len=5000: must be at most \d+") as refused:
        reader(question=QUESTION, context=CONTEXT, max_seq_len=5000)
    most = int(re.findall(r"at most (\d+)", str(refused.value))[0])
    assert reader(question=QUESTION, context=CONTEXT, max_seq_len=most)["answer"]


def test_an_unfinished_fold_is_refused(demo_runs, tmp_path):
    fold = tmp_path / "run" / "fold0"
    shutil.copytree(demo_runs / "demo_muril/fold0", fold)
    (fold / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match="the fold is not finished"):
        Reader.from_pretrained(fold)


def test_logits_are_averaged_inside_a_tokenizer(save_checkpoint):
    one, two = save_checkpoint(), save_checkpoint()
    first, second, both = (
        Reader.from_pretrained(source, precision="fp32")(question=QUESTION, context=CONTEXT)
        for source in (one, two, [one, two])
    )
    assert first["score"] != both["score"] != second["score"]


def test_the_example_of_the_readme_runs(demo_runs, capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(from chaii import Reader.*?)```", readme, re.DOTALL)
    assert len(code.splitlines()) <= 6
    exec(code.replace("data/runs", str(demo_runs)))
    assert capsys.readouterr().out.count("score") == 3


def test_the_members_of_an_ensemble_have_its_weights(demo_runs, tmp_path):
    conf = shutil.copytree(Path(__file__).parents[1] / "conf", tmp_path / "conf")
    with (conf / "ensemble/demo.yaml").open("a", encoding="utf-8") as file:
        file.write("weights: {demo_xlmr: 3.0}\n")
    found = find_checkpoints("demo", runs=demo_runs, conf=conf)
    assert {(one.group, one.weight) for one in found} == {
        ("tiny_muril", 1.0),
        ("tiny_xlmr", 3.0),
        ("tiny_rembert", 1.0),
    }


@pytest.mark.parametrize(("positions", "window"), [(512, (384, 128)), (100, (100, 50))])
def test_a_plain_checkpoint_is_read_in_windows_that_fit_it(save_checkpoint, positions, window):
    folder = save_checkpoint()
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=positions)
    tokenizer.save_pretrained(folder)
    options = {"method": None, "device": None, "precision": "fp32", "batch_size": None}
    answerer = load_answerer(folder, **options, runs="gone", conf="gone")
    [[loaded]] = answerer.groups.values()
    assert (loaded.max_length, loaded.doc_stride) == window
    assert loaded.checkpoint.max_answer_tokens == 30


def test_twenty_spans_are_widened_to_words(reader, monkeypatch):
    asked = []
    decode = answerer.decode_n_best

    def spy(logits, *, n, decoding):
        asked.append(n)
        return decode(logits, n=n, decoding=decoding)

    monkeypatch.setattr(answerer, "decode_n_best", spy)
    reader(question=QUESTION, context=CONTEXT)
    reader(question=QUESTION, context=CONTEXT, top_k=30)
    reader(question=QUESTION, context=CONTEXT, top_k=3, align_to_words=False)
    assert asked == [20, 30, 3]
