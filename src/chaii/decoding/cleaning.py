"""Clean answers by named rules, and locate the cleaned text in the context.

Each rule is a pure function of an answer and its context. No rule empties an answer. An answer that
occurs in its context still does so after each rule, and splits no grapheme that it did not split
before. A rule that is applied twice gives the same text as once.
"""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import regex

from chaii.corpus.checks import find_nearest
from chaii.decoding.graphemes import widen_to_graphemes

_APOSTROPHE = regex.compile(r"(?<=[\p{L}\p{M}\p{N}])['’](?=[\p{L}\p{M}\p{N}])")
_LOOSE = regex.compile(r"[\s\p{P}\p{Cf}]+")  # a grapheme of these alone may be stripped
_KEPT = frozenset("%‰॰")  # ॰ marks an abbreviation, as मी॰
_PARTNERS = dict(zip(")]}”’»›」』】〉》）］｝\"'", "([{“‘«‹「『【〈《（［｛\"'", strict=True))
_OPENERS = frozenset(_PARTNERS.values())

# Two or more initials without whitespace (U.S., Ph.D., ई.पू., கி.மு.), or one of a list.
_PIECE = r"\p{L}\p{M}*(?:\p{L}\p{M}*)?\."
_LISTED = (
    r"ई\. पू\.|ई\.|वि\. सं\.|हि\.|(?:कि\. |मि\. |से\. |सें\. )?मी\.|(?:कि\. |मि\. )?ग्रा\.|"
    r"किमी\.|सेमी\.|सें\.|कि\.|लि\.|डॉ\.|पं\.|प्रो\.|"
    r"கி\. (?:மு|பி|கி)\.|(?:ச\. )?(?:கி\. |செ\. |மி\. )?மீ\.|கிமீ\.|கிமு\.|கிபி\.|டாக்டர்\.|திரு\.|"
    r"B\. C\. E\.|[BC]\. [CE]\.|A\. D\.|[ap]\. m\.|[kcm]?m\.|[km]?g\.|"
    r"(?:BC|AD|B?CE|Dr|Mr|Mrs|Prof|St|Jr|Sr|Inc|Ltd|Rs|etc)\."
).replace(" ", r"\s")
_ABBREVIATION = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}\u200c\u200d])(?:(?:{_PIECE}){{2,}}|{_LISTED})(?!\p{{L}})"
)

_DIGITS = regex.compile(r"[\s,.\-%]*(?:[०-९][०-९\s,.\-%]*|[௦-௯][௦-௯\s,.\-%]*)")
_TO_ARABIC = str.maketrans("०१२३४५६७८९௦௧௨௩௪௫௬௭௮௯", "0123456789" * 2)

_CASES = "(?:ிலிருந்து|ினால்|ில்|ின்|ால்|ை|ுடன்|ுக்கு|ிற்கு|ிடம்|ோடு|ுடைய)"
_SUFFIXES = [  # a suffix, and the ending that replaces it; the first one that fits is cut
    (regex.compile(rf"(?<=\p{{Tamil}})த்த{_CASES}$"), "ம்"),
    (regex.compile(rf"(?<=\p{{Tamil}}){_CASES}$"), "்"),
    (regex.compile(rf"(?<=[ாிீுூெேைொோௌ])[யவ]{_CASES}$|(?<=\p{{Tamil}})(?<!ு)க்கு$"), ""),
    (regex.compile(r"(?<=\p{Tamil})(?:இலிருந்து|இல்|இன்|ஆல்|ஐ|உடன்|உக்கு)$"), ""),
]
_LAST_WORD = regex.compile(r"[\p{Tamil}--\p{N}]*$", regex.V1)
_SHORTEST_STEM = 3  # graphemes


def strip_punctuation(answer: str, context: str) -> str:  # noqa: ARG001 (as every rule)
    """Strip whitespace and punctuation (every Unicode P*, also dandas) off both ends.

    The rule keeps %, ‰ and ॰, symbols such as ₹ or °, the last dot of an abbreviation that
    `restore_dot` knows, and a bracket or quote whose partner is inside the answer. It does not
    change an answer of punctuation alone.

    >>> strip_punctuation("(1947) में।", ""), strip_punctuation("दिल्ली)", "")
    ('(1947) में', 'दिल्ली')
    """
    paired = _find_pairs(answer)
    spans = [match.span() for match in regex.finditer(r"\X", answer)]
    first, last = 0, len(answer)
    for start, end in spans:
        if not _may_strip(answer, start, end, paired):
            break
        first = end
    for start, end in reversed(spans):
        if not _may_strip(answer, start, end, paired) or _ends_abbreviated(answer[first:end]):
            break
        last = start
    return answer[first:last] or answer


