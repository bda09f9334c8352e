"""Benchmarks: each shows that both ways agree, and refuses where they do not."""

import json

import numpy as np
import pandas as pd
import pytest

from chaii.run_folder import Prediction, RunFolder


@pytest.fixture
def corpora(load):
    """Made documents with a question each, and contexts shared by questions."""
    made = load("made")
    return [made.make_examples(3, words=900), made.make_examples(2, words=400, questions=4)]


def test_prepared_windows_and_labels_equal_the_standard_ones(load, corpora, tmp_path):
    prepare, tokenizer = load("prepare"), load("made").make_tokenizer()
    for examples in corpora:
        assert prepare.check_equal(examples, tokenizer, tmp_path) > len(examples)


def test_other_windows_are_refused(load, corpora, tmp_path, monkeypatch):
    prepare, tokenizer = load("prepare"), load("made").make_tokenizer()
    monkeypatch.setattr(prepare, "NEGATIVES", 1.0)
    slide = prepare.slide
    monkeypatch.setattr(prepare, "slide", lambda *args, **kw: slide(*args, **kw).iloc[::-1])
    with pytest.raises(ValueError, match="length 256: windows of example 2 differ"):
        prepare.check_equal(corpora[0], tokenizer, tmp_path)


def test_the_places_of_answers_are_counted_on_tydi_too(load, tmp_path, monkeypatch, capsys):
    question = {"id": "english-1-1", "question": "Where was Ravi born?"}
    question["answers"] = [{"text": "Pune", "answer_start": 30}]
    paragraph = {"context": "Pune is old. Ravi was born in Pune.", "qas": [question]}
    (tmp_path / "tydiqa_goldp").mkdir()
    text = json.dumps({"data": [{"title": "Pune", "paragraphs": [paragraph]}]})
    (tmp_path / "tydiqa_goldp/dev.json").write_text(text)
    monkeypatch.setenv("CHAII_DATA", str(tmp_path))
    load("labels").main()
    cells = capsys.readouterr().out.splitlines()[2].strip("| ").split("|")
    assert [cell.strip() for cell in cells] == ["dev", "1", "1", "0.000", "1.000"]


def test_batches_equal_the_standard_ones(load, corpora, tmp_path):
    feeding, tokenizer = load("feeding"), load("made").make_tokenizer()
    assert feeding.check_equal(corpora[0], tokenizer, tmp_path) >= 2


def test_other_batches_are_refused(load, corpora, tmp_path, monkeypatch):
    feeding, tokenizer = load("feeding"), load("made").make_tokenizer()
    make = feeding.make_ours
    monkeypatch.setattr(feeding, "make_ours", lambda *args, **_: make(*args, rate=0.5))
    with pytest.raises(ValueError, match="batch 0: input_ids differ"):
        feeding.check_equal(corpora[0], tokenizer, tmp_path)


def test_windows_merged_as_in_the_run_give_its_score(load, demo_run):
    scores = load("merging").score_merges(demo_run).groupby("arm")["jaccard"].mean()
    assert scores["odds"] == pytest.approx(demo_run.read_metrics()["jaccard"])
    assert set(scores.index) == {"max", "mean", "odds", "none"}


def test_decoded_answers_are_no_worse_than_the_standard_ones(load):
    decode = load("decode")
    case = decode.make_case(120)
    assert decode.check_no_worse(case, decode.pad_standard(case)) > 0.5


def test_worse_answers_are_refused(load):
    decode = load("decode")
    case = decode.make_case(30)
    standard = decode.pad_standard(case)
    standard["start_logits"] += 5
    with pytest.raises(ValueError, match="answers are worse"):
        decode.check_no_worse(case, standard)


def test_disk_space_is_compared_over_the_same_windows(load, monkeypatch):
    scale = load("scale")
    line = scale.compare_disk("a few", 2, 8)
    assert line.value > 3
    monkeypatch.setattr(scale, "RECIPE", scale.RecipeConfig(stages=scale.RECIPE.stages[:2]))
    with pytest.raises(ValueError, match="the other way"):
        scale.compare_disk("a few", 1, 1)


def test_padding_is_below_that_of_random_order(load, tmp_path):
    padding = load("padding")
    recipe, stores = padding.read_recipe(), padding.make_stores(tmp_path, share=1000)
    plan = padding.plan_windows(recipe, stores)
    line = padding.compare_padding(recipe, plan, batch_size=8)
    shuffled = plan.sample(frac=1, random_state=0, ignore_index=True)
    assert line.value < padding.compare_padding(recipe, shuffled, batch_size=8).value


def test_a_script_that_ends_otherwise_is_refused(load):
    startup = load("startup")
    assert 0 < startup.run_script(["fold=99"], 1, "fold=99") < 60
    with pytest.raises(ValueError, match="ended with 1"):
        startup.run_script(["fold=99"], 0, "fold=99")


