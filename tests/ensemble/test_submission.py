from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from chaii.config.ensemble import EnsembleConfig
from chaii.ensemble.submission import (
    SubmissionError,
    flatten_whitespace,
    result_path,
    write_submission,
)

TRICKY = ["", "NA", "null", '"नई" दिल्ली', "1,947", " சென்னை", "क\u200dष", "०७", "\ufeffx"]


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    ids = [f"00{row}" for row in range(len(TRICKY))]
    answers = pd.DataFrame({"id": ids, "prediction": TRICKY})
    path = write_submission(tmp_path / "new" / "ensemble.csv", answers, expected_ids=ids)
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert table.to_dict("list") == {"id": ids, "PredictionString": TRICKY}


def test_rows_follow_the_expected_ids_and_other_columns_are_left_out(tmp_path: Path) -> None:
    answers = pd.DataFrame({"id": ["a", "b"], "prediction": ["x", "y z"], "score": [1.0, 2.0]})
    path = write_submission(tmp_path / "ensemble.csv", answers, expected_ids=["b", "a"])
    assert path.read_bytes() == b'"id","PredictionString"\n"b","y z"\n"a","x"\n'


@pytest.mark.parametrize(
    ("ids", "predictions", "message"),
    [
        (["a"], ["x"], "1 x missing id: b"),
        ([], [], "2 x missing id: a, b"),
        (["a", "b", "c"], ["x", "y", "z"], "1 x extra id: c"),
        (["a", "b", "b"], ["x", "y", "y"], "1 x duplicate id: b"),
        (["a", "b"], ["x", None], "1 x prediction that is no text .NaN, None.: b"),
        (["a", "b"], [float("nan"), 3.0], "2 x prediction that is no text .NaN, None.: a, b"),
        (["a", "b"], ["x\ny", "z\u2028"], "2 x prediction with a line break: a, b"),
        (["a", "c"], ["x\r", "y"], "missing id: b; 1 x extra id: c; 1 x prediction with a line"),
        (["a", "b", *"cdef"], ["x"] * 6, "4 x extra id: c, d, e, …"),
    ],
)
def test_wrong_answers_are_refused_in_one_message(
    tmp_path: Path, ids: list[str], predictions: list[object], message: str
) -> None:
    answers = pd.DataFrame({"id": ids, "prediction": predictions})
    with pytest.raises(SubmissionError, match=rf"ensemble\.csv: not written: .*{message}"):
        write_submission(tmp_path / "ensemble.csv", answers, expected_ids=["a", "b"])
    assert list(tmp_path.iterdir()) == []


def test_expected_ids_must_be_distinct(tmp_path: Path) -> None:
    answers = pd.DataFrame({"id": ["a"], "prediction": ["x"]})
    with pytest.raises(SubmissionError, match="1 x duplicate expected id: a"):
        write_submission(tmp_path / "ensemble.csv", answers, expected_ids=["a", "a"])


def test_a_refused_submission_leaves_the_old_file(tmp_path: Path) -> None:
    answers = pd.DataFrame({"id": ["a"], "prediction": ["x"]})
    path = write_submission(tmp_path / "ensemble.csv", answers, expected_ids=["a"])
    before = path.read_bytes()
    with pytest.raises(SubmissionError):
        write_submission(path, answers.assign(prediction="x\n"), expected_ids=["a"])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), (" \n", ""), ("a\n\tb", "a b"), ("a\u2028b\u00a0", "a b"), ("क\u200dष", "क\u200dष")],
)
def test_whitespace_is_flattened(text: str, expected: str) -> None:
    assert flatten_whitespace(text) == expected


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=vote"],
        ["method=fusion"],
        ["method=fusion", "method.decode.score=softmax"],
        ["method=vote", "method.vote_by=text"],
        ["method=vote", "method.tie=keep"],
        ["method=vote", "+method.weights.tiny_muril=2"],
        ["method.kind=single", "method.group=tiny_muril"],
        ["ensemble.name=other"],
        ["name=given"],
    ],
)
def test_results_of_another_method_have_another_name(
    ensemble_config: Callable[..., EnsembleConfig], tmp_path: Path, overrides: list[str]
) -> None:
    plain = result_path(ensemble_config(tmp_path), "_scores.csv")
    assert plain.name == "demo_auto_scores.csv"
    assert result_path(ensemble_config(tmp_path, *overrides), "_scores.csv") != plain
    assert result_path(ensemble_config(tmp_path, "name=x"), ".csv").name == "x.csv"


def test_a_group_that_answers_alone_is_named_by_itself(
    ensemble_config: Callable[..., EnsembleConfig], tmp_path: Path
) -> None:
    config = ensemble_config(tmp_path, "method.kind=single", "method.group=tiny_muril")
    assert result_path(config, ".csv").name == "demo_tiny_muril.csv"
