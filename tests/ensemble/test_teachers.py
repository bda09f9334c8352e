"""Teachers: what they say about each window of a student's plan, computed once."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from transformers import AutoModelForQuestionAnswering

from chaii.config.checks import check_train
from chaii.config.errors import ConfigError
from chaii.config.schema import Precision
from chaii.ensemble import members, teachers
from chaii.ensemble.members import Member
from chaii.ensemble.teachers import check_teachers, find_teachers, predict_teachers
from chaii.model.backbone import load_local
from chaii.model.predict import predict_logits
from chaii.recipe.windows import slide
from chaii.run_folder import RunFolder
from chaii.train import prepare_fold

FEW = ("max_examples=40", "name=student", "recipe.stages.0.sources.0.negatives=0.02")


@pytest.fixture(scope="module")
def prepare(demo_run, compose_config):
    """Prepare a student's fold on the demo of the finished run, without teachers."""
    made = {}

    def run(experiment):
        if experiment not in made:
            overrides = (*FEW, f"experiment={experiment}", f"paths.output={demo_run.root.parent}")
            made[experiment] = prepare_fold(check_train(compose_config("train", *overrides)))
        return made[experiment]

    return run


@pytest.fixture
def make_plan(prepare):
    """Make a student's plan: every sixth window of the recipe's."""
    return lambda experiment: prepare(experiment).make_plan(1).iloc[::6].reset_index(drop=True)


@pytest.fixture
def teacher(demo_run, tmp_path):
    """A finished fold that a test may change, as a teacher."""
    run = RunFolder(tmp_path / "runs", demo_run.name, demo_run.fold)
    shutil.copytree(demo_run.path, run.path)
    return Member(run, run.read_config())


@pytest.fixture
def ask(prepare, make_plan, tmp_path):
    """Let teachers read the plan of a student: `ask(teacher, ..., experiment=, plan=)`."""

    def run(*asked, experiment="demo_muril", plan=None):
        fold = prepare(experiment)
        paths = replace(fold.config.paths, predictions=f"{tmp_path}/predictions")
        return predict_teachers(
            asked,
            make_plan(experiment) if plan is None else plan,
            config=replace(fold.config, paths=paths),
            corpora=fold.corpora,
            stores=fold.stores,
            tokenizer=fold.tokenizer,
        )

    return run


def read_tokens(teacher, fold, plan):
    """The teacher's own log-probabilities at [CLS] and the context tokens of each window."""
    model = load_local(AutoModelForQuestionAnswering, teacher.run.model)
    said = []
    for position in range(0, len(plan), 3):
        window = plan.iloc[[position]]
        store = fold.stores[window["corpus"].iloc[0]]
        options = {"batch_size": 1, "precision": Precision.fp32, "progress": False}
        logits = predict_logits(model, window, store, **options)
        sides = [
            np.append(null, side) for null, side in zip(logits.null[0], logits[:2], strict=True)
        ]
        both = np.stack(sides).astype(float)
        said.append(both - np.logaddexp.reduce(both, axis=1, keepdims=True))
    return said


def split_windows(told, plan):
    """What is told about each window, ``(2, tokens)`` each."""
    size = (plan["context_to"] - plan["context_from"] + 1).to_numpy()
    assert told.shape == (2, size.sum())
    return np.split(told.astype(float), np.cumsum(size)[:-1], axis=1)


def test_a_teacher_of_the_same_tokenizer_is_taken_token_by_token(teacher, ask, prepare, make_plan):
    fold, plan = prepare("demo_muril"), make_plan("demo_muril")
    told = split_windows(ask(teacher, plan=plan), plan)[::3]
    for found, expected in zip(told, read_tokens(teacher, fold, plan), strict=True):
        np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=0.005, atol=1e-7)
    assert {"demo_chaii", "demo_tydi"} <= set(plan["corpus"])


def test_a_question_that_the_student_cuts_is_read_cut_short(teacher, ask, prepare):
    fold = prepare("demo_muril")
    plan = fold.make_plan(1).iloc[::40].reset_index(drop=True)
    plan = plan.assign(length=plan["length"] - 2)  # two tokens less of each question
    told = split_windows(ask(teacher, plan=plan), plan)[::3]
    for found, expected in zip(told, read_tokens(teacher, fold, plan), strict=True):
        np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=0.005, atol=1e-7)


