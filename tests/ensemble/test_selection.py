from dataclasses import replace

import numpy as np
import pytest

from chaii.config.ensemble import (
    DecodeConfig,
    Merge,
    MethodConfig,
    MethodKind,
    SearchConfig,
    SpanScore,
    Tie,
    VoteBy,
)
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers
from chaii.ensemble.methods import MemberPredictions
from chaii.ensemble.selection import GoldAnswers, choose_method, describe_method

pytestmark = pytest.mark.usefixtures("few_rounds")  # what surely gains here does so by far
WORDS = [f"w{number}" for number in range(10)]
CONTEXT = " ".join(WORDS)
OFFSETS = np.array([[3 * place, 3 * place + 2] for place in range(len(WORDS))])
RULES = ["strip_punctuation", "restore_dot", "arabic_digits"]
SEARCH = SearchConfig(rules=RULES, max_words=[1], folds=2)
PLAIN = MethodConfig()


def pointing_at(places, *, context=CONTEXT, offsets=OFFSETS, sure=5.0):
    """Logits of a group that answers, row by row, the token at each place."""
    logits = np.zeros((len(places), len(offsets)), dtype=np.float32)
    logits[np.arange(len(places)), places] = sure
    row_start = np.arange(len(places) + 1) * len(offsets)
    return ContextLogits(
        ids=[str(row) for row in range(len(places))],
        contexts=[context] * len(places),
        row_start=row_start,
        offsets=np.tile(offsets, (len(places), 1)),
        start=logits.ravel(),
        end=logits.ravel(),
        null=np.zeros(len(places)),
        max_answer_tokens=3,
    )


def gold_at(places, *, words=WORDS):
    return GoldAnswers(texts=[[words[place]] for place in places], contexts=range(len(places)))


def predict(rows, shares, *, seed=0):
    """Groups a, b, ... that are right in a share of the rows, and the gold answers."""
    rng = np.random.default_rng(seed)
    right = rng.integers(10, size=rows)
    groups = {
        name: pointing_at(np.where(rng.random(rows) < share, right, rng.integers(10, size=rows)))
        for name, share in zip("abc", shares, strict=False)
    }
    return MemberPredictions(lambda _: groups, voters=list(groups)), gold_at(right)


def test_a_group_that_beats_the_vote_is_chosen():
    predictions, gold = predict(240, [0.95, 0.1, 0.1])
    selection = choose_method(predictions, gold, base=PLAIN, search=SEARCH)
    answers = predictions.answer(selection.method)
    assert gold.score(answers).mean() > 0.93
    assert describe_method(selection.method) != "vote, sum"
    assert gold.score(selection.nested).mean() > 0.93


def test_the_vote_stays_where_nothing_is_surely_better():
    predictions, gold = predict(240, [0.6, 0.6, 0.6])
    selection = choose_method(predictions, gold, base=PLAIN, search=SEARCH)
    assert describe_method(selection.method) == "vote, sum"
    trials = selection.trials.set_index("method")
    assert trials.loc["vote, sum", "gain"] == trials.loc["vote, sum", "gain_high"] == 0


def test_with_few_rows_the_default_is_kept_untried():
    predictions, gold = predict(199, [0.95, 0.1, 0.1])
    selection = choose_method(predictions, gold, base=PLAIN, search=SEARCH)
    assert selection.nested is None
    assert selection.trials["method"].tolist() == ["vote, sum"]
    assert selection.method.ranking[0] == "a"


def test_choices_on_noise_gain_nothing_on_rows_they_have_not_seen():
    gains = []
    for seed in range(3):
        predictions, gold = predict(200, [0.1, 0.1, 0.1], seed=seed)
        selection = choose_method(predictions, gold, base=PLAIN, search=SEARCH)
        trials = selection.trials.set_index("method")
        assert trials.loc["auto, nested", "jaccard"] <= trials["jaccard"].max()
        gains.append(trials.loc["auto, nested", "gain"])
    assert np.mean(gains) < 0.01


def test_no_row_is_answered_by_a_choice_that_has_seen_it():
    first, second = np.zeros(6, dtype=int), np.ones(6, dtype=int)
    groups = {"a": pointing_at(first), "b": pointing_at(second)}
    predictions = MemberPredictions(lambda _: groups, voters=["a", "b"])
    search = replace(SEARCH, min_rows=1, folds=6)
    right = np.array([0, 1] * 3)  # as often right: any one row turns the ranking
    answers = choose_method(predictions, gold_at(right), base=PLAIN, search=search).nested[
        "prediction"
    ]
    assert set(answers) == {"w0", "w1"}
    for row in range(6):
        changed = right.copy()
        changed[row] = 1 - right[row]
        again = choose_method(predictions, gold_at(changed), base=PLAIN, search=search).nested
        assert again["prediction"][row] == answers[row]


