"""Each fault of the data is told with its number, the limit and a remedy; other data have none."""

import re
from dataclasses import replace

import numpy as np
import pytest

import chaii.train
from chaii.config.checks import check_train
from chaii.recipe.plan_checks import list_warnings
from chaii.recipe.span_labels import AnswerTable


@pytest.fixture(scope="module")
def fold(compose_config, tmp_path_factory):
    """The demo, all of its rows: sound data."""
    output = f"paths.output={tmp_path_factory.mktemp('checked')}"
    return chaii.train.prepare_fold(
        check_train(compose_config("train", "max_examples=200", output))
    )


@pytest.fixture(scope="module")
def plan(fold):
    return fold.make_plan(fold.config.seed)


def check(fold, plan):
    parts = {"corpora": fold.corpora, "stores": fold.stores, "rows": fold.rows}
    return list_warnings(plan, config=fold.config, **parts)


def test_the_demo_has_no_fault(fold, plan):
    assert check(fold, plan) == []


def change_store(**parts):
    """Change parts of the store of SQuAD, each by a function of the store."""

    def change(fold, plan):
        store = fold.stores["demo_squad"]
        new = {name: part(store) for name, part in parts.items()}
        return replace(fold, stores=fold.stores | {"demo_squad": replace(store, **new)}), plan

    return change


def drop_answers(fold, plan):
    is_squad = (plan["corpus"] == "demo_squad") & (plan["stage"] == 1)
    return fold, plan.assign(start_token=plan["start_token"].mask(is_squad, -1))


def drop_target(fold, plan):
    return fold, plan[plan["corpus"] != "demo_chaii"]


def drop_most_answers(fold, plan):
    is_chosen = np.arange(len(plan)) % 10 < 6
    return fold, plan.assign(start_token=plan["start_token"].mask(is_chosen, -1))


def shorten_answers(fold, plan):
    trainer = replace(fold.config.trainer, max_answer_tokens=1)
    return replace(fold, config=replace(fold.config, trainer=trainer)), plan


def join_words(fold, plan):
    examples = fold.corpora["demo_squad"]
    joined = examples.map(lambda row: {"context": row["context"].replace(" ", "")})
    return replace(fold, corpora=fold.corpora | {"demo_squad": joined}), plan


def move_away(store):
    return AnswerTable(store.answers.tokens + 10**6, store.answers.row_start)


def split(store):
    first = np.arange(len(store.offsets), dtype=np.int32)
    return np.stack([first, first + 1], axis=1)


def repeat(*names):
    """Give the first rows the same texts."""

    def part(name):
        return lambda store: np.r_[np.full(20, getattr(store, name)[0]), getattr(store, name)[20:]]

    return change_store(**{name: part(name) for name in names})


def ask_once_of_each_context(store):
    question = store.question.copy()
    question[np.unique(store.context, return_index=True)[1]] = question[0]
    return question


def repeat_answers(fold, plan):
    fold, plan = repeat("question", "context")(fold, plan)
    examples = fold.corpora["demo_squad"].map(lambda _: {"answer_text": ["the same"]})
    return replace(fold, corpora=fold.corpora | {"demo_squad": examples}), plan


FAULTS = {
    "no answers": (drop_answers, ["stage 1, demo_squad: 0.0% of its windows .* lower its neg"]),
    "few answers": (drop_most_answers, [r"6\d.\d% of all windows hold no answer .* lower the neg"]),
    "no target": (drop_target, ["demo_chaii: 0.0% of the windows are of the target .* train it"]),
    "lost": (
        change_store(answers=move_away),
        [f"stage {n}, demo_squad: no window holds 100.0% of its answers .* raise" for n in (0, 1)],
    ),
    "long": (shorten_answers, ["demo_chaii: .*% of its answers have more than 1 tokens .* raise"]),
    "unknown": (
        change_store(input_ids=lambda store: np.full_like(store.input_ids, 1)),
        ["demo_squad, english: 100.0% of its pieces are unknown .* take a backbone"],
    ),
    "characters": (
        change_store(offsets=split),
        ["demo_squad, english: 100% are single characters .at most 60%.; take a backbone"],
    ),
    "fertility": (join_words, [r"demo_squad, english: a word has \d+.\d pieces .at most 6.; take"]),
    "contradictions": (
        repeat("question", "context"),
        ["demo_squad: .*% of its rows repeat .* keep one", "demo_squad: .* contradict .* correct"],
    ),
    "repeats": (repeat_answers, ["demo_squad: .*% of its rows repeat the question .* keep one"]),
    "one question on many contexts": (change_store(question=ask_once_of_each_context), []),
}


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told(change, told, fold, plan):
    lines = check(*change(fold, plan))
    assert len(lines) == len(told), lines
    for line, pattern in zip(lines, told, strict=True):
        assert re.match(pattern, line), line
        assert "\n" not in line


def test_a_target_that_no_stage_has_is_no_fault(fold, plan):
    stages = [
        replace(stage, sources=[s for s in stage.sources if s.corpus != "demo_chaii"])
        for stage in fold.config.recipe.stages[:2]
    ]
    recipe = replace(fold.config.recipe, stages=stages)
    without = replace(fold, config=replace(fold.config, recipe=recipe))
    assert check(without, plan[plan["corpus"] != "demo_chaii"]) == []


def test_few_rows_may_repeat_others(fold, plan, monkeypatch):
    changed = repeat_answers(fold, plan)
    monkeypatch.setattr("chaii.recipe.plan_checks._FEW", 20)
    assert check(*changed) == []
