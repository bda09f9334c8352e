"""Row 6: from the logits of 20,000 windows of 384 tokens to answers, and the memory it takes.

Ours searches all spans over all windows of an example. The standard way searches the spans of the
20 best starts and ends of each window. Our answers must never score lower.

    python benchmarks/decode.py
"""

from __future__ import annotations

import statistics
import tracemalloc
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset
from made import make_examples
from measure import Line, alternate, compare, in_fresh_process, parse_arguments, report
from numpy.typing import NDArray
from standard_answers import choose_answers

from chaii.config.ensemble import Merge
from chaii.decoding.context_logits import ContextLogits, merge_windows
from chaii.decoding.decode import decode_answers
from chaii.recipe.span_labels import expand_ranges

TOKENS, QUESTION, STRIDE = 384, 12, 128  # the question's tokens count the special ones
WIDTH = TOKENS - QUESTION
MAX_TOKENS = 30
AT_ONCE = 128  # examples
SIZES = (5_000, 20_000, 80_000)  # windows


@dataclass(frozen=True)
class Case:
    """Logits of some windows. Each word of a context is one token."""

    ids: list[str]
    contexts: list[str]
    windows: pd.DataFrame
    lengths: NDArray[np.int64]  # (examples,) context tokens
    offsets: NDArray[np.int32]  # (tokens, 2) of all contexts
    start: NDArray[np.float16]  # flat over the context tokens of each window
    end: NDArray[np.float16]