def test_a_cleaning_rule_is_kept_where_it_surely_gains():
    context = "(ab cd ef) gh"
    offsets = np.array([[0, 3], [4, 6], [7, 10], [11, 13]])
    rng = np.random.default_rng(0)
    right = rng.integers(4, size=210)
    predictions = MemberPredictions(
        lambda _: {"a": pointing_at(right, context=context, offsets=offsets)}, voters=["a"]
    )
    selection = choose_method(
        predictions, gold_at(right, words=["ab", "cd", "ef", "gh"]), base=PLAIN, search=SEARCH
    )
    rules = selection.rules.set_index("rule")
    assert rules["kept"].to_dict() == {
        "strip_punctuation": True,
        "restore_dot": False,
        "arabic_digits": False,
    }
    assert rules.loc["strip_punctuation", "changed"] == ((right == 0) | (right == 2)).sum()
    assert selection.method.cleaning == {"a": ["strip_punctuation"]}
    assert share_of_words(predictions, selection) == 1.0


def share_of_words(predictions, selection):
    answers = predictions.answer(selection.method)["prediction"]
    return float(np.mean(answers.isin(["ab", "cd", "ef", "gh"])))


def test_one_group_answers_by_every_method_as_alone():
    logits = pointing_at([3, 1, 4])
    predictions = MemberPredictions(lambda _: {"a": logits}, voters=["a"])
    alone = decode_answers(logits)
    for kind in (MethodKind.vote, MethodKind.fusion):
        answers = predictions.answer(MethodConfig(kind=kind))[alone.columns]
        assert answers.drop(columns="score").equals(alone.drop(columns="score"))
    assert predictions.answer(MethodConfig(kind=MethodKind.single, group="a")).equals(alone)


def test_each_method_is_computed_for_itself():
    predictions, _ = predict(50, [0.9, 0.1, 0.5])
    single = MethodConfig(kind=MethodKind.single, group="a")
    methods = [
        single,
        replace(single, group="b"),
        replace(single, decode=DecodeConfig(score=SpanScore.softmax)),
        replace(PLAIN, weights={"b": 3.0}),
        replace(PLAIN, weights={"a": 3.0}),
        replace(PLAIN, kind=MethodKind.fusion, weights={"b": 30.0}),
    ]
    once = [predictions.answer(method) for method in methods]
    for method, answers in zip(methods, once, strict=True):
        fresh = MemberPredictions(predictions.groups, voters=predictions.voters).answer(method)
        assert fresh.equals(answers)
    assert not once[0]["prediction"].equals(once[1]["prediction"])
    assert once[3]["prediction"].equals(once[1]["prediction"])
    assert once[4]["prediction"].equals(once[0]["prediction"])


def choose(load, gold, *, voters):
    predictions = MemberPredictions(load, voters=voters)
    return choose_method(predictions, gold, base=PLAIN, search=SEARCH).method


def test_a_vote_by_text_is_chosen_where_it_surely_gains():
    rows = np.arange(210)
    right = np.random.default_rng(0).integers(5, size=210)
    places = {}  # in every row two of three voters are right, at two places
    for number, name in enumerate("abc"):
        is_wrong = rows % 3 == number
        second = 5 * (rows % 3 == (number + 1) % 3)
        places[name] = np.where(is_wrong, (right + 1) % 5, right + second)
    context = " ".join([*WORDS[:5], *WORDS[:5]])
    groups = {name: pointing_at(place, context=context) for name, place in places.items()}
    method = choose(lambda _: groups, gold_at(right), voters=list("abc"))
    assert (method.kind, method.vote_by) == (MethodKind.vote, VoteBy.text)


def test_fewer_words_are_chosen_where_they_surely_gain():
    right = np.random.default_rng(0).integers(8, size=210)
    first, last = pointing_at(right), pointing_at(right + 2)
    groups = {"a": replace(first, end=last.end)}
    assert choose(lambda _: groups, gold_at(right), voters=["a"]).decode.max_words == 1


