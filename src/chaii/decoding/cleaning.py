"""Clean answers by named rules, and find their place in the context again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from chaii.corpus.checks import find_nearest
from chaii.decoding.cleaning_rules import (
    arabic_digits,
    restore_dot,
    strip_punctuation,
    trim_tamil_suffix,
)

# In the order they are applied: a dot is restored last, so that no rule meets it.
RULES: Mapping[str, Callable[[str, str], str]] = {
    "strip_punctuation": strip_punctuation,
    "arabic_digits": arabic_digits,
    "trim_tamil_suffix": trim_tamil_suffix,
    "restore_dot": restore_dot,
}
DEFAULT_RULES = tuple(name for name in RULES if name != "trim_tamil_suffix")


def clean_answer(answer: str, context: str, *, rules: Sequence[str]) -> str:
    """Apply rules to an answer, in the order of `RULES` whatever the order given.

    What holds for each rule holds for all together: see `chaii.decoding.cleaning_rules`.

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
    """Clean the answers of a table as `decode_answers` makes it; returns a new one.

    `start_char` and `end_char` (half-open) move to the nearest occurrence of the cleaned text, so
    that `prediction == context[start_char:end_char]` still holds. An answer whose cleaned text is
    not in its context stays as it was. Other columns are untouched.

    Raises:
        ValueError: contexts and answers differ in number, or a rule is unknown.
    """
    if len(contexts) != len(answers):
        raise ValueError(f"{len(contexts)} contexts for {len(answers)} answers")
    columns = ["prediction", "start_char", "end_char"]
    rows = zip(*(answers[name].to_list() for name in columns), strict=True)
    cleaned = [
        _clean_row(*row, context=context, rules=rules)
        for row, context in zip(rows, contexts, strict=True)
    ]
    table = pd.DataFrame(cleaned, columns=columns, index=answers.index)
    return answers.assign(**table.astype(answers[columns].dtypes))


def _clean_row(
    prediction: str, start_char: int, end_char: int, *, context: str, rules: Sequence[str]
) -> tuple[str, int, int]:
    text = clean_answer(prediction, context, rules=rules)
    if text == prediction:
        return prediction, start_char, end_char
    # What lies inside the old answer is there, not at an equal text before it.
    inside = max(prediction.find(text), 0)
    place = find_nearest(context, text, near=start_char + inside)
    if place is None:
        return prediction, start_char, end_char
    return text, place, place + len(text)
