"""Clean answers by named rules, and locate the cleaned text in the context."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from chaii.corpus.checks import find_nearest
from chaii.decoding.cleaning_rules import (
    arabic_digits,
    restore_dot,
    strip_punctuation,
    trim_tamil_suffix,
)

# In the order of their application: the dot is restored last, so that no rule strips it.
RULES: Mapping[str, Callable[[str, str], str]] = {
    "strip_punctuation": strip_punctuation,
    "arabic_digits": arabic_digits,
    "trim_tamil_suffix": trim_tamil_suffix,
    "restore_dot": restore_dot,
}
DEFAULT_RULES = tuple(name for name in RULES if name != "trim_tamil_suffix")


def clean_answer(answer: str, context: str, *, rules: Sequence[str]) -> str:
    """Apply rules to an answer in the order of `RULES`, whatever the order of `rules`.

    See `chaii.decoding.cleaning_rules` for what every rule guarantees.

    Raises:
        ValueError: a rule is unknown.

    >>> clean_answer("(287 ई.पू", "सिरैक्यूज़ (287 ई.पू. में)", rules=DEFAULT_RULES)
    '287 ई.पू.'
    """
    unknown = [name for name in rules if name not in RULES]
    if unknown:
        raise ValueError(f"cleaning rule {unknown[0]!r} is none of {list(RULES)}")
    for name, rule in RULES.items():
        if name in rules:
            answer = rule(answer, context)
    return answer


def clean_answers(
    answers: pd.DataFrame, contexts: Sequence[str], *, rules: Sequence[str]
) -> pd.DataFrame:
    """Clean the answers of a table that `decode_answers` made; return a new table.

    `start_char` and `end_char` (half-open) move to the nearest occurrence of the cleaned text, so
    that `prediction == context[start_char:end_char]` still holds. An answer does not change if its
    cleaned text is not in its context. Other columns do not change.

    Raises:
        ValueError: contexts and answers differ in number, or a rule is unknown.
    """
    if len(contexts) != len(answers):
        raise ValueError(f"{len(contexts)} contexts for {len(answers)} answers")
    columns = ["prediction", "start_char", "end_char"]
    cleaned = []
    for context, row in zip(contexts, answers[columns].itertuples(index=False), strict=True):
        text = clean_answer(row.prediction, context, rules=rules)
        # A text inside the old answer is taken there, not at its first occurrence in the context.
        near = row.start_char + max(row.prediction.find(text), 0)
        place = find_nearest(context, text, near=near) if text != row.prediction else None
        cleaned.append(tuple(row) if place is None else (text, place, place + len(text)))
    table = pd.DataFrame(cleaned, columns=columns, index=answers.index)
    return answers.assign(**table.astype(answers[columns].dtypes))