@pytest.mark.parametrize("better", [Merge.max, Merge.mean])
def test_the_merging_of_windows_is_chosen_where_it_surely_gains(better):
    rng = np.random.default_rng(0)
    right = rng.integers(10, size=210)
    worse = {"a": pointing_at(np.where(rng.random(210) < 0.5, right, 0))}
    groups = dict.fromkeys(Merge, worse) | {better: {"a": pointing_at(right)}}
    method = choose(groups.__getitem__, gold_at(right), voters=["a"])
    assert method.decode.merge is better


def test_the_rule_for_ties_is_chosen_where_it_surely_gains():
    right = np.random.default_rng(0).integers(9, size=210)
    groups = {"a": pointing_at(right), "b": pointing_at(right + 1)}
    texts = [[f"{WORDS[place]} {WORDS[place + 1]}"] for place in right]
    gold = GoldAnswers(texts=texts, contexts=range(210))
    assert choose(lambda _: groups, gold, voters=["a", "b"]).tie is Tie.keep


def test_a_gain_that_one_of_many_comparisons_has_by_chance_is_not_taken():
    right = np.random.default_rng(0).integers(9, size=210)
    worse = np.where(np.arange(210) < 4, right + 1, right)  # 4 rows: above 0 at 95 % alone
    better = {"a": pointing_at(right)}
    groups = {Merge.odds: {"a": pointing_at(worse)}, Merge.mean: better, Merge.max: better}
    method = choose(groups.__getitem__, gold_at(right), voters=["a"])
    assert method.decode.merge is Merge.odds


def test_one_run_of_words_is_chosen_where_it_surely_gains():
    rng = np.random.default_rng(0)
    spans = [(0, 2), (0, 0), (2, 2)]  # of three voters: the vote holds w0 and w2
    roles = np.array([rng.permutation(spans) for _ in range(210)])
    groups = {}
    for voter, name in enumerate("abc"):
        first, last = roles[:, voter].T
        logits = pointing_at(first)
        groups[name] = replace(logits, end=pointing_at(last).start)
    predictions = MemberPredictions(lambda _: groups, voters=list(groups))
    right = predictions.answer(replace(PLAIN, contiguous=True))["prediction"]
    assert not right.str.contains(" ").any()
    gold = GoldAnswers(texts=[[text] for text in right], contexts=range(len(right)))
    assert choose_method(predictions, gold, base=PLAIN, search=SEARCH).method.contiguous


def test_rows_of_one_context_succeed_and_fail_together():
    predictions, gold = predict(400, [0.6, 0.6, 0.6])
    tables = []
    for contexts in (range(400), [row // 40 for row in range(400)]):
        given = replace(gold, contexts=contexts)
        search = replace(SEARCH, min_rows=1000)  # tabulates the default alone
        tables.append(choose_method(predictions, given, base=PLAIN, search=search).trials.iloc[0])
    assert tables[0]["jaccard"] == tables[1]["jaccard"]
    assert (tables[0]["low"], tables[0]["high"]) != (tables[1]["low"], tables[1]["high"])


def test_rules_are_tried_on_every_group_and_on_the_fusion():
    predictions, gold = predict(200, [0.6, 0.6])
    rules = choose_method(predictions, gold, base=PLAIN, search=SEARCH).rules
    tried = {name: list(part["rule"]) for name, part in rules.groupby("group")}
    assert tried == {"a": RULES, "b": RULES, "fusion": RULES}


def test_methods_that_differ_are_described_differently():
    decodes = [{"score": score} for score in SpanScore] + [{"merge": merge} for merge in Merge]
    changes = [{"decode": DecodeConfig(**changed)} for changed in [*decodes, {"max_words": 3}]]
    changes += [{"vote_by": VoteBy.text}, {"tie": Tie.keep}, {"tie": Tie.best}]
    changes += [{"contiguous": True}, {"weights": {"a": 2.0}}, {"cleaning": {"a": RULES}}]
    changes += [{"kind": MethodKind.fusion}, {"kind": MethodKind.single, "group": "a"}]
    methods = {
        repr(method): method for method in (replace(PLAIN, **changed) for changed in changes)
    }
    descriptions = {describe_method(method) for method in methods.values()}
    assert len(descriptions) == len(methods) == len(changes) - 1  # sum and max are both the default


def test_the_default_of_one_voter_is_its_own_answers():
    predictions, gold = predict(10, [0.6])
    method = choose_method(predictions, gold, base=PLAIN, search=SEARCH).method
    assert (method.kind, method.group) == (MethodKind.single, "a")