@pytest.mark.parametrize("experiment", ["demo_muril", "demo_xlmr"])
def test_the_probabilities_of_a_window_sum_to_one(experiment, teacher, ask, make_plan):
    plan = make_plan(experiment)
    for said in split_windows(ask(teacher, experiment=experiment, plan=plan), plan):
        np.testing.assert_allclose(np.exp(said).sum(axis=1), 1, atol=5e-3)


def test_a_teacher_of_another_tokenizer_means_the_same_characters(teacher, ask, prepare):
    ours, theirs = prepare("demo_xlmr"), prepare("demo_muril")
    store, other = ours.stores["demo_chaii"], theirs.stores["demo_chaii"]
    row = int(np.argmin(store.context_lengths()))
    plans = [
        pd.DataFrame({"corpus": pd.Categorical(["demo_chaii"]), "example": [row]}).assign(
            context_from=0,
            context_to=min(100, one.context_lengths()[row]),
            length=min(100, one.context_lengths()[row])
            + one.question_lengths()[row]
            + one.template.overhead,
        )
        for one in (store, other)
    ]
    told = [
        ask(teacher, experiment=experiment, plan=plan).astype(float)
        for experiment, plan in zip(("demo_xlmr", "demo_muril"), plans, strict=True)
    ]
    best = [
        one.offsets[one.text_start[one.context[row]] + said[0, 1:].argmax(), 1]
        for one, said in zip((store, other), told, strict=True)
    ]
    assert best[0] == pytest.approx(best[1], abs=6)  # ends of the token where it begins


