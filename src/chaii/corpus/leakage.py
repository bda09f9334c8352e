"""Leaks: texts to train on that are equal or nearly equal to held-out ones.

Texts are compared by hashed character n-grams, by a product of sparse matrices: two texts without
a common n-gram cost nothing. An n-gram counts more if fewer texts contain it, as in tf-idf, so that
common phrases ("in the middle of the") make no pair.

Articles written from one template (the villages of TyDi QA's Telugu) share most of their text and
are reported as near, although their facts differ: 151 pairs between the halves of its dev set.

The same article in another language shares hardly any n-grams: a translated leak is not found here.
Folds of the scheme `grouped` keep such articles on one side, where the corpora give their titles.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.feature_extraction.text import HashingVectorizer

_BATCH_ROWS = 256
_FEATURES = 2**24  # buckets of the hash: so many that two n-grams hardly ever share one
_PRODUCT_ROWS = 2048  # bounds the memory of a product
_COMMON = 50  # texts; an n-gram in more than these, and in more than the share, has no weight
_COMMON_SHARE = 0.01


@dataclass(frozen=True)
class _Kind:
    """How one column is compared."""

    column: str
    ngram: re.Pattern[str]
    threshold: float
    within: bool  # whether a text inside a longer one counts
    fewest: int  # least n-grams that a text counts as: a few in common are an accident


# Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Ten characters from the start of each word, or from each unspaced letter. The threshold is between
# the most that unrelated real texts share (SQuAD and TyDi QA English against XQuAD) and the least
# that a context of XQuAD or chaii shares with itself, 5 % of its characters changed.
_STARTS = re.compile(rf"(?:(?<!\S)|(?=[{_UNSPACED}]))(?=(.{{10}}))")
_CONTEXT = _Kind("context", _STARTS, 0.2, within=True, fewest=20)
# Five characters from any place. Hardly any pair of SQuAD and XQuAD questions is above the
# threshold; most XQuAD questions are with themselves, 5 % of their characters changed.
_QUESTION = _Kind("question", re.compile(r"(?=(.{5}))"), 0.45, within=False, fewest=10)


def find_leaks(train: Dataset, held_out: Dataset) -> pd.DataFrame:
    """Pairs of a text to train on and a held-out one that are equal or nearly so.

    Texts are `exact` if they are equal after Unicode NFKC, case folding and collapsing of
    whitespace. Contexts are `near` if they share 0.2 of the n-grams of the shorter one, so that a
    passage is found within a whole document; questions, if they share 0.45 of the n-grams of
    either.

    A leaked question alone gives nothing away ("What is the capital?" may be asked of any country),
    and n-grams cannot tell a misspelt question from the same one about something else. So `drop` is
    true for contexts, and for questions only if they have an answer in common.

    Returns:
        One row per pair of distinct texts, contexts first, the most alike first: kind (context or
        question), match (exact or near), similarity (0 to 1), train_corpus, train_id,
        held_out_corpus, held_out_id (of the first row of each text), drop, train_rows and
        held_out_rows (int64 arrays: all row numbers of each text). The same text in two corpora is
        two texts, and so is the same question with other answers.

    Raises:
        ValueError: there is no example on one side.
    """
    if not len(train) or not len(held_out):
        sizes = f"{len(train)} examples to train on and {len(held_out)} held out"
        raise ValueError(f"{sizes}: there must be one of each to look for leaks")
    tables = [_find_pairs(train, held_out, kind) for kind in (_CONTEXT, _QUESTION)]
    return pd.concat(tables, ignore_index=True)


def list_leaking_rows(leaks: pd.DataFrame) -> NDArray[np.int64]:
    """Row numbers of the examples to train on whose context, or question and answer, leaks."""
    return _unite(leaks.loc[leaks["drop"], "train_rows"])


def count_leaks(leaks: pd.DataFrame) -> pd.DataFrame:
    """One row per training corpus, held-out corpus, kind and match.

    Columns beside these: pairs, of them `drop`, train_rows and held_out_rows (distinct rows).
    """
    keys = ["train_corpus", "held_out_corpus", "kind", "match"]
    columns = [*keys, "pairs", "drop", "train_rows", "held_out_rows"]
    lines = [
        (*values, len(part), part["drop"].sum(), *(len(_unite(part[n])) for n in columns[-2:]))
        for values, part in leaks.groupby(keys, sort=True)
    ]
    return pd.DataFrame(lines, columns=columns)


def list_pairs(leaks: pd.DataFrame) -> pd.DataFrame:
    """The pairs to be written as CSV: with numbers of rows instead of row numbers."""
    return leaks.assign(**{name: leaks[name].map(len) for name in ("train_rows", "held_out_rows")})


def plain_text(text: str) -> str:
    """The text as it is compared: NFKC, case folded, every run of whitespace one space.

    >>> plain_text(" Ｗhat\\n is\\tit ?")
    'what is it ?'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class NgramIndex:
    """Hashed n-grams of some indexed texts, and the same n-grams of other texts.

    The weight of an n-gram is log(texts / texts with it), over the texts of both sides; one that
    the indexed texts lack has the largest weight.
    """

    def __init__(self, texts: Sequence[str], *, ngram: re.Pattern[str]) -> None:
        """Index `texts` by all matches of `ngram`."""
        counting = {"alternate_sign": False, "norm": None, "binary": True, "dtype": np.float32}
        self._vectorizer = HashingVectorizer(
            analyzer=ngram.findall, n_features=_FEATURES, **counting
        )
        counts = self._vectorizer.transform(texts)
        buckets, columns = np.unique(counts.indices, return_inverse=True)
        shape = (len(texts), len(buckets))
        self._indexed = csr_matrix((counts.data, columns, counts.indptr), shape=shape)
        self._column_of = np.full(_FEATURES, -1, dtype=np.int32)
        self._column_of[buckets] = np.arange(len(buckets), dtype=np.int32)
        self._others: list[csr_matrix] = []
        self._unshared: list[NDArray[np.int64]] = []

    def add(self, texts: Sequence[str]) -> None:
        """Count the n-grams of other texts; they are numbered in the order they are added."""
        counts = self._vectorizer.transform(texts)
        sizes = np.diff(counts.indptr)  # now, since the array is used up below
        columns = self._column_of[counts.indices]
        shared = (columns >= 0).astype(np.float32)
        shape = (len(texts), self._indexed.shape[1])
        other = csr_matrix((shared, np.maximum(columns, 0), counts.indptr), shape=shape)
        other.eliminate_zeros()
        self._others.append(other)
        self._unshared.append(sizes - np.diff(other.indptr))

    def compare(self, threshold: float, *, within: bool, fewest: int) -> pd.DataFrame:
        """Pairs at least as similar as the threshold.

        The similarity is the weight of the common n-grams, as a share of the lighter text
        (`within`) or of the n-grams of both; the share is of at least `fewest` n-grams that occur
        in one text of each side.

        Returns:
            Columns other and indexed (text numbers), similarity (0 to 1).
        """
        others = vstack(self._others, format="csr")
        texts = others.shape[0] + self._indexed.shape[0]
        holders = self._indexed.getnnz(axis=0) + others.getnnz(axis=0)
        weights = (np.log((1 + texts) / holders) / np.log(1 + texts)).astype(np.float32)
        weights[holders > max(_COMMON, _COMMON_SHARE * texts)] = 0
        other_weight = others @ weights + np.concatenate(self._unshared)
        indexed_weight = self._indexed @ weights
        least = fewest * np.log((1 + texts) / 2) / np.log(1 + texts)
        weighted = self._indexed.multiply(weights).tocsr()
        weighted.eliminate_zeros()
        by_column = weighted.T.tocsr()
        found = []
        for first in range(0, others.shape[0], _PRODUCT_ROWS):
            common = (others[first : first + _PRODUCT_ROWS] @ by_column).tocoo()
            one, two = other_weight[first + common.row], indexed_weight[common.col]
            whole = np.minimum(one, two) if within else one + two - common.data
            similarity = common.data / np.maximum(whole, least)
            near = similarity >= threshold
            pairs = {"other": first + common.row[near], "indexed": common.col[near]}
            found.append(pd.DataFrame(pairs | {"similarity": similarity[near]}))
        return pd.concat(found, ignore_index=True)


