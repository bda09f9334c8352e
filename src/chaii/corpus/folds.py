"""Folds: which answered rows are held out together, and which rows are trained on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from datasets import Dataset
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

_Ints = npt.NDArray[np.int64]
_SCHEMES = ("auto", "grouped", "stratified")
_LINKING = ("context", "article", "id")  # rows that share one of these belong together
_BATCH_ROWS = 256


def assign_folds(
    examples: Dataset,
    *,
    validation_corpora: Sequence[str],
    num_folds: int = 3,
    scheme: str = "auto",
    seed: int = 2021,
) -> _Ints:
    """The fold in which each row of the concatenated corpora must not be trained on, or -1.

    `stratified` holds out answered rows of the validation corpora, each language spread evenly,
    whatever else they share. `grouped` does the same with whole groups: rows linked, directly or
    through others, by an equal context, article title or id. There a row of any corpus linked to
    held-out rows has their fold too; only those of validation corpora are ever validated. `auto` is
    `grouped` if there are several folds and held-out rows share contexts, else `stratified`.
    With `num_folds=1` all answered rows of the validation corpora are held out together.

    Returns:
        int64 array (rows,): a fold below `num_folds`, or -1 for a row that is never held out.

    Raises:
        ValueError: an unknown scheme or corpus, or a language too small for `num_folds` folds.

    Source: the winner's folds are `stratified` over chaii, 3 folds, seed 2021.
    """
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme '{scheme}' must be one of {list(_SCHEMES)}")
    if num_folds < 1:
        raise ValueError(f"num_folds {num_folds} must be at least 1 fold")
    rows = np.flatnonzero(_find_validated(examples, validation_corpora) & _find_answered(examples))
    if not len(rows):
        names = list(validation_corpora)
        raise ValueError(f"validation corpora {names} hold no row with an answer")
    if scheme == "auto":
        contexts = _hash_keys(examples.select(rows), "context")
        shared = len(np.unique(contexts)) < len(contexts)
        scheme = "grouped" if num_folds > 1 and shared else "stratified"
    grouped = scheme == "grouped"
    group_of = link_rows(examples) if grouped else np.arange(len(examples))
    languages, groups = np.array(examples["language"][:])[rows], group_of[rows]
    for language in np.unique(languages):
        size = len(np.unique(groups[languages == language]))
        if size < num_folds:
            noun = "groups of linked rows" if grouped else "rows with an answer"
            rule = f"{num_folds} folds need at least {num_folds}"
            raise ValueError(f"language '{language}' has {size} {noun} to validate; {rule}")

    fold_of_group = np.full(len(examples), -1, dtype=np.int64)
    if num_folds == 1:
        fold_of_group[groups] = 0
        return fold_of_group[group_of]
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    splitter = kind(num_folds, shuffle=True, random_state=seed)
    splits = splitter.split(rows, languages, groups if grouped else None)
    for fold, (_, held_out) in enumerate(splits):
        fold_of_group[groups[held_out]] = fold
    return fold_of_group[group_of]


def split_fold(
    folds: _Ints, examples: Dataset, *, validation_corpora: Sequence[str], fold: int | str
) -> tuple[_Ints, _Ints]:
    """Row numbers to train on and to validate on, in the order of `examples`.

    `fold="all"` trains on everything and validates nothing. Rows without an answer are trained on
    as unanswerable questions, unless they come from a validation corpus: there they only lack a
    label.

    Raises:
        ValueError: `folds` is not of these examples, or there is no such fold.
    """
    if len(folds) != len(examples):
        raise ValueError(f"folds has {len(folds)} rows and must have the examples' {len(examples)}")
    ours, answered = _find_validated(examples, validation_corpora), _find_answered(examples)
    if fold == "all":
        return np.flatnonzero(answered | ~ours), np.zeros(0, dtype=np.int64)
    last = int(folds.max(initial=-1))
    if not isinstance(fold, int) or not 0 <= fold <= last:
        raise ValueError(f"fold {fold!r} must be an integer from 0 to {last}, or 'all'")
    held_out = folds == fold
    train = (answered | ~ours) & ~held_out
    return np.flatnonzero(train), np.flatnonzero(answered & ours & held_out)


def link_rows(examples: Dataset) -> _Ints:
    """The group of each row, ``(rows,)``: rows of one group are linked by shared keys.

    The groups are numbered in the order of their first rows.
    """
    rows = len(examples)
    links, nodes = [], rows  # the graph's nodes are the rows, then every distinct key
    for column in _LINKING:
        codes, distinct = pd.factorize(_hash_keys(examples, column))
        links.append(nodes + codes)
        nodes += len(distinct)
    ends = (np.tile(np.arange(rows), len(links)), np.concatenate(links))
    graph = coo_array((np.ones(len(ends[0]), dtype=np.bool_), ends), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1][:rows], dtype=np.int64)


def _hash_keys(examples: Dataset, column: str) -> _Ints:
    """A hash per row: the texts of whole documents are not held all at once."""
    keys = [
        # SQuAD writes a title as in an address: Super_Bowl_50.
        hash(value.replace("_", " ") if column == "article" else value)
        for batch in examples.select_columns([column]).iter(batch_size=_BATCH_ROWS)
        for value in batch[column]
    ]
    return np.array(keys, dtype=np.int64)


def _find_answered(examples: Dataset) -> npt.NDArray[np.bool_]:
    return np.array([len(starts) > 0 for starts in examples["answer_start"][:]], dtype=np.bool_)


def _find_validated(examples: Dataset, validation_corpora: Sequence[str]) -> npt.NDArray[np.bool_]:
    corpora = np.array(examples["corpus"][:])
    if unknown := set(validation_corpora) - set(corpora.tolist()):
        known = sorted(set(corpora.tolist()))
        raise ValueError(f"validation corpora {sorted(unknown)} are not among {known}")
    return np.isin(corpora, list(validation_corpora))