def test_logits_are_averaged_inside_a_tokenizer(teacher, ask, make_plan, tmp_path):
    second = RunFolder(tmp_path / "runs", "second", "0")
    shutil.copytree(teacher.run.path, second.path)
    file = second.model / "model.safetensors"
    weights = {name: -part if "qa" in name else part for name, part in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    opposite = Member(second, second.read_config())
    plan = make_plan("demo_muril").iloc[:20]
    for said in split_windows(ask(teacher, opposite, plan=plan), plan):
        np.testing.assert_allclose(said, -np.log(said.shape[1]), atol=0.01)  # logits of 0
    np.testing.assert_array_equal(ask(teacher, teacher, plan=plan), ask(teacher, plan=plan))


def test_probabilities_are_averaged_across_tokenizers(teacher, ask, make_plan):
    plan = make_plan("demo_muril").iloc[:20]
    other = replace(teacher)
    vars(other)["fingerprint"] = "a tokenizer that happens to cut the same tokens"
    np.testing.assert_array_equal(ask(teacher, other, plan=plan), ask(teacher, plan=plan))


def test_each_distinct_window_is_read_once(teacher, ask, make_plan, monkeypatch):
    plan = make_plan("demo_muril")
    twice = pd.concat([plan, plan.iloc[::-1]], ignore_index=True)
    read, predict = [], members.predict_logits

    def count(model, windows, *arguments, **options):
        read.append(len(windows))
        return predict(model, windows, *arguments, **options)

    monkeypatch.setattr(members, "predict_logits", count)
    told = split_windows(ask(teacher, plan=twice), twice)
    columns = ["corpus", "example", "context_from", "context_to", "length"]
    assert sum(read) == len(plan.drop_duplicates(columns))
    for one, again in zip(told, told[::-1], strict=True):
        np.testing.assert_array_equal(one, again)


def test_a_killed_reading_goes_on_where_it_was(teacher, ask, monkeypatch):
    monkeypatch.setattr(teachers, "_AT_ONCE", 30)
    calls, predict = [], members.predict_logits

    def stop_at(last):
        def count(*arguments, **options):
            calls.append(1)
            if len(calls) == last:
                raise KeyboardInterrupt
            return predict(*arguments, **options)

        return count

    monkeypatch.setattr(members, "predict_logits", stop_at(3))
    with pytest.raises(KeyboardInterrupt):
        ask(teacher)
    monkeypatch.setattr(members, "predict_logits", stop_at(None))
    told = ask(teacher)
    needed = len(calls) - 1  # two before the kill
    assert needed > 3
    ask(teacher)
    assert len(calls) - 1 == needed
    monkeypatch.setattr(teachers, "_AT_ONCE", 10**6)
    np.testing.assert_array_equal(ask(teacher), told)


def test_students_side_by_side_share_one_reading(teacher, ask, tmp_path, monkeypatch):
    predict, held = members.predict_logits, []

    def probe(*arguments, **options):
        locks = list(tmp_path.glob("predictions/**/*.lock"))
        held.append(not all(map(is_free, locks)))
        return predict(*arguments, **options)

    monkeypatch.setattr(members, "predict_logits", probe)
    ask(teacher)
    assert held
    assert all(held)


def is_free(lock):
    try:
        with FileLock(lock, blocking=False):
            return True
    except Timeout:
        return False


def test_a_damaged_cache_is_computed_again(teacher, ask, tmp_path, capsys):
    told = ask(teacher)
    file = next(tmp_path.glob("predictions/**/start_logits.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    np.testing.assert_array_equal(ask(teacher), told)
    assert "damaged; its logits are computed again" in capsys.readouterr().out


def test_a_window_longer_than_the_teachers_own_is_read_in_several(teacher, ask, make_plan):
    plan = make_plan("demo_muril")
    whole = split_windows(ask(teacher, plan=plan), plan)
    OmegaConf.update(teacher.config, "recipe.predict_max_length", 80)
    parts = split_windows(ask(teacher, plan=plan), plan)
    is_long = plan["length"] > 80
    same = [np.allclose(a, b, atol=0.02) for a, b in zip(whole, parts, strict=True)]
    assert all(same[i] for i in np.flatnonzero(~is_long))
    assert not all(same[i] for i in np.flatnonzero(is_long))
    for said in parts:
        np.testing.assert_allclose(np.exp(said).sum(axis=1), 1, atol=5e-3)


def test_the_parts_of_a_long_window_are_merged_above_their_own_no_answer(
    teacher, ask, prepare, make_plan
):
    store, plan = prepare("demo_muril").stores["demo_chaii"], make_plan("demo_muril")
    is_long = (plan["corpus"] == "demo_chaii") & (plan["length"] > 120)
    plan = plan[is_long].iloc[:2].reset_index(drop=True)
    ranges = [plan[name].to_numpy() for name in ("example", "context_from", "context_to")]
    store = store.narrow(*ranges, question=store.question_lengths()[ranges[0]])
    OmegaConf.update(teacher.config, "recipe.predict_max_length", 80)
    parts = slide(store, max_length=80, doc_stride=teacher.config.recipe.predict_doc_stride)
    model = load_local(AutoModelForQuestionAnswering, teacher.run.model)
    logits = predict_logits(model, parts, store, batch_size=1, precision=Precision.fp32)
    above = [[[] for _ in range(tokens)] for tokens in store.context_lengths()]  # by token
    taken = 0
    for number, part in enumerate(parts.itertuples()):
        for token in range(part.context_from, part.context_to):
            both = np.array([logits.start[taken], logits.end[taken]], dtype=float)
            above[part.example][token].append(both - logits.null[number])
            taken += 1
    for told, tokens in zip(split_windows(ask(teacher, plan=plan), plan), above, strict=True):
        merged = np.stack([np.zeros(2), *(np.mean(token, axis=0) for token in tokens)], axis=1)
        chances = np.exp(merged) / np.exp(merged).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.exp(told), chances, rtol=0.01, atol=1e-6)
        assert max(map(len, tokens)) > 1


@pytest.fixture
def student(teacher, compose_config):
    """The student's configuration: `student(*overrides)`."""

    def compose(*overrides):
        own = ("name=student", "distill.teachers=[demo_muril]", f"paths.runs={teacher.run.root}")
        return check_train(compose_config("train", *own, *overrides))

    return compose


def test_the_fold_of_the_student_is_taken(teacher, student):
    assert [found.run for found in find_teachers(student())] == [teacher.run]
    assert find_teachers(student("distill.weight=0")) == []


def test_a_teacher_of_another_fold_is_refused(student):
    with pytest.raises(FileNotFoundError, match=r"fold1: no finished fold; .* fold=1, so that"):
        find_teachers(student("fold=1"))


def test_an_unfinished_teacher_is_refused(teacher, student):
    teacher.run.metrics.unlink()
    with pytest.raises(FileNotFoundError, match="fold0: no finished fold"):
        find_teachers(student())


def test_a_teacher_that_held_out_other_rows_is_refused(teacher, prepare):
    held_out = prepare("demo_muril").held_out
    check_teachers([teacher], held_out)
    with pytest.raises(ConfigError, match="held out 1 rows that the student does not, and lacks 0"):
        check_teachers([teacher], held_out.select(range(1, len(held_out))))
    with pytest.raises(ConfigError, match="max_examples and folds must be those of the student"):
        check_teachers([teacher], None)
    teacher.run.oof.unlink()
    with pytest.raises(ConfigError, match="held out 0 rows that the student does not, and lacks"):
        check_teachers([teacher], held_out)
