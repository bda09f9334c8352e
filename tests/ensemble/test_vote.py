import random
from fractions import Fraction

import pandas as pd
import pytest

from chaii.config.ensemble import Tie, VoteBy
from chaii.ensemble.vote import vote

Span = tuple[int, int]


def answers_of(contexts: list[str], spans: list[Span]) -> pd.DataFrame:
    rows = [
        (f"q{row}", context[first:last], 0.5, first, last)
        for row, (context, (first, last)) in enumerate(zip(contexts, spans, strict=True))
    ]
    return pd.DataFrame(rows, columns=["id", "prediction", "score", "start_char", "end_char"])


def vote_on(context: str, *texts: str) -> pd.Series:
    """Vote on the first occurrences of `texts`, ranked as given."""
    names = [f"voter{place}" for place in range(len(texts))]
    tables = {
        name: answers_of([context], [(context.index(text), context.index(text) + len(text))])
        for name, text in zip(names, texts, strict=True)
    }
    return vote(tables, contexts=[context], ranking=names).iloc[0]


CONTEXT = "भारत की राजधानी नई  दिल्ली। (एक) नगर"


@pytest.mark.parametrize(
    ("texts", "prediction"),
    [
        (("नई  दिल्ली", "नई  दिल्ली", "राजधानी"), "नई  दिल्ली"),  # the context's own whitespace
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


def test_words_apart_are_joined_by_one_space() -> None:
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


def words_of(context: str) -> list[Span]:
    words, at = [], 0
    for text in context.split():
        at = context.index(text, at)
        words.append((at, at + len(text)))
        at += len(text)
    return words


def overlap(word: Span, answer: Span) -> Span | None:
    chars = [char for char in range(*word) if answer[0] <= char < answer[1]]
    return (chars[0], chars[-1] + 1) if chars else None


def plain_vote(
    context: str, voters: list[tuple[Span, Fraction]], tie: Tie, contiguous: bool
) -> tuple[str, Fraction, int]:
    """Apply the rule slowly and in exact numbers; `voters` best first."""
    voters = [(answer, weight) for answer, weight in voters if weight]
    total = sum(weight for _, weight in voters)
    words, first_answer = words_of(context), voters[0][0]
    held = {
        word: sum(weight for answer, weight in voters if overlap(word, answer)) for word in words
    }
    stays = {}
    for word in words:
        stays[word] = 2 * held[word] > total
        if 2 * held[word] == total:
            own = bool(overlap(word, first_answer))
            stays[word] = tie is Tie.keep or (tie is Tie.best and own)
    if contiguous:
        best, best_weight = [], Fraction(0)
        for first in range(len(words)):
            for last in range(first + 1, len(words) + 1):
                run = words[first:last]
                weight = sum(held[word] for word in run)
                if all(stays[word] for word in run) and weight > best_weight:
                    best, best_weight = run, weight
        stays = {word: word in best for word in words}
    printed = [word for word in words if stays[word]]
    if not printed:
        own = [word for word in words if overlap(word, first_answer)]
        mean = sum((held[word] for word in own), Fraction(0)) / max(len(own), 1)
        return context[slice(*first_answer)], mean / total, 0
    text, behind = "", None
    for word in printed:
        weight_of: dict[Span, Fraction] = {}
        for answer, weight in voters:
            part = overlap(word, answer)
            if part:
                weight_of[part] = weight_of.get(part, Fraction(0)) + weight
        chosen = None
        for part in weight_of:
            if chosen is None or weight_of[part] > weight_of[chosen]:
                chosen = part
        if behind is not None:
            between = context[behind : chosen[0]]
            text += " " if between.strip() else between
        text += context[slice(*chosen)]
        behind = chosen[1]
    mean = sum(held[word] for word in printed) / Fraction(len(printed))
    return text, mean / total, len(printed)


PIECES = ["दिल्ली", "में", "है।", "(एक)", "१९४७", "சென்னை", "ஆறு,", "கி.மு.", "a", "।", "\u200d"]
SPACES = [" ", " ", " ", "  ", "\n", "\u00a0"]


def random_case(rng: random.Random, voters: int) -> tuple[str, list[Span]]:
    """A context of a few words, and answers around one place of it, some in the midst of words."""
    context = "".join(rng.choice(PIECES) + rng.choice(SPACES) for _ in range(rng.randint(0, 9)))
    borders = [border for word in words_of(context) for border in word]
    centre, reach, spans = rng.randint(0, len(context)), rng.choice([4, 12, 40]), []
    for _ in range(voters):
        ends = [min(max(centre + rng.randint(-reach, reach), 0), len(context)) for _ in range(2)]
        if borders and rng.random() < 0.6:
            ends = [min(borders, key=lambda border, end=end: abs(border - end)) for end in ends]
        first, last = sorted(ends)
        text = context[first:last]
        first += len(text) - len(text.lstrip()) if text.strip() else 0
        spans.append((first, first + len(text.strip())))
    return context, spans


WEIGHTS = ["0", "0.1", "0.1", "0.2", "0.2", "0.3", "0.6", "0.7"]


@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize("tie", list(Tie))
@pytest.mark.parametrize("voters", [1, 2, 3, 4, 5, 6])
def test_vote_equals_a_plain_reference(voters: int, tie: Tie, contiguous: bool) -> None:
    rng = random.Random(f"{voters} {tie.value} {contiguous}")
    names = [f"voter{place}" for place in range(voters)]
    for _ in range(4):
        contexts, spans = zip(*(random_case(rng, voters) for _ in range(7)), strict=True)
        weights = dict(zip(names, rng.choices(WEIGHTS, k=voters), strict=True))
        weights[rng.choice(names)] = "0.3"
        if rng.random() < 0.3:
            weights = dict.fromkeys(names, "1")
        tables = {
            name: answers_of(list(contexts), [row[place] for row in spans])
            for place, name in enumerate(names)
        }
        rule = {"contexts": contexts, "ranking": names, "tie": tie, "contiguous": contiguous}
        numbers = {name: float(weights[name]) for name in reversed(names)}
        result = vote(tables, weights=numbers, **rule)
        for row, context in enumerate(contexts):
            given = [
                (spans[row][place], Fraction(weights[name])) for place, name in enumerate(names)
            ]
            text, score, words = plain_vote(context, given, tie, contiguous)
            assert (result.prediction[row], result.words[row]) == (text, words)
            assert result.score[row] == pytest.approx(float(score))
        backwards = dict(reversed(tables.items()))
        pd.testing.assert_frame_equal(result, vote(backwards, weights=numbers, **rule))


def test_weights_left_out_are_one_each() -> None:
    tables = {
        name: answers_of(["एक दो तीन"], [span])
        for name, span in {"x": (0, 2), "y": (3, 5), "z": (3, 9)}.items()
    }
    rule = {"contexts": ["एक दो तीन"], "ranking": ["x", "y", "z"]}
    expected = vote(tables, weights={"x": 7.0, "y": 7.0, "z": 7.0}, **rule)
    pd.testing.assert_frame_equal(vote(tables, **rule), expected)
    assert expected.prediction[0] == "दो"


@pytest.mark.parametrize(
    ("tie", "prediction"),
    [(Tie.drop, "तीन"), (Tie.keep, "एक तीन चार"), (Tie.best, "एक तीन")],
)
def test_words_of_half_the_weight_go_by_the_tie_rule(tie: Tie, prediction: str) -> None:
    context = "एक दो तीन चार"
    spans = {"x": (0, 9), "y": (6, 13), "z": (6, 13), "v": (0, 2)}
    tables = {name: answers_of([context], [span]) for name, span in spans.items()}
    weights = {"x": 0.3, "y": 0.1, "z": 0.3, "v": 0.1}  # 0.3 + 0.1 is half of 0.8 in floats too
    result = vote(tables, contexts=[context], ranking=list(spans), weights=weights, tie=tie)
    assert result.prediction[0] == prediction


def test_a_short_run_of_much_weight_beats_a_long_one() -> None:
    context = "एक दो तीन चार पाँच छह"
    spans = {"x": (0, 21), "y": (0, 5), "z": (10, 21)}
    tables = {name: answers_of([context], [span]) for name, span in spans.items()}
    rule = {"contexts": [context], "ranking": list(spans), "contiguous": True}
    heavy, light = {"x": 0.49, "y": 0.48, "z": 0.03}, {"x": 0.49, "y": 0.03, "z": 0.48}
    assert vote(tables, weights=heavy, **rule).prediction[0] == "एक दो"  # 2 x .97, 3 x .52
    assert vote(tables, weights=light, **rule).prediction[0] == "चार पाँच छह"


def test_contiguous_prints_the_heaviest_run() -> None:
    context = "एक दो तीन चार"
    spans = {"x": (0, 2), "y": (0, 13), "z": (6, 13)}
    tables = {name: answers_of([context], [span]) for name, span in spans.items()}
    rule = {"contexts": [context], "ranking": list(spans)}
    assert vote(tables, **rule).prediction[0] == "एक तीन चार"
    result = vote(tables, contiguous=True, **rule).iloc[0]
    assert (result.prediction, result.start_char, result.words) == ("तीन चार", 6, 2)


def test_a_voter_of_weight_0_takes_no_part() -> None:
    rng = random.Random(1)
    contexts, spans = zip(*(random_case(rng, 3) for _ in range(50)), strict=True)
    tables = {
        name: answers_of(list(contexts), [row[place] for row in spans])
        for place, name in enumerate("xyz")
    }
    without = {name: tables[name] for name in "yz"}
    for tie in Tie:
        weights = {"x": 0, "y": 2, "z": 2}
        pd.testing.assert_frame_equal(
            vote(tables, contexts=contexts, ranking="xyz", weights=weights, tie=tie),
            vote(without, contexts=contexts, ranking="yz", tie=tie),
        )


def test_one_voter_returns_its_own_answers() -> None:
    rng = random.Random(0)
    contexts, spans = zip(*(random_case(rng, 2) for _ in range(200)), strict=True)
    own, other = (answers_of(list(contexts), [row[place] for row in spans]) for place in (0, 1))
    columns = ["id", "prediction", "start_char", "end_char"]
    for tables, weights in [({"own": own}, None), ({"z": other, "own": own}, {"z": 0, "own": 3})]:
        for tie in Tie:
            for contiguous in (False, True):
                result = vote(
                    tables,
                    contexts=contexts,
                    ranking=list(tables),
                    weights=weights,
                    tie=tie,
                    contiguous=contiguous,
                )
                pd.testing.assert_frame_equal(result[columns], own[columns])


def test_a_long_context_is_read_only_around_the_answer() -> None:
    context = "शब्द " * 20_000
    result = vote_on(context, "शब्द शब्द", "शब्द")
    assert result.prediction == "शब्द"


def test_by_text_the_same_answer_at_two_places_is_the_same() -> None:
    context = "पटना क दिल्ली ख दिल्ली"
    spans = {"x": (0, 4), "y": (7, 13), "z": (16, 22)}
    tables = {name: answers_of([context], [span]) for name, span in spans.items()}
    rule = {"contexts": [context], "ranking": list(spans)}
    assert vote(tables, by=VoteBy.place, **rule).prediction[0] == "पटना"
    result = vote(tables, by=VoteBy.text, **rule).iloc[0]
    assert (result.prediction, result.start_char, result.words) == ("दिल्ली", 7, 1)


def test_by_text_words_are_taken_from_the_voter_that_holds_most_of_them() -> None:
    context = "दो एक क एक दो तीन"
    spans = {"x": (0, 2), "y": (8, 17), "z": (8, 13)}  # x: दो; y: एक दो तीन; z: एक दो
    tables = {name: answers_of([context], [span]) for name, span in spans.items()}
    result = vote(tables, contexts=[context], ranking=list(spans), by=VoteBy.text).iloc[0]
    assert (result.prediction, result.start_char) == ("एक दो", 8)


def test_by_text_a_word_counts_as_often_as_it_is_held() -> None:
    context = "एक एक क एक"
    spans = {"x": (0, 5), "y": (0, 5), "z": (8, 10)}
    tables = {name: answers_of([context], [span]) for name, span in spans.items()}
    result = vote(tables, contexts=[context], ranking=list(spans), by=VoteBy.text).iloc[0]
    assert (result.prediction, result.words) == ("एक एक", 2)


@pytest.mark.parametrize("tie", list(Tie))
@pytest.mark.parametrize("contiguous", [False, True])
def test_place_and_text_agree_where_each_word_occurs_once(tie: Tie, contiguous: bool) -> None:
    rng = random.Random(2)
    context = " ".join(PIECES)
    words = words_of(context)
    names, spans = "wxyz", []
    for _ in range(60):
        ends = [sorted(rng.sample(range(len(words)), 2)) for _ in names]
        spans.append([(words[first][0], words[last][1]) for first, last in ends])
    tables = {
        name: answers_of([context] * 60, [row[place] for row in spans])
        for place, name in enumerate(names)
    }
    rule = {"contexts": [context] * 60, "ranking": names, "tie": tie, "contiguous": contiguous}
    pd.testing.assert_frame_equal(
        vote(tables, by=VoteBy.text, **rule), vote(tables, by=VoteBy.place, **rule)
    )


def test_a_voter_without_a_weight_counts_once() -> None:
    spans = {"x": (0, 2), "y": (3, 5), "z": (3, 5)}
    tables = {name: answers_of(["एक दो"], [span]) for name, span in spans.items()}
    rule = {"contexts": ["एक दो"], "ranking": list(spans)}
    for weight, prediction in ((1.9, "दो"), (2.1, "एक")):
        assert vote(tables, **rule, weights={"x": weight}).prediction[0] == prediction
