"""What each augmentation does to one example, as coloured HTML for a notebook."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

from chaii.config.schema import CutoutConfig
from chaii.evaluation.excerpt import GAP, Range, cut_excerpt
from chaii.model.collate import PlanDataset
from chaii.recipe.token_store import TokenStore
from chaii.recipe.windows import Window, crop, slide

# By mark; where marks overlap, the last one here decides. Text outside of all windows is grey.
_STYLES = {
    "outside": "color:#999",
    "window": "color:#000;background:#dbe8f4",
    "answer": "color:#000;background:#9fd8b4",
    "wrong": "color:#000;background:#f2b48a",
    "masked": "color:#444;background:#444",
}


def render_ranges(context: str, ranges: Mapping[str, Sequence[Range]], *, margin: int = 90) -> str:
    """Render the parts of a context near some ranges as a paragraph of HTML; text is escaped.

    `ranges` has half-open characters by mark: ``window``, ``answer``, ``wrong`` (an answer at
    another place) or ``masked``. Text farther than `margin` characters from every end is left out.

    >>> 'background:#9fd8b4">&lt;b&gt;<' in render_ranges("a <b> c", {"answer": [(2, 5)]})
    True
    """
    places = {mark: [(int(a), int(b)) for a, b in some] for mark, some in ranges.items()}
    parts = []
    for segment in cut_excerpt(context, places, margin=margin):
        marks = {"outside", *segment.marks} - {GAP}
        style = next(_STYLES[mark] for mark in reversed(_STYLES) if mark in marks)
        parts.append(f'<span style="{style}">{escape(segment.text)}</span>')
    return f"<p>{''.join(parts)}</p>"


def render_lengths(
    store: TokenStore, context: str, *, row: int, sizes: Sequence[tuple[int, int]]
) -> Iterator[str]:
    """Render the window with the answer at each ``(max_length, doc_stride)``.

    Raises:
        ValueError: no window of a size holds the answer of the example `row`.
    """
    for max_length, doc_stride in sizes:
        windows = _with_answer(store, row, max_length, doc_stride)
        yield _render_window(store, context, windows)


def render_crops(
    store: TokenStore, context: str, *, row: int, size: tuple[int, int], draws: int = 3
) -> Iterator[str]:
    """Render the window with the answer, moved at random several times."""
    windows = _with_answer(store, row, *size)
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        yield _render_window(store, context, crop(windows, store, generator=generator))


def render_cutout(
    store: TokenStore,
    context: str,
    *,
    row: int,
    size: tuple[int, int],
    configs: Sequence[CutoutConfig],
) -> Iterator[str]:
    """Render the window with the answer under several settings of cutout; masked tokens are dark.

    The mask covers tokens of the answer as well; those of the question are not shown.
    """
    windows = _with_answer(store, row, *size)
    stores, plan = {"corpus": store}, windows.assign(corpus=pd.Categorical(["corpus"]))
    plain = PlanDataset(plan, stores)[0].input_ids
    for config in configs:
        ids = PlanDataset(plan, stores, cutout_config=config)[0].input_ids
        yield _render_window(store, context, windows, masked=np.flatnonzero(ids != plain))


def _with_answer(store: TokenStore, row: int, max_length: int, doc_stride: int) -> pd.DataFrame:
    """Cut the first window of an example that holds its answer, as a table of one row."""
    windows = slide(store, max_length=max_length, doc_stride=doc_stride, rows=np.array([row]))
    windows = windows[windows["start_token"] >= 0].head(1)
    if windows.empty:
        raise ValueError(f"row {row}: no window of {max_length} tokens holds its answer")
    return windows


def _render_window(
    store: TokenStore, context: str, windows: pd.DataFrame, *, masked: Iterable[int] = ()
) -> str:
    """Render one window; `masked` are positions in its finished input."""
    window = Window._make(windows.iloc[0][list(Window._fields)].astype(int))
    last = window.length - len(store.template.after)
    first = last - (window.context_to - window.context_from)  # of the context's tokens in the input
    offsets = store.offsets[store.text_start[store.context[window.example]] + window.context_from :]

    def locate(start: int, end: int) -> Range:
        return int(offsets[start - first][0]), int(offsets[end - first][1])

    ranges = {
        "window": [locate(first, last - 1)],
        "answer": [locate(window.start_token, window.end_token)],
        "masked": [locate(token, token) for token in masked if first <= token < last],
    }
    return render_ranges(context, ranges)
