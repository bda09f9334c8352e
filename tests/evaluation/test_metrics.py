import os
from pathlib import Path

import pandas as pd
import pytest

from chaii.evaluation.metrics import (
    exact_match,
    f1,
    format_scores,
    jaccard,
    score_answers,
    score_rows,
    tabulate_scores,
)


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("", "", 1.0),
        (" \n", "", 1.0),
        ("", "दिल्ली", 0.0),
        ("दिल्ली", "", 0.0),
        ("DELHI delhi", "Delhi", 1.0),
        ("नई दिल्ली", "दिल्ली", 1 / 2),
        ("दिल्ली।", "दिल्ली", 0.0),
        ("a b c", "b c d", 2 / 4),
        ("a\u00a0b", "b a", 1.0),
    ],
)
def test_jaccard_counts_distinct_lower_case_words(
    prediction: str, gold: str, expected: float
) -> None:
    assert jaccard(prediction, gold) == pytest.approx(expected)


def test_jaccard_gives_every_golden_value() -> None:
    folder = os.environ.get("CHAII_DATA")
    if not folder:
        pytest.skip("CHAII_DATA is not set: no real corpora at hand")
    golden = pd.read_csv(
        Path(folder) / "chaii" / "jaccard_golden.csv",
        dtype={"answer_pred": str, "answer_text": str},
        keep_default_na=False,
    )
    assert len(golden) == 400
    scored = [jaccard(*pair) for pair in zip(golden.answer_pred, golden.answer_text, strict=True)]
    assert scored == pytest.approx(golden.jaccard.astype(float).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("prediction", "gold", "language", "expected"),
    [
        ("The Cat!", "cat", "english", 1.0),
        ("The Cat!", "cat", "hindi", 0.0),
        ("a theatre", "theatre", "english", 1.0),
        ("दिल्ली।", "दिल्ली", "hindi", 1.0),
        ("“சென்னை”", "சென்னை", "tamil", 1.0),
        ("कि", "क", "hindi", 0.0),  # the vowel sign is a mark, not punctuation
        ("$5", "5", "english", 1.0),
        ("  नई \n दिल्ली ", "नई दिल्ली", "hindi", 1.0),
    ],
)
def test_exact_match_compares_normalised_texts(
    prediction: str, gold: str, language: str, expected: float
) -> None:
    assert exact_match(prediction, gold, language=language) == expected


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("", "", 1.0),
        ("।", "", 1.0),
        ("", "x", 0.0),
        ("x x y", "x y y", 2 / 3),
        ("x", "x y z", 1 / 2),
        ("x", "y", 0.0),
    ],
)
def test_f1_counts_repeated_words(prediction: str, gold: str, expected: float) -> None:
    assert f1(prediction, gold, language="hindi") == pytest.approx(expected)


def test_each_metric_takes_its_own_best_gold() -> None:
    scores = score_rows(["नई दिल्ली।"], [["नई दिल्ली", "नई दिल्ली। भारत"]], ["hindi"])
    assert scores.iloc[0].to_dict() == {"jaccard": pytest.approx(2 / 3), "exact": 1.0, "f1": 1.0}


def test_no_gold_means_the_empty_answer() -> None:
    scores = score_rows(["", "x"], [[], []], ["tamil", "tamil"])
    assert scores.jaccard.tolist() == scores.f1.tolist() == [1.0, 0.0]


def test_score_answers_means_all_rows_and_each_language() -> None:
    scores = score_answers(["x", "y", "x y"], [["x"], ["x"], ["x"]], ["tamil", "tamil", "hindi"])
    assert scores == {
        "jaccard": 0.5,
        "exact": pytest.approx(1 / 3),
        "f1": pytest.approx((1 + 0 + 2 / 3) / 3),
        "rows": 3,
        "language": {
            "hindi": {"jaccard": 0.5, "exact": 0.0, "f1": pytest.approx(2 / 3), "rows": 1},
            "tamil": {"jaccard": 0.5, "exact": 0.5, "f1": 0.5, "rows": 2},
        },
    }
    assert type(scores["jaccard"]) is float


@pytest.mark.parametrize(
    ("predictions", "golds", "message"),
    [([], [], "0 predictions"), (["x"], [], "lengths must agree")],
)
def test_nothing_to_score_is_refused(
    predictions: list[str], golds: list[list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_answers(predictions, golds, [])


@pytest.mark.parametrize(
    ("prediction", "gold", "language", "expected"),
    [
        ("el río largo", "río largo", "spanish", 1.0),
        ("der Fluss", "Fluss", "german", 1.0),
        ("những con sông", "con sông", "vietnamese", 1.0),
        ("النهر", "نهر", "arabic", 1.0),
        ("北京大学", "北京", "chinese", 2 / 3),
        ("the river", "river", "english", 1.0),
    ],
)
def test_f1_follows_the_script_of_mlqa(
    prediction: str, gold: str, language: str, expected: float
) -> None:
    codes = {"spanish": "es", "german": "de", "vietnamese": "vi", "arabic": "ar", "chinese": "zh"}
    for name in (language, language.title(), codes.get(language, "en")):
        assert f1(prediction, gold, language=name) == pytest.approx(expected)
    assert f1(prediction, gold, language="hindi") != pytest.approx(expected)


SCORES = score_answers(["a b", "c"], [["a"], ["c"]], ["tamil", "hindi"])


def test_one_model_has_a_line_of_all_rows_and_one_per_language():
    assert format_scores(SCORES).splitlines() == [
        "| rows of   |   rows |   jaccard |   exact |     f1 |",
        "|-----------|--------|-----------|---------|--------|",
        "| all       |      2 |    0.7500 |  0.5000 | 0.8333 |",
        "| hindi     |      1 |    1.0000 |  1.0000 | 1.0000 |",
        "| tamil     |      1 |    0.5000 |  0.0000 | 0.6667 |",
    ]


def test_many_models_have_one_row_each():
    table = tabulate_scores([("member", "run/0", SCORES), ("vote", "vote", SCORES)])
    columns = ["kind", "name", "rows", "jaccard", "exact", "f1", "hindi", "tamil"]
    assert list(table) == columns
    assert table.loc[1, ["kind", "hindi", "tamil"]].tolist() == ["vote", 1, 0.5]


def test_no_model_gives_a_table_without_rows():
    assert list(tabulate_scores([])) == ["kind", "name", "rows", "jaccard", "exact", "f1"]