def arabic_digits(answer: str, context: str) -> str:
    """Write an answer of Devanagari or Tamil digits in Arabic digits where the context does.

    Separators (, . - % and whitespace) may occur between the digits. The Arabic form must occur in
    the context as a number of its own: not inside a longer number, and not beside a letter.

    >>> arabic_digits("१९४७", "सन् १९४७ (1947) में"), arabic_digits("१९", "1947")
    ('1947', '१९')
    """
    if not _DIGITS.fullmatch(answer):
        return answer
    number = answer.translate(_TO_ARABIC)
    before = r"(?<![\p{L}\p{M}\p{N}])(?<!\p{Nd}[.,])"
    after = r"(?![\p{L}\p{M}\p{N}]|[.,]\p{Nd})"
    return number if _occurs(before + regex.escape(number) + after, context) else answer


def restore_dot(answer: str, context: str) -> str:
    """Add the dot that an abbreviation (BC, km, initials) at the answer's end has in the context.

    >>> restore_dot("287 ई.पू", "वह 287 ई.पू. में जन्मा"), restore_dot("the end", "the end.")
    ('287 ई.पू.', 'the end')
    """
    dotted = answer + "."
    if dotted not in context or not _ends_abbreviated(dotted):
        return answer
    ends = {match.end() for match in _ABBREVIATION.finditer(context)}
    return dotted if _occurs(regex.escape(dotted), context, ends) else answer


def trim_tamil_suffix(answer: str, context: str) -> str:
    """Trim Tamil case suffixes off the last word if the shorter text occurs in the context.

    A consonant gets its pulli back when a suffix that begins with a vowel sign is cut (னில் to ன்);
    த்தில் and similar endings become ம். No stem is shorter than three graphemes.

    >>> trim_tamil_suffix("சென்னையில்", "சென்னையில் உள்ளது")
    'சென்னை'
    >>> trim_tamil_suffix("பிரிட்டனில்", "பிரிட்டன் நாடு; பிரிட்டனில் உள்ளது")
    'பிரிட்டன்'
    """
    trimmed = answer
    while (shorter := _trim_once(trimmed, context)) != trimmed:
        trimmed = shorter
    return trimmed


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


def _trim_once(answer: str, context: str) -> str:
    for suffix, ending in _SUFFIXES:
        stem: str = suffix.sub(ending, answer)
        last_word = _LAST_WORD.search(stem)[0]
        long_enough = len(regex.findall(r"\X", last_word)) >= _SHORTEST_STEM
        if stem != answer and long_enough and _occurs(regex.escape(stem), context):
            return stem
    return answer


def _may_strip(answer: str, start: int, end: int, paired: set[int]) -> bool:
    """Whether a grapheme holds only whitespace, invisible marks and unpaired punctuation."""
    grapheme = answer[start:end]
    is_loose = bool(_LOOSE.fullmatch(grapheme)) and _KEPT.isdisjoint(grapheme)
    return is_loose and paired.isdisjoint(range(start, end))


def _find_pairs(text: str) -> set[int]:
    """Positions of the brackets and quotes with a partner; apostrophes in words do not count."""
    apostrophes = {match.start() for match in _APOSTROPHE.finditer(text)}
    opened: list[int] = []
    paired: set[int] = set()
    for at, char in enumerate(text):
        if at in apostrophes:
            continue
        opener = _PARTNERS.get(char)
        partner = next((place for place in reversed(opened) if text[place] == opener), None)
        if partner is not None:
            paired |= {partner, at}
            del opened[opened.index(partner) :]
        elif char in _OPENERS:
            opened.append(at)
    return paired


def _ends_abbreviated(text: str) -> bool:
    ends = (match.end() for match in _ABBREVIATION.finditer(text))
    return text.endswith(".") and len(text) in ends


def _occurs(pattern: str, context: str, ends: set[int] | None = None) -> bool:
    """Whether a match splits no grapheme of the context and has one of `ends` (None: any end)."""
    return any(
        widen_to_graphemes(context, *match.span()) == match.span()
        for match in regex.finditer(pattern, context)
        if ends is None or match.end() in ends
    )
