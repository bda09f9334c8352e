"""Excerpts hold every bit of the answers, split no grapheme, and stay short."""

import numpy as np
import pytest
import regex

from chaii.evaluation.excerpt import GAP, cut_excerpt, find_pieces

TEXT = "क्षत्रिय विद्यार्थी 1519 में। ஸ்ரீரங்கம் கோயில் 👩‍👩‍👧 <b>&amp; e\u0301te\u0301\n" * 12
GRAPHEME_ENDS = {0, *(match.end() for match in regex.finditer(r"\X", TEXT))}


def random_ranges(generator):
    places = generator.integers(len(TEXT), size=(4, 2))
    return {str(n): [(int(min(place)), int(max(place)))] for n, place in enumerate(places)}


def place_segments(segments):
    """Each segment of an excerpt without gaps, with its first and last-plus-one character."""
    ends = np.cumsum([len(segment.text) for segment in segments]).tolist()
    return list(zip(segments, [0, *ends], ends, strict=False))


@pytest.mark.parametrize("seed", range(60))
def test_segments_without_a_gap_are_the_context(seed):
    segments = cut_excerpt(TEXT, random_ranges(np.random.default_rng(seed)), margin=10**6)
    assert "".join(segment.text for segment in segments) == TEXT


@pytest.mark.parametrize("seed", range(60))
def test_marks_cover_their_ranges_and_at_most_a_grapheme_more(seed):
    ranges = random_ranges(np.random.default_rng(seed))
    segments = place_segments(cut_excerpt(TEXT, ranges, margin=10**6))
    for mark, [(start_char, end_char)] in ranges.items():
        covered = [place for segment, *place in segments if mark in segment.marks]
        if start_char == end_char:
            assert not covered
            continue
        first, last = covered[0][0], covered[-1][1]
        assert first == max(end for end in GRAPHEME_ENDS if end <= start_char)
        assert last == min(end for end in GRAPHEME_ENDS if end >= end_char)


@pytest.mark.parametrize("seed", range(60))
def test_no_segment_splits_a_grapheme(seed):
    segments = cut_excerpt(TEXT, random_ranges(np.random.default_rng(seed)), margin=10**6)
    assert GRAPHEME_ENDS.issuperset(end for _, _, end in place_segments(segments))


def test_each_range_ends_once_at_its_own_end():
    segments = cut_excerpt("one two three four", {"x": [(0, 7), (8, 13)], "y": [(4, 13)]})
    assert [(part.text, part.ends) for part in segments if part.ends] == [
        ("two", ("x",)),
        ("three", ("x", "y")),
    ]


def test_a_long_range_loses_its_middle_but_not_its_ends():
    text = "word " * 1000
    segments = cut_excerpt(text, {"x": [(1000, 4000)]}, margin=50)
    assert [part.text for part in segments if part.marks == (GAP,)] == ["…"] * 3
    assert [part.ends for part in segments if part.ends] == [("x",)]
    assert sum(len(part.text) for part in segments) < 250


def test_places_far_apart_are_shown_apart():
    text = "a" * 10 + " b" * 2000 + " c"
    segments = cut_excerpt(text, {"x": [(0, 10)], "y": [(len(text) - 1, len(text))]}, margin=20)
    assert [part.marks for part in segments] == [("x",), (), (GAP,), (), ("y",)]


def test_an_excerpt_begins_and_ends_with_a_whole_word():
    segments = cut_excerpt("सुबह " * 50 + "उत्तर" + " शाम" * 50, {"x": [(250, 255)]}, margin=17)
    assert {word for part in segments for word in part.text.split()} == {"…", "सुबह", "उत्तर", "शाम"}


def test_a_word_without_end_does_not_make_an_excerpt_without_end():
    segments = cut_excerpt("ก" * 100_000, {"x": [(50_000, 50_010)]}, margin=100)
    assert sum(len(part.text) for part in segments) < 400


def test_without_a_range_the_context_begins():
    assert [tuple(part)[:2] for part in cut_excerpt("ab cd ef gh", {"x": []}, margin=4)] == [
        ("ab cd", ()),
        ("…", (GAP,)),
    ]
    assert [part.text for part in cut_excerpt("", {"x": []})] == []


@pytest.mark.parametrize(
    ("answer", "place", "pieces"),
    [
        ("pen", (9, 12), [(9, 12)]),  # the place wins over the first occurrence
        ("a pen", (0, 14), [(0, 5)]),  # neighbours are one piece
        ("a pencil", (0, 15), [(0, 1), (9, 15)]),  # words left out between
        ("१२", (2, 5), [(2, 5)]),  # spelled otherwise than the context
        (" ", (0, 3), []),
    ],
)
def test_find_pieces(answer, place, pieces):
    assert find_pieces("a pen or pencil", answer, place) == pieces
