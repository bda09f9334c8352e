from dataclasses import replace

import numpy as np
import pytest

from chaii.config.ensemble import DecodeConfig, MethodConfig, MethodKind, SearchConfig, SpanScore
from chaii.decoding.context_logits import ContextLogits
from chaii.decoding.decode import decode_answers
from chaii.ensemble.methods import Panel
from chaii.ensemble.selection import Truth, choose_method, describe_method

WORDS = [f"w{number}" for number in range(10)]
CONTEXT = " ".join(WORDS)
OFFSETS = np.array([[3 * place, 3 * place + 2] for place in range(len(WORDS))])
RULES = ["strip_punctuation", "restore_dot", "arabic_digits"]
SEARCH = SearchConfig(rules=RULES)
PLAIN = MethodConfig()


def pointing_at(places, *, context=CONTEXT, offsets=OFFSETS, sure=5.0):
    """A voice that answers, row by row, the token at each place."""
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
        max_answer_tokens=3,
    )


def gold(places, *, words=WORDS, group=1):
    groups = [row // group for row in range(len(places))]
    return Truth(golds=[[words[place]] for place in places], groups=groups)


def panel_of(rows, shares, *, seed=0):
    """Voices a, b, ... that are right in a share of the rows, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(10, size=rows)
    voices = {
        name: pointing_at(np.where(rng.random(rows) < share, truth, rng.integers(10, size=rows)))
        for name, share in zip("abc", shares, strict=False)
    }
    return Panel(voices, voters=list(voices)), gold(truth)


def test_a_voice_that_beats_the_vote_is_chosen():
    panel, truth = panel_of(400, [0.95, 0.1, 0.1])
    selection = choose_method(panel, truth, base=PLAIN, search=SEARCH)
    answers = panel.answer(selection.method)
    assert truth.jaccard(answers).mean() > 0.93
    assert describe_method(selection.method) != "vote, sum"
    assert truth.jaccard(selection.nested).mean() > 0.93


def test_the_vote_stays_where_nothing_is_surely_better():
    panel, truth = panel_of(400, [0.6, 0.6, 0.6])
    selection = choose_method(panel, truth, base=PLAIN, search=SEARCH)
    assert describe_method(selection.method) == "vote, sum"
    trials = selection.trials.set_index("method")
    assert trials.loc["vote, sum", "gain"] == trials.loc["vote, sum", "gain_high"] == 0


def test_with_few_rows_the_default_is_kept_untried():
    panel, truth = panel_of(199, [0.95, 0.1, 0.1])
    selection = choose_method(panel, truth, base=PLAIN, search=SEARCH)
    assert selection.nested is None
    assert selection.trials["method"].tolist() == ["vote, sum"]
    assert selection.method.ranking[0] == "a"


def test_choices_on_noise_gain_nothing_on_rows_they_have_not_seen():
    gains = []
    for seed in range(3):
        panel, truth = panel_of(200, [0.1, 0.1, 0.1], seed=seed)
        selection = choose_method(panel, truth, base=PLAIN, search=SEARCH)
        trials = selection.trials.set_index("method")
        assert trials.loc["auto, nested", "jaccard"] <= trials["jaccard"].max()
        gains.append(trials.loc["auto, nested", "gain"])
    assert np.mean(gains) < 0.01


def test_no_row_is_answered_by_a_choice_that_has_seen_it():
    first, second = np.zeros(10, dtype=int), np.ones(10, dtype=int)
    panel = Panel({"a": pointing_at(first), "b": pointing_at(second)}, voters=["a", "b"])
    search = replace(SEARCH, min_rows=1, folds=10)
    truth = np.array([0, 1] * 5)  # as often right: any one row turns the ranking
    answers = choose_method(panel, gold(truth), base=PLAIN, search=search).nested["prediction"]
    assert set(answers) == {"w0", "w1"}
    for row in range(10):
        changed = truth.copy()
        changed[row] = 1 - truth[row]
        again = choose_method(panel, gold(changed), base=PLAIN, search=search).nested
        assert again["prediction"][row] == answers[row]


def test_a_cleaning_rule_is_kept_where_it_surely_gains():
    context = "(ab cd ef) gh"
    offsets = np.array([[0, 3], [4, 6], [7, 10], [11, 13]])
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    panel = Panel({"a": pointing_at(truth, context=context, offsets=offsets)}, voters=["a"])
    selection = choose_method(
        panel, gold(truth, words=["ab", "cd", "ef", "gh"]), base=PLAIN, search=SEARCH
    )
    rules = selection.rules.set_index("rule")
    assert rules["kept"].to_dict() == {
        "strip_punctuation": True,
        "restore_dot": False,
        "arabic_digits": False,
    }
    assert rules.loc["strip_punctuation", "changed"] == ((truth == 0) | (truth == 2)).sum()
    assert selection.method.cleaning == {"a": ["strip_punctuation"]}
    assert truth_of_all(panel, selection) == 1.0


def truth_of_all(panel, selection):
    answers = panel.answer(selection.method)["prediction"]
    return float(np.mean(answers.isin(["ab", "cd", "ef", "gh"])))


def test_a_panel_of_one_answers_as_the_voice_alone():
    voice = pointing_at([3, 1, 4])
    panel = Panel({"a": voice}, voters=["a"])
    alone = decode_answers(voice)
    for kind in (MethodKind.vote, MethodKind.fusion):
        answers = panel.answer(MethodConfig(kind=kind))[alone.columns]
        assert answers.drop(columns="score").equals(alone.drop(columns="score"))
    assert panel.answer(MethodConfig(kind=MethodKind.single, voice="a")).equals(alone)


def test_each_method_is_worked_out_for_itself():
    panel, _ = panel_of(50, [0.9, 0.1, 0.5])
    single = MethodConfig(kind=MethodKind.single, voice="a")
    methods = [
        single,
        replace(single, voice="b"),
        replace(single, decode=DecodeConfig(score=SpanScore.softmax)),
        replace(PLAIN, weights={"b": 3.0}),
        replace(PLAIN, weights={"a": 3.0}),
        replace(PLAIN, kind=MethodKind.fusion, weights={"b": 30.0}),
    ]
    once = [panel.answer(method) for method in methods]
    for method, answers in zip(methods, once, strict=True):
        fresh = Panel(panel.voices, voters=panel.voters).answer(method)
        assert fresh.equals(answers)
    assert not once[0]["prediction"].equals(once[1]["prediction"])
    assert once[3]["prediction"].equals(once[1]["prediction"])
    assert once[4]["prediction"].equals(once[0]["prediction"])


@pytest.mark.parametrize(
    ("voters", "message"),
    [(["x"], "voters=\\['x'\\]: must be some of \\['a', 'b'\\]"), ([], "must be some of")],
)
def test_a_voter_that_is_no_voice_is_refused(voters, message):
    with pytest.raises(ValueError, match=message):
        Panel({"a": pointing_at([1]), "b": pointing_at([1])}, voters=voters)


def test_voices_on_other_rows_are_refused():
    with pytest.raises(ValueError, match="voice 'b' answers other examples"):
        Panel({"a": pointing_at([1]), "b": pointing_at([1, 2])}, voters=["a"])


def test_an_unknown_voice_is_named():
    panel, _ = panel_of(3, [1.0])
    with pytest.raises(ValueError, match=r"method.voice=z: must be one of a"):
        panel.answer(MethodConfig(kind=MethodKind.single, voice="z"))
