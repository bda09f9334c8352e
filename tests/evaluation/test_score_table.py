from chaii.evaluation.metrics import score_answers
from chaii.evaluation.score_table import format_scores, tabulate_scores

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