def test_a_ratio_is_that_of_the_middle_pair(load):
    measure = load("measure")
    line = measure.compare("x", [1.0, 2.0, 1.0], [3.0, 4.0, 10.0], at_least=3)
    assert (line.value, line.met) == (3.0, True)
    inverse = measure.compare("x", [3.0], [2.0], inverse=True, at_most=1.3)
    assert (inverse.value, inverse.met) == (1.5, False)
    assert measure.compare("x", [1.0], [1.0]).met is None


def test_ways_run_in_turns(load):
    calls = []
    seconds = load("measure").alternate(lambda: calls.append("a"), lambda: calls.append("b"))
    assert calls == ["a", "b"] * 5
    assert [len(way) for way in seconds] == [5, 5]


def test_the_table_is_written_from_the_results(load, tmp_path, monkeypatch):
    measure, table = load("measure"), load("table")
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(table, "HERE", tmp_path)
    line = measure.Line("a way", "1 s", "9 s", 9.0, at_least=10, note="the limit")
    measure.report(3, "Feeding", [line], name="feeding")
    measure.report(4, "Padding", [line], name="padding", quick=True)  # leaves no result
    (tmp_path / "results" / "other.json").write_text(json.dumps({"machine": "?"}))
    page = tmp_path / "README.md"
    page.write_text(f"head\n{table.BEGIN}\nold\n{table.END}\ntail\n")
    table.main()
    text = page.read_text()
    assert text.startswith("head\n")
    assert text.endswith("tail\n")
    assert "old" not in text
    assert "Padding" not in text
    assert "### 3 Feeding" in text
    row = next(row for row in text.splitlines() if "a way" in row)
    cells = ["a way", "1 s", "9 s", "9x", "at least 10x: **not met**", "1"]
    assert [cell.strip() for cell in row.strip("|").split("|")] == cells
    assert "1. the limit" in text


def test_the_hardware_is_escaped(load):
    hardware = {"cpu": "<b>|x\n# y", "cores": 2, "gpus": ["[a](b)"]}
    line = load("table").describe_machine(
        {"hardware": hardware, "python": "3", "versions": {}, "commit": None}
    )
    assert line.startswith(r"&lt;b&gt;\|x # y, 2 cores, \[a\](b)")


def test_the_costs_of_formats_are_drawn_with_their_front(load):
    cost = load("cost")
    quality = {"against torch fp32": "", "equal answers": ""}
    points = {  # the second is beaten by the first on every cost
        ("a", "torch fp32"): {"1 thread": 1.0, "2 threads": 1.0, "MB": 4.0, "Jaccard": 0.6},
        ("a", "ONNX fp32"): {"1 thread": 2.0, "2 threads": 2.0, "MB": 5.0, "Jaccard": 0.6},
        ("b", "ONNX int8"): {"1 thread": 0.5, "2 threads": 3.0, "MB": 1.0, "Jaccard": 0.5},
    }
    points = {key: point | quality for key, point in points.items()}
    table = cost.tabulate_points(points)[list(cost.COSTS.values())]
    front = table.map(lambda cell: cell.startswith("**")).to_numpy().tolist()
    assert front == [[True, True, True], [False, False, False], [True, False, True]]
    axes = cost.draw_costs(points).axes
    assert [len(axis.lines[0].get_xdata()) for axis in axes] == [2, 1, 2]
    assert [line.get_fillstyle() for line in axes[1].lines[1:]] == ["full", "none", "none"]


def test_the_long_context_has_its_words(load):
    make = load("cost").make_long_context
    assert make(["a b", "a b", "c d e"], 4) == "a b c d"
    with pytest.raises(ValueError, match="5 words where 6 are needed"):
        make(["a b", "c d e"], 6)


def test_quality_is_that_of_questions_no_run_has_trained_on(load, make_examples, tmp_path):
    examples = make_examples([(f"q{i}?", f"text {i}", "text", 0) for i in range(5)])
    folds = {("a", "0"): [0, 1, 2], ("b", "0"): [1, 2, 3], ("c", "0"): [3], ("c", "1"): [4]}
    windows = pd.DataFrame({"example": [0], "context_from": [0], "context_to": [0]})
    for (name, fold), rows in folds.items():
        run = RunFolder(tmp_path, name, fold)
        run.finish({})
        none = [np.zeros(shape, np.float16) for shape in (0, 0, (1, 2))]
        Prediction.write(run.logits, examples.select(rows), windows, [none])
    keep = load("cost").keep_held_out
    assert keep(examples, ["a", "b"], tmp_path)["id"][:] == ["toy-1", "toy-2"]
    with pytest.raises(ValueError, match="c: no article of XQuAD-en was held out by all folds"):
        keep(examples, ["c"], tmp_path)


def test_a_result_with_a_picture_is_a_section(load):
    result = {"row": 7, "title": "Cost", "command": "c", "picture": "cost.png", "note": "Note."}
    result["table"] = [{"run": "a", "MB": "**4**"}]
    text = load("table").describe_result(result)
    assert text.startswith("### 7 Cost\n\n`c`\n\n![Cost](cost.png)\n\n| run")
    assert text.endswith("\n\nNote.")
