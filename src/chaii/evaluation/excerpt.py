"""Cut the part of a context around some answers into segments, marked by the answers in them."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from chaii.decoding.graphemes import widen_to_graphemes, widen_to_words

GAP = "gap"  # the mark of an ellipsis that replaces text

Range = tuple[int, int]  # half-open characters of the context


class Segment(NamedTuple):
    """A part of the excerpt; the same answers cover all of its characters."""

    text: str
    marks: tuple[str, ...] = ()  # of the answers that cover it
    ends: tuple[str, ...] = ()  # of the answers that end with it


def find_pieces(context: str, answer: str, place: Range) -> list[Range]:
    """Find the ranges of an answer inside `place`, in order; an empty answer has none.

    An answer that leaves out words of its place, as that of a vote may, is found word by word. An
    answer that is spelled otherwise than its context takes its whole place.

    >>> find_pieces("in the old city of Patna", "city Patna", (11, 24))
    [(11, 15), (19, 24)]
    """
    if not answer.strip():
        return []
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
    to whole graphemes, and the cut to whole words. Text farther than `margin` characters from every
    end of every range is left out, also inside a long range; a segment marked `GAP` replaces it.

    >>> [tuple(part) for part in cut_excerpt("a b c d", {"x": [(2, 5)], "y": [(4, 7)]})]
    [('a ', (), ()), ('b ', ('x',), ()), ('c', ('x', 'y'), ('x',)), (' d', ('y',), ('y',))]
    """
    placed = {
        mark: [widen_to_graphemes(context, *part) for part in parts if part[0] < part[1]]
        for mark, parts in ranges.items()
    }
    edges = {edge for parts in placed.values() for part in parts for edge in part}
    segments: list[Segment] = []
    shown = 0
    for low, high in _find_views(context, edges or {0}, margin):
        if low > shown:
            segments.append(Segment("…", (GAP,)))
        cuts = sorted({low, high, *(edge for edge in edges if low < edge < high)})
        for first, last in pairwise(cuts):
            covering = {
                mark: {part[1] for part in parts if part[0] <= first and last <= part[1]}
                for mark, parts in placed.items()
            }
            marks = tuple(mark for mark, ends in covering.items() if ends)
            ending = tuple(mark for mark, ends in covering.items() if last in ends)
            segments.append(Segment(context[first:last], marks, ending))
        shown = high
    return segments + [Segment("…", (GAP,))] * (shown < len(context))


def _find_views(context: str, edges: Collection[int], margin: int) -> list[Range]:
    """Find the parts of the context within `margin` characters of an edge, in order."""
    views: list[Range] = []
    for edge in sorted(edges):
        near = max(edge - margin, 0), min(edge + margin, len(context))
        low, high = widen_to_words(context, *near)
        if high - low > 3 * margin:  # a script without spaces: words as long as sentences
            low, high = widen_to_graphemes(context, *near)
        if views and low <= views[-1][1]:
            low, high = views[-1][0], max(high, views.pop()[1])
        views.append((low, high))
    return views
