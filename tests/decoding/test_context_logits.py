import numpy as np
import pandas as pd
import pytest

from chaii.decoding.context_logits import ContextLogits, merge_windows


def table_of(*windows: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(windows), columns=["example", "context_from", "context_to"])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("max", [9, 2, 7, 4, -np.inf]), ("mean", [9, 2, 5, 4, -np.inf])],
)
def test_overlapping_windows_merge_onto_context_tokens(how: str, expected: list[float]) -> None:
    windows = table_of((2, 1, 3), (0, 0, 1), (2, 0, 2))  # in no order; example 1 is empty
    logits = np.array([7, 4, 9, 2, 3], dtype=np.float16)
    merged = merge_windows(windows, logits, -logits, lengths=np.array([1, 0, 4]), how=how)
    assert merged.row_start.tolist() == [0, 1, 1, 5]
    assert merged.start.tolist() == expected
    assert merged.start.dtype == merged.end.dtype == np.float32


@pytest.mark.parametrize("how", ["max", "mean"])
def test_merging_equals_a_plain_loop(how: str) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(0, 60, size=40)
    windows = table_of(
        *(
            (example, first, min(first + 20, lengths[example]))
            for example in rng.permutation(40)
            for first in range(0, lengths[example], 7)
        )
    )
    logits = rng.normal(size=(windows.context_to - windows.context_from).sum()).astype(np.float16)
    seen: dict[tuple[int, int], list[float]] = {}
    flat = iter(logits.tolist())
    for window in windows.itertuples():
        for token in range(window.context_from, window.context_to):
            seen.setdefault((window.example, token), []).append(next(flat))
    merged = merge_windows(windows, logits, logits, lengths=lengths, how=how)
    reduce = max if how == "max" else lambda values: sum(values) / len(values)
    expected = [reduce(seen[key]) for key in sorted(seen)]
    assert merged.start.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("window", "tokens", "how", "message"),
    [
        ((0, 0, 4), 4, "max", "window 0 covers tokens 0 to 4 of example 0: outside its 3 tokens"),
        ((1, 0, 1), 1, "max", "of the 1 examples"),
        ((-1, 0, 1), 1, "max", "of the 1 examples"),
        ((0, 2, 1), 0, "max", "window 0"),
        ((0, 0, 3), 2, "max", "2 start and 2 end logits for windows that cover 3"),
        ((0, 0, 3), 3, "sum", "how='sum'"),
    ],
)
def test_windows_that_do_not_fit_are_refused(
    window: tuple[int, int, int], tokens: int, how: str, message: str
) -> None:
    logits = np.zeros(tokens, dtype=np.float32)
    with pytest.raises(ValueError, match=message):
        merge_windows(table_of(window), logits, logits, lengths=np.array([3]), how=how)


def test_of_several_windows_the_lowest_null_logit_counts() -> None:
    windows = table_of((0, 0, 1), (1, 0, 1), (0, 1, 2))
    logits = np.zeros(3, dtype=np.float16)
    null = np.array([[3, 2], [1, 1], [-1, 2]], dtype=np.float16)
    merged = merge_windows(windows, logits, logits, lengths=np.array([2, 1]), null_logits=null)
    assert merged.null is not None
    assert merged.null.tolist() == [1, 2]


def test_selected_rows_are_those_rows() -> None:
    values = np.arange(6, dtype=np.float32)
    logits = ContextLogits(values, -values, np.array([0, 2, 2, 6]), np.array([7, 8, 9], np.float32))
    some = logits.select(np.array([2, 0, 1]))
    assert some.start.tolist() == [2, 3, 4, 5, 0, 1]
    assert some.end.tolist() == [-2, -3, -4, -5, 0, -1]
    assert some.row_start.tolist() == [0, 4, 6, 6]
    assert some.null is not None
    assert some.null.tolist() == [9, 7, 8]
