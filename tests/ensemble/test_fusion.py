import math
from itertools import pairwise, permutations

import numpy as np
import pytest

from chaii.config.ensemble import DecodeConfig, SpanScore
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers, read_answer
from chaii.decoding.graphemes import widen_to_words
from chaii.ensemble.fusion import fuse_characters

TEXTS = [
    "गंगा नदी की लंबाई २५२५ किलोमीटर है। यह लंबी है",
    "சென்னை, தமிழ்நாட்டின் தலைநகரம் ஆகும். காவிரி 800 கி.மீ.",
    "In 1912 (or so) Patna became the capital",
    "क्\u200dष क्‌ष ॥",
    "a",
]


def random_logits(rng, texts, *, max_tokens=None):
    """Texts cut into tokens at random places, some characters in no token."""
    offsets, counts = [], []
    for text in texts:
        spaces = [at for at, character in enumerate(text) if character.isspace()]
        places = rng.integers(0, len(text) + 1, size=len(text) // 3).tolist()
        cuts = sorted({0, len(text), *spaces, *places})
        tokens = [
            pair for pair in pairwise(cuts) if text[slice(*pair)].strip() and rng.random() < 0.95
        ]
        offsets += tokens
        counts.append(len(tokens))
    row_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    start, end = rng.normal(scale=3, size=(2, len(offsets))).astype(np.float32)
    start[rng.random(len(start)) < 0.05] = -np.inf
    return ContextLogits(
        ids=[str(row) for row in range(len(texts))],
        contexts=texts,
        row_start=row_start,
        offsets=np.array(offsets, dtype=np.int32).reshape(-1, 2),
        start=start,
        end=end,
        null=np.zeros(len(texts)),
        max_answer_tokens=int(max_tokens or rng.integers(1, 8)),
    )


def tokens_of(logits, row):
    """(start_char, end_char, start logit, end logit) of every token of a row."""
    rows = slice(logits.row_start[row], logits.row_start[row + 1])
    columns = logits.offsets[rows].T.tolist(), logits.start[rows], logits.end[rows]
    return list(zip(*columns[0], columns[1].tolist(), columns[2].tolist(), strict=True))


def spread(tokens, size, side):
    values = [-math.inf] * size
    for token in tokens:
        for char in range(token[0], token[1]):
            values[char] = max(values[char], token[side])
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total if total else 0.0 for value in values]


def fuse_plainly(voters, weights, row, score):
    """The rule of `fuse_characters`, span by span; returns the best span and its score."""
    text = next(iter(voters.values())).contexts[row]
    total = sum(weights.values())
    start, end = [0.0] * len(text), [0.0] * len(text)
    furthest, ends = {}, set()
    for name, logits in voters.items():
        tokens = tokens_of(logits, row)
        for side, fused in ((2, start), (3, end)):
            for char, value in enumerate(spread(tokens, len(text), side)):
                fused[char] += weights[name] / total * value
        for number, token in enumerate(tokens):
            last = tokens[min(number + logits.max_answer_tokens, len(tokens)) - 1]
            furthest[token[0]] = max(furthest.get(token[0], 0), last[1])
            ends.add(token[1])
    best = (-math.inf, 0, 0)
    for first in sorted(furthest):
        for last in sorted(ends):
            if first < last <= furthest[first] and start[first] > 0 and end[last - 1] > 0:
                pair = start[first], end[last - 1]
                value = {
                    SpanScore.sum: lambda s, e: math.log(s) + math.log(e),
                    SpanScore.softmax: lambda s, e: s / sum(start) + e / sum(end),
                    SpanScore.sigmoid: lambda s, e: -math.log1p(s**-1.2) - math.log1p(1 / e),
                }[score](*pair)
                if value > best[0] + 1e-9:
                    best = (value, first, last)
    return best


@pytest.mark.parametrize("score", list(SpanScore))
def test_fusion_equals_a_plain_loop_on_random_cases(score):
    rng = np.random.default_rng(7)
    for _ in range(70):
        texts = [TEXTS[i] for i in rng.integers(len(TEXTS), size=5)]
        names = ["a", "b", "c", "d"][: rng.integers(2, 5)]
        voters = {name: random_logits(rng, texts) for name in names}
        weights = {name: float(rng.integers(1, 4)) for name in names}
        fused = fuse_characters(voters, decoding=DecodeConfig(score=score), weights=weights)
        for row, text in enumerate(texts):
            value, first, last = fuse_plainly(voters, weights, row, score)
            assert fused["score"][row] == pytest.approx(value, abs=1e-4)
            expected = ("", 0, 0)
            if value > -math.inf:
                expected = read_answer(text, *widen_to_words(text, first, last))
            found = fused.loc[row, ["prediction", "start_char", "end_char"]]
            assert tuple(found) == expected


def test_one_voter_alone_answers_as_it_does_alone():
    rng = np.random.default_rng(1)
    voter, other = random_logits(rng, TEXTS), random_logits(rng, TEXTS)
    alone = decode_answers(voter)
    assert fuse_characters({"a": voter}).equals(alone)
    assert fuse_characters({"a": voter, "b": other}, weights={"b": 0}).equals(alone)


def test_the_order_of_voters_changes_nothing():
    rng = np.random.default_rng(2)
    voters = {name: random_logits(rng, TEXTS) for name in "abc"}
    tables = [
        fuse_characters({name: voters[name] for name in order}, weights={"b": 0.3})
        for order in permutations("abc")
    ]
    assert all(table.equals(tables[0]) for table in tables)


def test_rows_are_fused_in_chunks_with_equal_answers(monkeypatch):
    rng = np.random.default_rng(3)
    voters = {name: random_logits(rng, TEXTS * 5) for name in "ab"}
    whole = fuse_characters(voters)
    monkeypatch.setattr("chaii.ensemble.fusion._CHUNK_CHARACTERS", 60)
    assert fuse_characters(voters).equals(whole)


def test_an_answer_is_never_part_of_a_word():
    rng = np.random.default_rng(4)
    voters = {name: random_logits(rng, TEXTS * 20, max_tokens=3) for name in "ab"}
    for row in fuse_characters(voters).itertuples():
        context = (TEXTS * 20)[int(row.id)]
        assert row.prediction == context[row.start_char : row.end_char]
        assert widen_to_words(context, row.start_char, row.end_char) == (
            row.start_char,
            row.end_char,
        )


def test_an_answer_holds_no_more_words_than_allowed():
    rng = np.random.default_rng(5)
    voters = {name: random_logits(rng, TEXTS * 20, max_tokens=30) for name in "ab"}
    fused = fuse_characters(voters, decoding=DecodeConfig(max_words=2))
    assert fused["prediction"].str.split().str.len().max() == 2


def test_a_row_without_tokens_has_no_answer():
    nothing = random_logits(np.random.default_rng(0), [""])
    answer = fuse_characters({"one": nothing, "two": nothing}).iloc[0]
    assert answer.to_list() == ["0", "", -np.inf, 0, 0]
