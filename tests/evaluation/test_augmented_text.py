"""Pictures of augmentation show the ranges that the model reads."""

import re

import pytest

from chaii.config.schema import CutoutConfig
from chaii.evaluation.augmented_text import (
    render_crops,
    render_cutout,
    render_lengths,
    render_ranges,
)
from chaii.recipe.token_store import open_store

ANSWER = "320 km"
AROUND = "the river rises in the hills, and runs to the sea. " * 5
CONTEXT = f"{AROUND}{ANSWER} {AROUND}"
BLUE, GREEN, DARK = "#dbe8f4", "#9fd8b4", "#444"


@pytest.fixture(scope="module")
def store(make_examples, tokenizers, tmp_path_factory):
    rows = [("what is there?", CONTEXT, ANSWER, CONTEXT.index(ANSWER))]
    examples = make_examples(
        [("other?", "the hills", "hills", 4), *rows, ("none?", "the sea", None, 0)]
    )
    return open_store(examples, tokenizers["wordpiece"], tmp_path_factory.mktemp("tokens"))


def colours(html, colour):
    """The texts on a background of one colour."""
    return re.findall(rf'background:{colour}">([^<]*)<', html)


def read(html, *backgrounds):
    return "".join(re.findall(rf'background:(?:{"|".join(backgrounds)})">([^<]*)<', html))


def test_text_is_escaped():
    html = render_ranges("a <script> b", {"answer": [(2, 10)]})
    assert colours(html, GREEN) == ["&lt;script&gt;"]
    assert "<script>" not in html


def test_the_answer_is_shown_above_its_window():
    html = render_ranges("a b c d e", {"answer": [(4, 5)], "window": [(2, 7)]})
    assert (colours(html, BLUE), colours(html, GREEN)) == (["b ", " d"], ["c"])


def test_longer_windows_show_more_of_the_context(store):
    short, long = render_lengths(store, CONTEXT, row=1, sizes=[(40, 8), (80, 8)])
    assert colours(short, GREEN) == colours(long, GREEN) == [ANSWER]
    assert len(read(short, BLUE, GREEN)) < len(read(long, BLUE, GREEN))


def test_a_crop_moves_the_window_and_keeps_the_answer(store):
    pages = list(render_crops(store, CONTEXT, row=1, size=(60, 8), draws=4))
    assert len(set(pages)) > 1
    assert {tuple(colours(page, GREEN)) for page in pages} == {(ANSWER,)}


def test_cutout_masks_more_at_a_higher_rate(store):
    configs = [CutoutConfig(rate=rate) for rate in (0.0, 0.1, 0.5)]
    pages = render_cutout(store, CONTEXT, row=1, size=(60, 8), configs=configs)
    masked = [len("".join(colours(page, DARK))) for page in pages]
    assert masked[0] == 0 < masked[1] < masked[2]


def test_an_example_without_an_answer_is_an_error(store):
    with pytest.raises(ValueError, match="row 2: no window of 40 tokens holds its answer"):
        list(render_lengths(store, CONTEXT, row=2, sizes=[(40, 8)]))
