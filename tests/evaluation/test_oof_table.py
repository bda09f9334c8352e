import pandas as pd
import pytest

from chaii.evaluation.oof_table import (
    OOF_COLUMNS,
    example_keys,
    make_oof_table,
    read_oof_table,
    write_oof_table,
)

CONTEXT = "राजधानी नई दिल्ली है"


@pytest.fixture
def examples(make_examples):
    return make_examples([("कहाँ?", CONTEXT, "नई दिल्ली", 8), ("क्या?", CONTEXT, None, 0)])


def answer_all(text):
    start_char = CONTEXT.index(text)
    answer = {"prediction": text, "score": 1.5, "start_char": start_char}
    return pd.DataFrame([answer | {"end_char": start_char + len(text)}] * 2)


def test_a_run_and_an_ensemble_have_the_same_columns(examples, tmp_path):
    run = make_oof_table(examples, answer_all("दिल्ली"))
    ensemble = make_oof_table(
        examples, answer_all("दिल्ली"), members={"muril": answer_all("नई"), "xlmr": answer_all("है")}
    )
    for name, table in (("run", run), ("ensemble", ensemble)):
        write_oof_table(tmp_path / name, table)
        assert list(read_oof_table([tmp_path / name])) == OOF_COLUMNS


def test_members_are_listed_in_their_order(examples):
    members = {"xlmr": answer_all("है"), "muril": answer_all("नई")}
    table = make_oof_table(examples, answer_all("दिल्ली"), members=members)
    expected = {"prediction": "है", "start_char": 18, "end_char": 20, "name": "xlmr"}
    assert table["members"][1][0] == expected
    assert [member["name"] for member in table["members"][0]] == ["xlmr", "muril"]


def test_jaccard_is_that_of_each_row(examples):
    table = make_oof_table(examples, answer_all("दिल्ली"))
    assert table["jaccard"].tolist() == [0.5, 0]
    assert [list(members) for members in table["members"]] == [[], []]


def test_the_best_accepted_answer_counts(examples):
    golds = [["पटना", "दिल्ली"], []]
    examples = examples.remove_columns("answer_text").add_column("answer_text", golds)
    table = make_oof_table(examples, answer_all("दिल्ली"))
    assert table["jaccard"].tolist() == [1, 0]


def test_folds_are_read_as_one_table(examples, tmp_path):
    paths = [tmp_path / "0", tmp_path / "1"]
    for path, row in zip(paths, (0, 1), strict=True):
        write_oof_table(path, make_oof_table(examples, answer_all("दिल्ली"))[row : row + 1])
    assert read_oof_table(paths)["id"].tolist() == examples["id"][:]


def test_a_table_must_be_there_with_all_columns(examples, tmp_path):
    path = tmp_path / "toy_oof.parquet"
    with pytest.raises(FileNotFoundError, match="toy_oof"):
        read_oof_table([path])
    with pytest.raises(FileNotFoundError, match="no example was held out"):
        read_oof_table([])
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"toy_oof\.parquet: cannot be read"):
        read_oof_table([path])
    table = make_oof_table(examples, answer_all("दिल्ली"))
    write_oof_table(path, table.drop(columns=["score", "members"]))
    with pytest.raises(ValueError, match="lacks the column score, members"):
        read_oof_table([path])


def test_keys_hold_the_corpus(examples):
    assert example_keys(examples) == [("toy", "toy-0"), ("toy", "toy-1")]