def make_case(windows: int) -> Case:
    """Make logits that rise at some words and are nearly equal in overlapping windows."""
    examples = make_examples(max(2, windows // 15), words=4000, spread=0.3)
    words = [context.split(" ") for context in examples["context"]]
    lengths = np.array([len(row) for row in words])
    sizes = [np.array([len(word) for word in row]) for row in words]
    ends = [np.cumsum(size + 1) - 1 for size in sizes]
    bounds = [np.stack([end - size, end], axis=1) for end, size in zip(ends, sizes, strict=True)]

    count = np.maximum(1, -(-(lengths - WIDTH) // (WIDTH - STRIDE)) + 1)
    example = np.repeat(np.arange(len(lengths)), count)
    first = expand_ranges(np.zeros_like(count), count) * (WIDTH - STRIDE)
    last = np.minimum(first + WIDTH, lengths[example])
    columns = {"example": example, "context_from": first, "context_to": last}
    table = pd.DataFrame(columns)[:windows]
    kept = int(table["example"].iloc[-1]) + 1
    examples, lengths, bounds = examples[:kept], lengths[:kept], bounds[:kept]
    place = (np.cumsum(lengths) - lengths)[table["example"]] + table["context_from"]
    place = expand_ranges(
        place.to_numpy(), (table["context_to"] - table["context_from"]).to_numpy()
    )
    start, end = _draw_logits(place, int(lengths.sum()), np.random.default_rng(2021))
    return Case(
        examples["id"],
        examples["context"],
        table,
        lengths,
        np.concatenate(bounds).astype(np.int32),
        start,
        end,
    )


def decode_ours(case: Case) -> pd.DataFrame:
    """Decode with the package, `AT_ONCE` examples at a time, so that memory does not grow."""
    example = case.windows["example"].to_numpy()
    width = (case.windows["context_to"] - case.windows["context_from"]).to_numpy()
    token_at, logit_at = (np.concatenate([[0], np.cumsum(part)]) for part in (case.lengths, width))
    tables = []
    for first in range(0, len(case.ids), AT_ONCE):
        rows = slice(first, min(first + AT_ONCE, len(case.ids)))
        begin, end = np.searchsorted(example, [rows.start, rows.stop])
        flat = slice(logit_at[begin], logit_at[end])
        windows = case.windows[begin:end].assign(example=example[begin:end] - first)
        start, end = (
            merge_windows(windows, logits[flat], lengths=case.lengths[rows], merge=Merge.max)
            for logits in (case.start, case.end)
        )
        tokens = slice(token_at[rows.start], token_at[rows.stop])
        logits = ContextLogits(
            case.ids[rows],
            case.contexts[rows],
            token_at[rows.start : rows.stop + 1] - token_at[rows.start],
            case.offsets[tokens],
            start,
            end,
            np.zeros(len(case.ids[rows])),
            MAX_TOKENS,
        )
        tables.append(decode_answers(logits))
    return pd.concat(tables, ignore_index=True)


def pad_standard(case: Case) -> dict[str, Any]:
    """Make the standard loop's input: padded logits and a data set with the offsets."""
    width = (case.windows["context_to"] - case.windows["context_from"]).to_numpy()
    first = np.cumsum(case.lengths) - case.lengths
    first = first[case.windows["example"]] + case.windows["context_from"].to_numpy()
    inside = (np.arange(TOKENS) >= QUESTION) & (np.arange(TOKENS) < QUESTION + width[:, None])
    logits = [np.full(inside.shape, -10, np.float32) for _ in range(2)]
    for padded, flat in zip(logits, (case.start, case.end), strict=True):
        padded[inside] = flat
    pairs = np.zeros((inside.size, 2), np.int32)
    pairs[inside.ravel()] = case.offsets[expand_ranges(first, width)]
    pair_ends = np.arange(0, 2 * inside.size + 1, 2, dtype=np.int32)
    nulls = pa.array(~inside.ravel())
    tokens = pa.ListArray.from_arrays(pair_ends, pa.array(pairs.ravel()), mask=nulls)
    window_ends = np.arange(0, inside.size + 1, TOKENS, dtype=np.int32)
    mapping = pa.ListArray.from_arrays(window_ends, tokens)
    example = pa.array(case.windows["example"].to_numpy())
    columns = {"example": example, "offset_mapping": mapping}
    for name, kind in (("input_ids", pa.int32()), ("attention_mask", pa.int8())):
        values = pa.array(np.ones(inside.size), kind)  # the inputs of the model
        columns[name] = pa.ListArray.from_arrays(window_ends, values)
    features = Dataset(pa.table(columns))
    return {"features": features, "start_logits": logits[0], "end_logits": logits[1]}


def check_no_worse(case: Case, standard: dict[str, Any]) -> float:
    """Return the share of examples with equal answers; in the others, ours scores higher.

    Raises:
        ValueError: One of our answers scores lower.
    """
    ours = decode_ours(case)
    chosen = choose_answers(case.ids, case.contexts, **standard, max_tokens=MAX_TOKENS)
    theirs = pd.DataFrame([chosen[identity] for identity in ours["id"]])
    worse = np.flatnonzero(ours["score"].to_numpy() < theirs["score"].to_numpy())
    if worse.size:
        raise ValueError(f"{worse.size} answers are worse, the first of example {worse[0]}")
    return float((ours["prediction"] == theirs["text"]).mean())


def measure_memory(windows: int) -> tuple[float, float]:
    """Return the MiB that decoding allocates at its peak, and the MiB of the logits."""
    case = make_case(windows)
    tracemalloc.start()
    decode_ours(case)
    return tracemalloc.get_traced_memory()[1] / 2**20, 2 * case.start.nbytes / 2**20


def compare_memory() -> Line:
    """Compare the memory peak of the largest size with that of the smallest."""
    found = {size: in_fresh_process(measure_memory, size)[0] for size in SIZES}
    peaks = ", ".join(f"{peak:.0f} MiB at {size:,}" for size, (peak, _) in found.items())
    logits = ", ".join(f"{size:.0f}" for _, size in found.values())
    growth = found[SIZES[-1]][0] / found[SIZES[0]][0]
    note = f"{AT_ONCE} examples at a time; the logits, read from disk, are {logits} MiB"
    return Line("memory allocated at the peak", peaks, "", growth, at_most=1.5, note=note)


def compare_time(case: Case, *, pairs: int) -> Line:
    """Compare the seconds of both ways."""
    standard = pad_standard(case)
    same = check_no_worse(case, standard)

    def merge() -> None:
        for logits in (case.start, case.end):
            merge_windows(case.windows, logits, lengths=case.lengths, merge=Merge.max)

    loop = partial(choose_answers, case.ids, case.contexts, **standard, max_tokens=MAX_TOKENS)
    ours, theirs, merging = alternate(partial(decode_ours, case), loop, merge, pairs=pairs)
    most = statistics.median(theirs) / statistics.median(merging)
    note = (
        f"{len(case.ids)} examples; {same:.1%} of the answers are the same, no other worse; "
        f"averaging the logits onto their contexts, without any search, would be {most:.0f}x"
    )
    what = f"{len(case.windows):,} windows x {TOKENS}"
    return compare(what, ours, theirs, at_least=30, note=note)


def main() -> None:
    quick = parse_arguments(__doc__).quick
    lines = [compare_time(make_case(200 if quick else 20_000), pairs=1 if quick else 5)]
    if not quick:
        lines.append(compare_memory())
    report(6, "Decode", lines, name="decode", quick=quick)


def _draw_logits(
    place: NDArray[np.int64], tokens: int, generator: np.random.Generator
) -> list[NDArray[np.float16]]:
    """Draw start and end logits that rise around the same words, as those of a model do."""
    likely = 12 * generator.random(tokens) * (generator.random(tokens) < 0.01)
    logits = []
    for shift in (0, 2):
        near = np.convolve(np.roll(likely, shift), [0.3, 0.7, 1, 0.7, 0.3], mode="same")
        seen = (near + generator.normal(-8, 1, tokens))[place]
        logits.append((seen + generator.normal(0, 0.3, len(place))).astype(np.float16))
    return logits


if __name__ == "__main__":
    main()
