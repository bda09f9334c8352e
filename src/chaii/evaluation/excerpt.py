"""Cut the part of a context that answers stand in, and say which answers cover each bit of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from chaii.decoding.graphemes import widen_to_graphemes, widen_to_words

GAP = "gap"  # the mark of an ellipsis that stands for text left out

Range = tuple[int, int]  # half-open characters of the context


class Segment(NamedTuple):
    """A bit of the excerpt whose characters are all covered by the same answers."""

    text: str
    marks: tuple[str, ...] = ()  # of the answers that cover it
    ends: tuple[str, ...] = ()  # of the answers that end with it


def find_pieces(context: str, answer: str, place: Range | None = None) -> list[Range]:
    """Where an answer stands in its context, in order; empty where it does not.

    `place` encloses the answer. An answer that leaves words out of its place, as a vote does, is
    followed word by word, and one that is spelled otherwise than the context takes its whole place.
    Without a place it is the first occurrence.

    >>> find_pieces("in the old city of Patna", "city Patna", (11, 24))
    [(11, 15), (19, 24)]
    """
    if not answer.strip():
        return []
    if place is None:
        start_char = context.find(answer)
        return [] if start_char < 0 else [(start_char, start_char + len(answer))]
    if context[slice(*place)] == answer:
        return [place]
    pieces: list[Range] = []
    at, last = place
    for word in answer.split():
        start_char = context.find(word, at, last)
        if start_char < 0:
            return [place]
        joined = pieces and context[at:start_char].isspace()
        at = start_char + len(word)
        pieces.append((pieces.pop()[0], at) if joined else (start_char, at))
    return pieces


def cut_excerpt(
    context: str, ranges: Mapping[str, Sequence[Range]], *, margin: int = 160
) -> list[Segment]:
    """Cut the context around some ranges into segments, each wholly inside or outside of each.

    `ranges` gives each mark its ranges, in the order that `Segment.marks` keeps. Ranges are widened
    to whole graphemes, the cut to whole words. What is farther than `margin` characters from every
    end of every range is left out, also inside a long range; a segment marked `GAP` stands for it.

    >>> [tuple(part) for part in cut_excerpt("a b c d", {"x": [(2, 5)], "y": [(4, 7)]})]
    [('a ', (), ()), ('b ', ('x',), ()), ('c', ('x', 'y'), ('x',)), (' d', ('y',), ('y',))]
    """
    placed = {
        mark: [widen_to_graphemes(context, *part) for part in parts if part[0] < part[1]]
        for mark, parts in ranges.items()
    }
    views = _merge_views(context, placed, margin)
    segments: list[Segment] = []
    shown = 0
    for view in views:
        if view[0] > shown:
            segments.append(Segment("…", (GAP,)))
        segments += _split_view(context, view, placed)
        shown = view[1]
    return segments + [Segment("…", (GAP,))] * (shown < len(context))


def _merge_views(context: str, placed: Mapping[str, Sequence[Range]], margin: int) -> list[Range]:
    """Stretches within `margin` of an end of a range; the context's beginning without any range."""
    edges = sorted({edge for parts in placed.values() for part in parts for edge in part})
    views: list[Range] = []
    for edge in edges or [0]:
        start_char, end_char = _view_around(context, edge, margin)
        if views and start_char <= views[-1][1]:
            views[-1] = views[-1][0], max(end_char, views[-1][1])
        else:
            views.append((start_char, end_char))
    return views


def _view_around(context: str, edge: int, margin: int) -> Range:
    view = max(edge - margin, 0), min(edge + margin, len(context))
    whole = widen_to_words(context, *view)
    # Scripts without blanks make words as long as a sentence.
    return whole if whole[1] - whole[0] <= 3 * margin else widen_to_graphemes(context, *view)


def _split_view(context: str, view: Range, placed: Mapping[str, Sequence[Range]]) -> list[Segment]:
    edges = {edge for parts in placed.values() for part in parts for edge in part}
    cuts = sorted({*view, *(edge for edge in edges if view[0] < edge < view[1])})
    segments = []
    for first, last in pairwise(cuts):
        covering = {
            mark: [part for part in parts if part[0] <= first and last <= part[1]]
            for mark, parts in placed.items()
        }
        marks = tuple(mark for mark, parts in covering.items() if parts)
        ends = tuple(mark for mark, parts in covering.items() if any(p[1] == last for p in parts))
        segments.append(Segment(context[first:last], marks, ends))
    return segments
