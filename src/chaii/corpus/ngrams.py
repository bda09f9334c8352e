"""Search of texts that share many character n-grams: a few indexed texts against very many."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.feature_extraction.text import HashingVectorizer

_FEATURES = 2**24  # buckets of the hash: so many that two n-grams hardly ever share one
_PRODUCT_ROWS = 2048  # bounds the memory of a product
_COMMON = 50  # texts; an n-gram in more than these, and in more than the share, has no weight
_COMMON_SHARE = 0.01


class NgramIndex:
    """Hashed n-grams of some indexed texts, and the same n-grams of other texts.

    The weight of an n-gram is log(texts / texts with it), over the texts of both sides; one that
    the indexed texts lack has the largest weight.
    """

    def __init__(self, texts: Sequence[str], *, ngram: re.Pattern[str]) -> None:
        """Index `texts` by all matches of `ngram`."""
        self._vectorizer = HashingVectorizer(
            analyzer=ngram.findall,
            n_features=_FEATURES,
            alternate_sign=False,
            norm=None,
            binary=True,
            dtype=np.float32,
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
