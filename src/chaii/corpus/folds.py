"""Folds: which answered rows are held out together, and what is left to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

_Ints = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]
_LINKING = ("context", "article", "id")  # rows that share one of these belong together
_BATCH_ROWS = 256


def assign_folds(
    examples: Dataset,
    *,
    validation_corpora: Sequence[str],
    num_folds: int = 3,
    scheme: str = "stratified",
    seed: int = 2021,
) -> _Ints:
    """The fold in which each row of the concatenated corpora must not be trained on, or -1.

    `stratified` holds out answered rows of the validation corpora, each language spread evenly,
    and knows no other leak. `grouped` does the same with whole groups: rows linked, directly or
    through others, by an equal context, article title or id. There a row of any corpus linked to
    rows held out carries their fold too; only those of validation corpora are ever validated.
    With `num_folds=1` all answered rows of the validation corpora are held out, together.

    Returns:
        int64 array (rows,): a fold below `num_folds`, or -1 for a row that is never held out.

    Raises:
        ValueError: an unknown scheme or corpus, or a language too small for `num_folds` folds.

    Source: the winner's folds are `stratified` over chaii, 3 folds, seed 2021.
    """
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme '{scheme}' must be one of {sorted(_SCHEMES)}")
    if num_folds < 1:
        raise ValueError(f"num_folds {num_folds} must be at least 1 fold")
    held_out = _find_validated(examples, validation_corpora) & _find_answered(examples)
    if not held_out.any():
        raise ValueError(
            f"validation corpora {list(validation_corpora)} hold no row with an answer"
        )
    return _SCHEMES[scheme](examples, np.flatnonzero(held_out), num_folds, seed)


def split_fold(
    folds: _Ints, examples: Dataset, *, validation_corpora: Sequence[str], fold: int | str
) -> tuple[_Ints, _Ints]:
    """Row numbers to train on and to validate on, in the order of `examples`.

    `fold="all"` trains on everything and validates nothing. Rows without an answer train as
    unanswerable questions where they come from other corpora than the validated ones, whose
    unanswered rows are merely not labelled.

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


def _stratify(examples: Dataset, rows: _Ints, count: int, seed: int) -> _Ints:
    languages = _languages(examples, rows)
    _check_sizes(languages, rows, count, "rows with an answer")
    folds = np.full(len(examples), -1, dtype=np.int64)
    if count == 1:
        folds[rows] = 0
        return folds
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(rows, languages)):
        folds[rows[held_out]] = fold
    return folds


def _group(examples: Dataset, rows: _Ints, count: int, seed: int) -> _Ints:
    languages, groups = _languages(examples, rows), _link_rows(examples)
    _check_sizes(languages, groups[rows], count, "groups of linked rows")
    fold_of_group = np.full(len(examples), -1, dtype=np.int64)
    if count == 1:
        fold_of_group[groups[rows]] = 0
        return fold_of_group[groups]
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(rows, languages, groups[rows])):
        fold_of_group[groups[rows[held_out]]] = fold
    return fold_of_group[groups]


def _link_rows(examples: Dataset) -> _Ints:
    """For each row the first row of its group: union-find over shared keys."""
    parents = list(range(len(examples)))

    def find_root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for column in _LINKING:
        first_rows: dict[int, int] = {}
        for row, key in enumerate(_iterate_keys(examples, column)):
            low, high = sorted((find_root(first_rows.setdefault(key, row)), find_root(row)))
            parents[high] = low
    return np.array([find_root(row) for row in range(len(parents))], dtype=np.int64)


def _iterate_keys(examples: Dataset, column: str) -> Iterator[int]:
    """A hash for each row: the texts of whole documents are not held all at once."""
    for batch in examples.select_columns([column]).iter(batch_size=_BATCH_ROWS):
        for value in batch[column]:
            # SQuAD writes a title as in an address: Super_Bowl_50.
            yield hash(value.replace("_", " ") if column == "article" else value)


def _check_sizes(languages: npt.NDArray[np.str_], units: _Ints, count: int, noun: str) -> None:
    for language in np.unique(languages):
        size = len(np.unique(units[languages == language]))
        if size < count:
            rule = f"{count} folds need at least {count}"
            raise ValueError(f"language '{language}' has {size} {noun} to validate; {rule}")


def _languages(examples: Dataset, rows: _Ints) -> npt.NDArray[np.str_]:
    return np.array(examples["language"][:])[rows]


def _find_answered(examples: Dataset) -> _Flags:
    return np.array([len(starts) > 0 for starts in examples["answer_start"][:]], dtype=np.bool_)


def _find_validated(examples: Dataset, validation_corpora: Sequence[str]) -> _Flags:
    corpora = np.array(examples["corpus"][:])
    if unknown := set(validation_corpora) - set(corpora.tolist()):
        known = sorted(set(corpora.tolist()))
        raise ValueError(f"validation corpora {sorted(unknown)} are not among {known}")
    return np.isin(corpora, list(validation_corpora))


_SCHEMES: dict[str, Callable[[Dataset, _Ints, int, int], _Ints]] = {
    "stratified": _stratify,
    "grouped": _group,
}
