"""Slices: the rules of the kinds of answers, and tables that lose no row."""

import math

import pandas as pd
import pytest

from chaii.evaluation.slices import ANSWER_KINDS, classify_answer, describe_scores, tabulate_slices


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("1912", "date"),
        ("१९४७।", "date"),
        ("1914–18", "date"),
        ("15 अगस्त 1947", "date"),
        ("3 फ़रवरी", "date"),
        ("300 ई.पू.", "date"),
        ("கி.மு. 300", "date"),
        ("1947 ஆகஸ்டு 15", "date"),
        ("May 1999", "date"),
        ("44 BC", "date"),
        ("2,525 किमी", "number"),
        ("1912 मीटर", "number"),
        ("2500", "number"),
        ("$1.2 million", "number"),
        ("US$ 20", "number"),
        ("₹500", "number"),
        ("रु. 500", "number"),
        ("(३.५%)", "number"),
        ("சென்னை", "one word"),
        ("August", "one word"),
        ("Super Bowl 50", "short phrase"),
        ("மேற்கு 5 தெரு", "short phrase"),
        ("the house on the hill", "long"),
        (" ", "none"),
    ],
)
def test_kind_of_answer(answer, kind):
    assert kind in ANSWER_KINDS
    assert classify_answer(answer) == kind


@pytest.fixture
def rows():
    return pd.DataFrame(
        {
            "language": ["tamil", "hindi", "hindi", "hindi"],
            "context": ["x" * 10, "y" * 20, "z" * 30, ""],
            "answer_text": [["5"], ["a b", "c"], ["1912"], []],
            "answer_start": [[0], [19], [11], []],
            "cluster": [0, 1, 2, 3],
            "jaccard": [1.0, 0.5, 0.0, 1.0],
        }
    )


@pytest.mark.parametrize("title", ["language", "answer", "context length", "answer position"])
def test_every_row_is_in_one_line_of_each_table(rows, title):
    table = tabulate_slices(rows, seed=0)[title]
    assert table["rows"].sum() == 4
    assert (table["rows"] * table["mean"]).sum() == rows["jaccard"].sum()


def test_labels_come_in_the_order_of_their_meaning(rows):
    labels = {title: list(table["label"]) for title, table in tabulate_slices(rows, seed=0).items()}
    assert labels == {
        "language": ["hindi", "tamil"],
        "answer": ["date", "number", "short phrase", "none"],
        "context length": ["0–0", "10–10", "20–20", "30–30"],
        "answer position": ["first fifth", "second fifth", "last fifth", "none"],
    }


def test_equal_lengths_are_one_line(rows):
    table = tabulate_slices(rows.assign(context="same"), seed=0)["context length"]
    assert list(table["label"]) == ["4–4"]


def test_an_interval_needs_ten_clusters():
    rows = pd.DataFrame({"cluster": range(10), "jaccard": [0.0, 1.0] * 5})
    assert describe_scores(rows, "jaccard", seed=0)["high"] > 0.5
    rows.loc[0, "cluster"] = 1
    assert math.isnan(describe_scores(rows, "jaccard", seed=0)["high"])