def _find_pairs(train: Dataset, held_out: Dataset, kind: _Kind) -> pd.DataFrame:
    ours, theirs = _group_rows(train, kind), _group_rows(held_out, kind)
    held_texts = [text for texts in _iterate_texts(held_out, theirs, kind) for text in texts]
    numbers = defaultdict(list)
    for number, text in enumerate(held_texts):
        numbers[text].append(number)
    index = NgramIndex(held_texts, ngram=kind.ngram)
    exact: list[tuple[int, int, float]] = []
    first = 0
    for texts in _iterate_texts(train, ours, kind):
        for i, text in enumerate(texts, start=first):
            exact += [(i, number, 1.0) for number in numbers.get(text, ())]
        index.add(texts)
        first += len(texts)
    pairs = pd.DataFrame(exact, columns=["other", "indexed", "similarity"]).assign(match="exact")
    near = index.compare(kind.threshold, within=kind.within, fewest=kind.fewest)
    near = near.assign(match="near")
    pairs = pd.concat([pairs, near] if exact else [near]).drop_duplicates(["other", "indexed"])
    pairs = pairs.sort_values(["similarity", "match"], ascending=[False, True], kind="stable")

    left, right = ours.iloc[pairs["other"]], theirs.iloc[pairs["indexed"]]
    agree = [not a.isdisjoint(b) for a, b in zip(left["answers"], right["answers"], strict=True)]
    return pd.DataFrame(
        {
            "kind": kind.column,
            "match": pairs["match"].to_numpy(),
            "similarity": pairs["similarity"].to_numpy(dtype=np.float64).round(3),
            "train_corpus": left["corpus"].to_numpy(),
            "train_id": left["id"].to_numpy(),
            "held_out_corpus": right["corpus"].to_numpy(),
            "held_out_id": right["id"].to_numpy(),
            "drop": np.array(agree, dtype=np.bool_) | (kind is _CONTEXT),
            "train_rows": left["rows"].to_numpy(),
            "held_out_rows": right["rows"].to_numpy(),
        }
    )


