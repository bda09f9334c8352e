"""Folds: every answered row of the validation corpora is held out once, and nothing leaks."""

import numpy as np
import pytest
from datasets import Dataset
from sklearn.model_selection import StratifiedKFold

from chaii.corpus.folds import assign_folds, split_fold
from chaii.corpus.table import EXAMPLE_FEATURES

SCHEMES = ["stratified", "grouped"]


def make_row(number, corpus="chaii", language="hindi", answered=True, **changes):
    row = {
        "id": f"{corpus}-{number}",
        "corpus": corpus,
        "article": f"{corpus} article {number}",
        "language": language,
        "question": "q",
        "context": f"{corpus} context {number}",
        "answer_text": ["c"] if answered else [],
        "answer_start": [0] if answered else [],
    }
    return row | changes


def make_examples(rows):
    return Dataset.from_list(rows, features=EXAMPLE_FEATURES)


@pytest.fixture
def examples():
    """40 Hindi and 20 Tamil chaii rows, then 30 external rows of which 10 have no answer."""
    chaii = [make_row(number, language="hindi" if number % 3 else "tamil") for number in range(60)]
    squad = [make_row(number, "squad", "english", answered=number % 3 > 0) for number in range(30)]
    return make_examples(chaii + squad)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_answered_validated_row_is_held_out_exactly_once(examples, scheme):
    folds = assign_folds(examples, validation_corpora=["chaii"], scheme=scheme)
    held_out = [
        split_fold(folds, examples, validation_corpora=["chaii"], fold=fold)[1] for fold in range(3)
    ]
    assert sorted(np.concatenate(held_out)) == list(range(60))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_external_corpora_never_enter_validation(examples, scheme):
    folds = assign_folds(examples, validation_corpora=["chaii"], scheme=scheme)
    for fold in (0, 1, 2, "all"):
        _, valid = split_fold(folds, examples, validation_corpora=["chaii"], fold=fold)
        assert set(np.array(examples["corpus"][:])[valid]) <= {"chaii"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_train_and_validation_rows_never_meet_and_cover_everything(examples, scheme):
    folds = assign_folds(examples, validation_corpora=["chaii"], scheme=scheme)
    for fold in range(3):
        train, valid = split_fold(folds, examples, validation_corpora=["chaii"], fold=fold)
        assert sorted([*train, *valid]) == list(range(90))


def test_stratified_folds_are_those_of_the_winner(examples):
    folds = assign_folds(examples, validation_corpora=["chaii"])
    languages = examples["language"][:60]
    splitter = StratifiedKFold(n_splits=3, shuffle=True, random_state=2021)
    for fold, (_, held_out) in enumerate(splitter.split(languages, languages)):
        assert np.flatnonzero(folds == fold).tolist() == held_out.tolist()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_languages_are_spread_evenly(examples, scheme):
    folds = assign_folds(examples, validation_corpora=["chaii"], scheme=scheme)
    languages = np.array(examples["language"][:])
    for language, total in (("hindi", 40), ("tamil", 20)):
        counts = np.bincount(folds[(languages == language) & (folds >= 0)], minlength=3)
        assert counts.sum() == total
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_seed_gives_the_same_folds(examples, scheme):
    first, second, other = (
        assign_folds(examples, validation_corpora=["chaii"], scheme=scheme, seed=seed)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_stratified_external_rows_have_no_fold(examples):
    folds = assign_folds(examples, validation_corpora=["chaii"])
    assert set(folds[60:]) == {-1}


@pytest.mark.parametrize("shared", ["context", "article", "id"])
def test_grouped_rows_that_share_a_key_share_a_fold(shared):
    rows = [make_row(number, **{shared: f"shared {number // 4}"}) for number in range(40)]
    folds = assign_folds(make_examples(rows), validation_corpora=["chaii"], scheme="grouped")
    assert all(len(set(group)) == 1 for group in folds.reshape(10, 4))
    assert set(folds) == {0, 1, 2}


def test_by_default_rows_of_one_context_are_held_out_together():
    rows = [make_row(number, context=f"shared {number // 4}") for number in range(40)]
    folds = assign_folds(make_examples(rows), validation_corpora=["chaii"])
    assert all(len(set(group)) == 1 for group in folds.reshape(10, 4))


def test_by_default_rows_of_distinct_contexts_are_stratified(examples):
    default, stratified = (
        assign_folds(examples, validation_corpora=["chaii"], **scheme)
        for scheme in ({}, {"scheme": "stratified"})
    )
    assert np.array_equal(default, stratified)


def test_grouped_rows_are_linked_through_others():
    rows = [make_row(number) for number in range(9)]
    rows[0]["context"] = rows[4]["context"] = "one context"
    rows[4]["article"] = rows[8]["article"] = "one article"
    for seed in range(10):
        folds = assign_folds(
            make_examples(rows), validation_corpora=["chaii"], scheme="grouped", seed=seed
        )
        assert folds[0] == folds[4] == folds[8]


def test_grouped_titles_match_with_spaces_or_underscores():
    rows = [make_row(number) for number in range(9)]
    rows[2]["article"], rows[7]["article"] = "Super Bowl 50", "Super_Bowl_50"
    for seed in range(10):
        folds = assign_folds(
            make_examples(rows), validation_corpora=["chaii"], scheme="grouped", seed=seed
        )
        assert folds[2] == folds[7]


@pytest.mark.parametrize("shared", ["context", "article", "id"])
def test_grouped_external_row_is_not_trained_on_where_its_group_is_held_out(shared):
    rows = [make_row(number) for number in range(9)]
    rows += [make_row(number, "squad", answered=number > 0) for number in range(3)]
    rows[5][shared] = rows[9][shared] = rows[10][shared] = "shared"
    examples = make_examples(rows)
    folds = assign_folds(examples, validation_corpora=["chaii"], scheme="grouped")
    assert folds[9] == folds[10] == folds[5]
    assert folds[11] == -1
    for fold in range(3):
        train, valid = split_fold(folds, examples, validation_corpora=["chaii"], fold=fold)
        assert {9, 10}.isdisjoint(valid)
        assert ({9, 10} <= set(train)) == (fold != folds[5])


def test_all_trains_on_everything_and_validates_nothing(examples):
    folds = assign_folds(examples, validation_corpora=["chaii"])
    train, valid = split_fold(folds, examples, validation_corpora=["chaii"], fold="all")
    assert (train.tolist(), valid.tolist()) == (list(range(90)), [])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unlabelled_rows_of_a_validated_corpus_are_neither_trained_nor_validated(scheme):
    rows = [make_row(number, answered=number > 0) for number in range(10)]
    examples = make_examples(rows)
    folds = assign_folds(examples, validation_corpora=["chaii"], scheme=scheme)
    for fold in (0, 1, 2, "all"):
        train, valid = split_fold(folds, examples, validation_corpora=["chaii"], fold=fold)
        assert 0 not in [*train, *valid]


def test_several_corpora_are_validated_together(examples):
    folds = assign_folds(examples, validation_corpora=["chaii", "squad"])
    unanswered = [not texts for texts in examples["answer_text"]]
    assert np.array_equal(folds == -1, unanswered)


FAULTS = {
    "scheme": ({"scheme": "random"}, "scheme 'random' must be one of .*auto.*grouped.*stratified"),
    "no fold": ({"num_folds": 0}, "num_folds 0 must be at least 1"),
    "corpus": ({"validation_corpora": ["chai"]}, r"\['chai'\] are not among \['chaii', 'squad'\]"),
    "nothing": ({"validation_corpora": []}, r"validation corpora \[\] hold no row with an answer"),
    "small language": (
        {"num_folds": 21},
        "language 'tamil' has 20 rows .* 21 folds need at least 21",
    ),
    "few groups": (
        {"num_folds": 21, "scheme": "grouped"},
        "language 'tamil' has 20 groups of linked",
    ),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_impossible_folds_are_refused(examples, changes, message):
    with pytest.raises(ValueError, match=message):
        assign_folds(examples, **({"validation_corpora": ["chaii"]} | changes))


@pytest.mark.parametrize("fold", [-1, 3, "0", "none", 1.0])
def test_unknown_fold_is_refused(examples, fold):
    folds = assign_folds(examples, validation_corpora=["chaii"])
    with pytest.raises(ValueError, match="must be an integer from 0 to 2, or 'all'"):
        split_fold(folds, examples, validation_corpora=["chaii"], fold=fold)


def test_folds_of_other_examples_are_refused(examples):
    folds = assign_folds(examples, validation_corpora=["chaii"])
    with pytest.raises(ValueError, match="folds has 90 rows and must have the examples' 9"):
        split_fold(folds, examples.select(range(9)), validation_corpora=["chaii"], fold=0)


def test_selected_examples_are_read_through_their_selection(examples):
    chosen = examples.select(range(89, -1, -1))
    folds = assign_folds(chosen, validation_corpora=["chaii"], scheme="grouped")
    assert set(folds[:30]) == {-1}
    assert set(folds[30:]) == {0, 1, 2}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_single_fold_holds_out_every_answered_validated_row(examples, scheme):
    folds = assign_folds(examples, validation_corpora=["chaii"], num_folds=1, scheme=scheme)
    train, valid = split_fold(folds, examples, validation_corpora=["chaii"], fold=0)
    assert valid.tolist() == list(range(60))
    assert train.tolist() == list(range(60, 90))
