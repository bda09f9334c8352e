"""The filter of a large corpus: keep the rows whose questions are most like those of another.

The winner kept the rows of Natural Questions that a classifier could hardly tell from TyDi's
English questions. Here it is a linear one on word and character n-grams. Every candidate is scored
by a model that has not seen its text, so that none is rejected because it was memorised.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline, make_union

_FEATURES = 2**16  # of words and of characters each; a hash needs no vocabulary in memory
_WORDS = (1, 2)  # n-grams
_CHARACTERS = (2, 4)
_NOT_A_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Similarity:
    """How much each candidate looks like a target question, scored out of fold."""

    scores: NDArray[np.float64]  # (candidates,) from 0 to 1; equal texts score the same
    auc: float  # of targets against candidates: 0.5 where nothing tells them apart

    def rank(self) -> NDArray[np.int64]:
        """Candidates from the most to the least alike; earlier rows first where scores tie."""
        return np.argsort(-self.scores, kind="stable")


def compare_questions(
    targets: Sequence[str], candidates: Sequence[str], *, seed: int, folds: int = 5
) -> Similarity:
    """Score candidates by a classifier of targets (1) against candidates (0), out of fold.

    Case, punctuation and whitespace do not count: Natural Questions has neither capitals nor
    question marks, and a classifier that saw them would rank typing habits. A text that occurs
    twice, on either side, is always in one fold.

    Raises:
        ValueError: a side has fewer distinct questions than there are folds.
    """
    questions = (*targets, *candidates)
    texts = [_NOT_A_LETTER.sub(" ", question).strip().casefold() for question in questions]
    labels = np.arange(len(texts)) < len(targets)
    fold_of = _deal_folds(texts, labels, folds, np.random.default_rng(seed))
    model = LogisticRegression(class_weight="balanced", solver="liblinear", random_state=seed)
    classifier = make_pipeline(TfidfTransformer(sublinear_tf=True), model)
    counting: dict[str, Any] = {"n_features": _FEATURES, "norm": None, "dtype": np.float32}
    counting |= {"alternate_sign": False, "lowercase": False}
    counting |= {"token_pattern": r"\S+"}  # nosec B105 # of words
    counters = [  # a hash knows nothing of other texts
        HashingVectorizer(analyzer=analyzer, ngram_range=ngrams, **counting)
        for analyzer, ngrams in (("word", _WORDS), ("char_wb", _CHARACTERS))
    ]
    counts, split = make_union(*counters).transform(texts), PredefinedSplit(fold_of)
    chances = cross_val_predict(classifier, counts, labels, cv=split, method="predict_proba")
    scores = chances[:, 1]
    return Similarity(scores[len(targets) :], float(roc_auc_score(labels, scores)))


def count_kept(size: int, keep: float) -> int:
    """How many of `size` rows are kept: `keep` is a share up to 1, or a number above.

    >>> count_kept(200, 0.25), count_kept(200, 50), count_kept(20, 50)
    (50, 50, 20)

    Raises:
        ValueError: `keep` is not above 0.
    """
    if not keep > 0:
        raise ValueError(f"keep={keep}: must be a share above 0 and up to 1, or a number of rows")
    return min(size, max(1, round(size * keep)) if keep <= 1 else round(keep))


def format_similarity(questions: Sequence[str], similarity: Similarity, kept: int) -> str:
    """Markdown: the share kept, the AUC, and the 20 questions at either end."""
    order = similarity.rank()
    tables = [
        f"{kept:,} of {len(questions):,} questions kept ({kept / len(questions):.1%}), "
        f"scores from {similarity.scores[order[kept - 1]]:.3f} up; "
        f"out-of-fold AUC {similarity.auc:.3f}"
    ]
    for title, rows in (("Most alike", order[:20]), ("Least alike", order[::-1][:20])):
        texts = [shorten(questions[row].replace("|", "\\|"), 95) for row in rows]
        table = pd.DataFrame({title: texts, "score": similarity.scores[rows]})
        tables.append(table.to_markdown(index=False, tablefmt="github", floatfmt=".3f"))
    return "\n\n".join(tables) + "\n"


def _deal_folds(
    texts: Sequence[str], labels: NDArray[np.bool_], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A fold for each row: texts are dealt at random, those of the targets first."""
    text_of, names = pd.factorize(pd.Series(texts))
    fold_of_text = np.full(len(names), -1, dtype=np.int64)
    for side in (labels, ~labels):
        distinct = np.unique(text_of[side])
        if len(distinct) < folds:
            raise ValueError(f"{len(distinct)} distinct questions, but {folds} folds need as many")
        fresh = rng.permutation(distinct[fold_of_text[distinct] < 0])
        fold_of_text[fresh] = np.arange(len(fresh)) % folds
    return np.asarray(fold_of_text[text_of])
