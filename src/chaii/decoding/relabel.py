"""Label repair by a trained model: its out-of-fold logits choose among an answer's occurrences."""

from itertools import pairwise

import numpy as np
from datasets import Dataset

from chaii.corpus.label_repair import find_occurrences
from chaii.decoding.context_logits import ContextLogits
from chaii.recipe.span_labels import locate_answers
from chaii.recipe.token_store import TokenStore


def choose_by_logits(
    examples: Dataset, store: TokenStore, logits: ContextLogits
) -> list[int | None]:
    """Choose the start character of each example's first answer by its logits.

    Among the occurrences that `find_occurrences` gives, the largest start + end logit wins, and the
    earliest among equals. An example without an answer gets None. The windows must be merged.
    """
    columns = (examples[name] for name in ("context", "answer_text", "answer_start"))
    rows = list(zip(*columns, strict=True))
    places = [
        find_occurrences(context, texts[0], starts[0]) if starts else []
        for context, texts, starts in rows
    ]
    answers = locate_answers(
        places,
        [texts[:1] * len(found) for (_, texts, _), found in zip(rows, places, strict=True)],
        offsets=store.offsets,
        first=store.text_start[store.context],
        last=store.text_start[store.context + 1],
    )
    row = np.repeat(np.arange(len(rows)), np.diff(answers.row_start))
    first, last = answers.tokens.T + logits.row_start[row]
    scores = logits.start[first].astype(np.float64) + logits.end[last]
    slices = pairwise(answers.row_start)
    best = [int(scores[at:end].argmax()) if at < end else None for at, end in slices]
    return [None if at is None else found[at] for found, at in zip(places, best, strict=True)]
