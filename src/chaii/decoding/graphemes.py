"""Bounds of words and graphemes, and ranges of characters that split neither."""

import numpy as np
import regex
from numpy.typing import NDArray

_GRAPHEME = regex.compile(r"\X")
# A space separates graphemes, except from the few characters that join with their neighbour. Most
# answers begin and end beside a space, where the slower search of graphemes is not needed.
_BESIDE_SPACE = regex.compile(
    r"(?<!\p{GCB=Prepend})(?= )|(?<= )(?!\p{GCB=Extend}|\p{GCB=SpacingMark}|\p{GCB=ZWJ})"
)
# Letters with their marks and joiners, and digits; punctuation and dandas are not part of a word.
_WORD_CHARACTER = regex.compile(r"[\p{L}\p{M}\p{N}\u200c\u200d]")
_WHITESPACE = np.array([code for code in range(0x3001) if chr(code).isspace()])
_REACH = 256  # characters searched on either side: more than any real grapheme has


def widen_to_graphemes(text: str, start_char: int, end_char: int) -> tuple[int, int]:
    """Widen a half-open range so that it splits no grapheme, as a letter from its vowel sign.

    Source: extended grapheme clusters of Unicode Standard Annex 29, by the package regex.

    >>> widen_to_graphemes("दिल्ली", 1, 5)
    (0, 6)
    """
    if start_char == end_char:
        return start_char, end_char
    return _grapheme_at(text, start_char)[0], _grapheme_at(text, end_char)[1]


def widen_to_words(text: str, start_char: int, end_char: int) -> tuple[int, int]:
    """Widen a half-open range so that it splits no word and no grapheme.

    A word is a run of letters, digits, combining marks and joiners; dandas and commas end it.

    >>> widen_to_words("நான் சென்னையில் இருக்கிறேன்", 6, 10)
    (5, 15)
    """
    if start_char == end_char:
        return start_char, end_char
    while start_char > 0 and _is_inside_word(text, start_char):
        start_char -= 1
    while end_char < len(text) and _is_inside_word(text, end_char):
        end_char += 1
    widened = widen_to_graphemes(text, start_char, end_char)
    # A mark without a letter is part of the grapheme of a comma or space, and may begin a word.
    return widened if widened == (start_char, end_char) else widen_to_words(text, *widened)


def number_words(text: str) -> NDArray[np.int64]:
    """Count the words (runs of non-whitespace) that begin at or before each character.

    >>> number_words("ab c")
    array([1, 1, 1, 2])
    """
    space = find_whitespace(text)
    begins = ~space & np.concatenate([[True], space[:-1]])[: len(text)]
    return np.cumsum(begins)


def find_whitespace(text: str) -> NDArray[np.bool_]:
    """Find the characters for which `str.isspace` is true.

    >>> find_whitespace("ab c")
    array([False, False,  True, False])
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.isin(codes, _WHITESPACE)


def _is_inside_word(text: str, at: int) -> bool:
    return bool(_WORD_CHARACTER.match(text, at - 1) and _WORD_CHARACTER.match(text, at))


def _grapheme_at(text: str, at: int) -> tuple[int, int]:
    """Bounds of the grapheme around the position `at`; `at` twice if it is between graphemes."""
    if not 0 < at < len(text) or _BESIDE_SPACE.match(text, at):
        return at, at
    # The search begins where a grapheme surely begins: at a space, or at the text's beginning.
    anchor = max(text.rfind(" ", 0, at), at - _REACH, 0)
    for match in _GRAPHEME.finditer(text, anchor, min(len(text), at + _REACH)):
        if match.end() >= at:
            return (at, at) if match.end() == at else match.span()
    return at, at