def _group_rows(examples: Dataset, kind: _Kind) -> pd.DataFrame:
    """One row per distinct text of a corpus, in the order of the examples.

    A hash represents each text, because those of whole documents are not held all at once.
    """
    table = pd.DataFrame({name: examples[name][:] for name in ("corpus", "id", "answer_text")})
    answers = [frozenset(map(plain_text, texts)) for texts in table.pop("answer_text")]
    table["answers"] = answers if kind is _QUESTION else [frozenset()] * len(table)
    batches = examples.select_columns([kind.column]).iter(batch_size=_BATCH_ROWS)
    text = [hash(text) for batch in batches for text in batch[kind.column]]
    keys = zip(table["corpus"], text, table["answers"], strict=True)
    number, _ = pd.factorize(np.array([hash(key) for key in keys], dtype=np.int64))
    order, ends = np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))
    rows = np.split(order, ends[:-1])
    distinct = table.iloc[[some[0] for some in rows]].reset_index(drop=True)
    return distinct.assign(rows=rows)


def _iterate_texts(examples: Dataset, texts: pd.DataFrame, kind: _Kind) -> Iterator[list[str]]:
    """The distinct texts as they are compared, in batches."""
    chosen = examples.select_columns([kind.column]).select([rows[0] for rows in texts["rows"]])
    for batch in chosen.iter(batch_size=_BATCH_ROWS):
        yield [plain_text(text) for text in batch[kind.column]]


def _unite(rows: pd.Series) -> NDArray[np.int64]:
    return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *rows]))
