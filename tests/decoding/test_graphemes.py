import random
from itertools import pairwise

import regex

from chaii.decoding.graphemes import number_words, widen_to_graphemes, widen_to_words

ALPHABET = list("\u0600\uff9eकतरिीु्ंाசனிக்ே்aé1२।॥.,() \n\u200c\u200d\u0301\u1f3f👩💻🇮🇳")


def random_texts(count, *, longest=30):
    generator = random.Random(0)
    for _ in range(count):
        yield "".join(generator.choices(ALPHABET, k=generator.randint(1, longest))), generator


def test_widened_ranges_begin_and_end_where_graphemes_do():
    for text, generator in random_texts(2000):
        borders = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
        start_char, end_char = sorted(generator.sample(range(len(text) + 1), 2))
        widened = widen_to_graphemes(text, start_char, end_char)
        assert widened == (
            max(border for border in borders if border <= start_char),
            min(border for border in borders if border >= end_char),
        )


def test_ranges_widened_to_words_cut_none():
    for text, generator in random_texts(2000):
        start_char, end_char = sorted(generator.sample(range(len(text) + 1), 2))
        first, last = widen_to_words(text, start_char, end_char)
        assert first <= start_char <= end_char <= last
        for at in (first, last):
            pair = text[max(at - 1, 0) : at + 1]
            inside = len(pair) == 2 and 0 < at < len(text)
            assert not (inside and regex.fullmatch(r"[\p{L}\p{M}\p{N}\u200c\u200d]{2}", pair))


def test_an_empty_range_stays_empty():
    assert widen_to_graphemes("दिल्ली", 1, 1) == (1, 1)
    assert widen_to_words("दिल्ली", 1, 1) == (1, 1)


def test_a_danda_is_of_no_word():
    assert widen_to_words("दिल्ली। नगर", 2, 4) == (0, 6)


def test_words_are_numbered_as_split_counts_them():
    for text, _ in random_texts(500):
        numbers = number_words(text)
        assert len(numbers) == len(text)
        assert numbers[-1] == len(text.split())
        for (left, right), (a, b) in zip(pairwise(numbers), pairwise(text), strict=True):
            assert right - left == (a.isspace() and not b.isspace())
