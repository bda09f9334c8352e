import random

import pandas as pd
import pytest

from chaii.answer.voting import vote

Span = tuple[int, int]


def answers_of(contexts: list[str], spans: list[Span]) -> pd.DataFrame:
    rows = [
        (f"q{row}", context[first:last], 0.5, first, last)
        for row, (context, (first, last)) in enumerate(zip(contexts, spans, strict=True))
    ]
    return pd.DataFrame(rows, columns=["id", "prediction", "score", "start_char", "end_char"])


def vote_on(context: str, *texts: str) -> pd.Series:
    """Vote on the first occurrences of `texts`, ranked as given."""
    names = [f"backbone{place}" for place in range(len(texts))]
    tables = {
        name: answers_of([context], [(context.index(text), context.index(text) + len(text))])
        for name, text in zip(names, texts, strict=True)
    }
    return vote(tables, contexts=[context], ranking=names).iloc[0]


CONTEXT = "भारत की राजधानी नई  दिल्ली। (एक) नगर"


@pytest.mark.parametrize(
    ("texts", "prediction"),
    [
        (("नई  दिल्ली", "नई  दिल्ली", "राजधानी"), "नई  दिल्ली"),  # the context's own blanks
        (("राजधानी नई", "नई  दिल्ली", "दिल्ली"), "नई  दिल्ली"),
        (("दिल्ली।", "दिल्ली", "दिल्ली"), "दिल्ली"),  # the most common part
        (("दिल्ली।", "दिल्ली", "भारत"), "दिल्ली।"),  # a tie: the highest ranked holder's part
        (("भारत", "दिल्ली।", "दिल्ली"), "दिल्ली।"),
        (("दिल्ली", "नई  दिल्ली। (एक", "दिल्ली। (एक)"), "दिल्ली। (एक"),
        (("दिल्ली", "दिल्ली। (एक)", "दिल्ली। (एक)", "दिल्ली"), "दिल्ली"),  # half is no majority
        (("भारत", "राजधानी", "नगर"), "भारत"),  # no word wins: the first answers
        (("", "राजधानी", "नगर"), ""),
        (("", "राजधानी", "राजधानी"), "राजधानी"),
        (("राजधानी", "", ""), "राजधानी"),
    ],
)
def test_vote_keeps_the_words_of_the_majority(texts: tuple[str, ...], prediction: str) -> None:
    assert vote_on(CONTEXT, *texts).prediction == prediction


def test_words_apart_are_joined_by_one_blank() -> None:
    result = vote_on("एक दो तीन चार", "एक", "एक दो तीन चार", "चार", "दो तीन चार", "एक")
    assert (result.prediction, result.start_char, result.end_char) == ("एक चार", 0, 13)


def test_same_word_elsewhere_is_another_word() -> None:
    tables = {"x": answers_of(["नगर नगर"], [(0, 3)]), "y": answers_of(["नगर नगर"], [(4, 7)])}
    result = vote(tables, contexts=["नगर नगर"], ranking=["y", "x"]).iloc[0]
    assert (result.start_char, result.words) == (4, 0)


@pytest.mark.parametrize(
    ("texts", "score", "words"),
    [
        (("नई", "नई", "नई"), 1.0, 1),
        (("नई", "नई  दिल्ली", "नई  दिल्ली"), 5 / 6, 2),
        (("नई", "भारत", "दिल्ली"), 1 / 3, 0),
        (("", "भारत", "दिल्ली"), 0.0, 0),
    ],
)
def test_score_is_the_mean_share_of_holders(
    texts: tuple[str, ...], score: float, words: int
) -> None:
    result = vote_on(CONTEXT, *texts)
    assert (result.score, result.words) == (pytest.approx(score), words)


def plain_vote(context: str, spans: list[Span]) -> str:
    """Say the rule again, slowly: `spans` best first."""
    words, at = [], 0
    for text in context.split():
        at = context.index(text, at)
        words.append((at, at + len(text)))
        at += len(text)
    parts = []
    for first, last in words:
        held = []
        for start, end in spans:
            chars = [char for char in range(first, last) if start <= char < end]
            if chars:
                held.append((chars[0], chars[-1] + 1))
        if len(held) > len(spans) / 2:
            parts.append(sorted(held, key=lambda part: (-held.count(part), held.index(part)))[0])
    if not parts:
        return context[spans[0][0] : spans[0][1]]
    text = context[parts[0][0] : parts[0][1]]
    for i in range(1, len(parts)):
        between = context[parts[i - 1][1] : parts[i][0]]
        text += " " if between.strip() else between
        text += context[parts[i][0] : parts[i][1]]
    return text


def random_case(rng: random.Random, voters: int) -> tuple[str, list[Span]]:
    context = "".join(rng.choice("कि।அ b \n\u00a0\u200d") for _ in range(rng.randint(0, 30)))
    centre, spans = rng.randint(0, len(context)), []
    for _ in range(voters):
        first, last = sorted(
            min(max(centre + rng.randint(-8, 8), 0), len(context)) for _ in range(2)
        )
        text = context[first:last]
        first += len(text) - len(text.lstrip()) if text.strip() else 0
        spans.append((first, first + len(text.strip())))
    return context, spans


@pytest.mark.parametrize("voters", [1, 2, 3, 4, 5])
def test_vote_equals_a_plain_reference(voters: int) -> None:
    rng = random.Random(voters)
    contexts, spans = zip(*(random_case(rng, voters) for _ in range(120)), strict=True)
    names = [f"backbone{place}" for place in range(voters)]
    tables = {
        name: answers_of(list(contexts), [row[place] for row in spans])
        for place, name in enumerate(names)
    }
    expected = [plain_vote(*case) for case in zip(contexts, spans, strict=True)]
    result = vote(tables, contexts=contexts, ranking=names)
    assert result.prediction.tolist() == expected
    backwards = dict(reversed(tables.items()))
    pd.testing.assert_frame_equal(result, vote(backwards, contexts=contexts, ranking=names))


def test_one_backbone_returns_its_own_answers() -> None:
    rng = random.Random(0)
    contexts, spans = zip(*(random_case(rng, 1) for _ in range(200)), strict=True)
    answers = answers_of(list(contexts), [row[0] for row in spans])
    result = vote({"only": answers}, contexts=contexts, ranking=["only"])
    columns = ["id", "prediction", "start_char", "end_char"]
    pd.testing.assert_frame_equal(result[columns], answers[columns])


def test_a_long_context_is_read_only_around_the_answer() -> None:
    context = "शब्द " * 20_000
    result = vote_on(context, "शब्द शब्द", "शब्द")
    assert result.prediction == "शब्द"


@pytest.mark.parametrize(
    ("change", "ranking", "message"),
    [
        ({}, ["x"], "must name each of the backbones"),
        ({}, ["x", "x"], "must name each of the backbones"),
        ({"id": ["other"]}, ["x", "y"], "ids of 'y' differ from those of 'x'"),
        ({"prediction": ["two"]}, ["x", "y"], "'y', id 'q0': characters 0 to 3 read 'one'"),
    ],
)
def test_votes_that_do_not_fit_are_refused(
    change: dict[str, list[str]], ranking: list[str], message: str
) -> None:
    answers = answers_of(["one two"], [(0, 3)])
    with pytest.raises(ValueError, match=message):
        vote({"x": answers, "y": answers.assign(**change)}, contexts=["one two"], ranking=ranking)


def test_contexts_must_match_the_answers() -> None:
    with pytest.raises(ValueError, match="2 contexts for 1 answers"):
        vote({"x": answers_of(["one"], [(0, 3)])}, contexts=["one", "two"], ranking=["x"])
