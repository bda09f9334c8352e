"""A fold end to end: the files in its folder, when it is trained again, how it resumes."""

import json
import re
import shlex
import sys
from dataclasses import replace

import pandas as pd
import pytest
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    TrainerCallback,
)

import chaii.train
from chaii.__main__ import main
from chaii.config.checks import check_train
from chaii.config.errors import ConfigError
from chaii.config.schema import ScratchConfig, TokenizerKind
from chaii.corpus.records import CorpusError
from chaii.evaluation.evaluator import Evaluator
from chaii.evaluation.oof_table import read_oof_table
from chaii.model.backbone import train_tokenizer
from chaii.model.collapse_guard import CollapseError
from chaii.model.trainer import PlanTrainer
from chaii.run_folder import RunFolder
from chaii.train import prepare_fold


def test_a_run_folder_holds_what_the_design_says(demo_run):
    names = {path.name for path in demo_run.path.iterdir()}
    assert names - {"changes.patch"} == {  # there where the code differs from its commit
        "config.yaml",
        "environment.json",
        "leaks.csv",
        "logits",
        "metrics.json",
        "model",
        "oof.parquet",
        "plan.parquet",
    }
    model = {path.name for path in demo_run.model.iterdir()}
    assert model == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


class StopAtOnce(TrainerCallback):
    def on_evaluate(self, _args, _state, _control, metrics, **_):
        raise StopIteration(metrics["eval_jaccard"])


def test_a_callback_is_told_of_evaluations_and_may_end_the_training(compose_config, tmp_path):
    few = "max_examples=20", "trainer.max_steps=2", "trainer.num_evaluations=2"
    config = check_train(compose_config("train", *few, f"paths.output={tmp_path}"))
    with pytest.raises(StopIteration) as end:
        chaii.train.train_fold(config, callbacks=[StopAtOnce()])
    assert 0 <= end.value.args[0] <= 1
    assert not RunFolder(tmp_path / "runs", "demo_muril", "0").is_finished


def test_the_weights_are_readable_by_whom_the_other_files_are(demo_run):
    modes = {path.stat().st_mode for path in demo_run.model.iterdir()}
    assert len(modes) == 1


def test_the_model_of_a_run_is_loaded_by_transformers(demo_run):
    model = AutoModelForQuestionAnswering.from_pretrained(demo_run.model)
    tokenizer = AutoTokenizer.from_pretrained(demo_run.model)
    assert model.config.vocab_size == len(tokenizer)


def test_metrics_count_windows_tokens_and_seconds(demo_run):
    metrics, plan = demo_run.read_metrics(), pd.read_parquet(demo_run.plan)
    assert metrics["windows"] == len(plan)
    assert metrics["tokens"] == plan["length"].sum()
    assert metrics["seconds"] > 0
    assert set(metrics["language"]) == {"hindi", "tamil"}
    assert metrics["jaccard"] == pytest.approx(read_oof_table([demo_run.oof])["jaccard"].mean())


def test_the_environment_names_versions_commit_seed_and_hardware(demo_run):
    environment = json.loads((demo_run.path / "environment.json").read_text())
    assert {"versions", "commit", "seed", "hardware"} <= set(environment)
    assert "transformers" in environment["versions"]


def start_command(verb):
    sys.argv[:1] = ["chaii", verb]
    main()


def test_the_command_of_a_run_reproduces_its_metrics_bit_for_bit(
    train_demo, run_script, tmp_path, monkeypatch
):
    few = "max_examples=30", "trainer.num_evaluations=1", "trainer.max_steps=6"
    few += ("trainer.num_threads=null",)  # all that there are
    run = train_demo(tmp_path / "a place", *few, "backbone.config.hidden_dropout_prob=0.1")
    first, metrics, rows = read_results(run)
    command, verb, *words = shlex.split(run.read_environment()["command"])
    assert command == "chaii"
    monkeypatch.setattr("torch.set_num_threads", lambda number: threads.append(number))
    threads = []
    status, _, errors = run_script(verb, *words, place=tmp_path, start=start_command)
    assert status == 0, errors
    again, same_metrics, same_rows = read_results(run)
    assert again != first  # it was trained
    assert same_metrics == metrics
    pd.testing.assert_frame_equal(same_rows, rows)
    assert threads == [run.read_environment()["threads"]]
    assert list(tmp_path.iterdir()) == [tmp_path / "a place"]  # Hydra leaves nothing


def read_results(run):
    """When the run was finished, its metrics without what it cost, and its answers."""
    metrics = run.read_metrics()
    for cost in ("seconds", "resources"):
        del metrics[cost]
    return run.metrics.stat().st_mtime_ns, metrics, read_oof_table([run.oof])


def test_the_resources_of_a_run_are_told(demo_run):
    resources = demo_run.read_metrics()["resources"]
    assert resources["memory_mb"] > 100
    assert 0 < resources["answer_ms"] < 1000 * demo_run.read_metrics()["seconds"]


@pytest.mark.parametrize(
    ("changes", "told", "kept"),
    [(None, None, False), ("", 0, False), ("+दो", 3, True), ("+" * 9, 9, False)],
)
def test_changes_of_the_code_are_kept_unless_they_are_long(
    changes, told, kept, compose_config, tmp_path, monkeypatch
):
    monkeypatch.setattr("chaii.run_folder._MOST_CHANGES", 5)
    run = RunFolder(tmp_path, "demo", "0")
    for found in ("+", changes):  # a run that is resumed with other code
        monkeypatch.setattr("chaii.run_folder.read_changes", lambda _, found=found: found)
        run.begin(check_train(compose_config("train")), "data", {})
    assert run.read_environment()["changes"] == told
    assert run.changes.is_file() == kept
    assert not kept or run.changes.read_text(encoding="utf-8") == changes


def test_a_run_without_evaluations_that_ends_before_its_answers_is_not_trained_again(
    train_demo, tmp_path, monkeypatch
):
    few = "max_examples=20", "trainer.num_evaluations=0", "trainer.max_steps=3"
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_demo(tmp_path, *few)
    monkeypatch.setattr(PlanTrainer, "train", None)
    ended = train_demo(tmp_path, *few).read_metrics()
    monkeypatch.undo()
    whole = train_demo(tmp_path, *few, "overwrite=true").read_metrics()
    for metrics in (ended, whole):
        del metrics["seconds"], metrics["resources"]
    assert ended == whole


def test_the_plan_has_a_fingerprint(demo_run, train_demo, tmp_path):
    few = "trainer.num_evaluations=0", "trainer.max_steps=1"
    same, other = train_demo(tmp_path, *few), train_demo(tmp_path, *few, "seed=5", "name=other")
    plans = [run.read_metrics()["plan"] for run in (demo_run, same, other)]
    assert plans[0] == plans[1] != plans[2]


def test_a_finished_run_is_left_as_it_is(demo_run, train_demo):
    before = demo_run.metrics.stat().st_mtime_ns
    others = "trainer.num_workers=1", "trainer.restarts=2", "backbone.licence=mit"
    train_demo(demo_run.root.parent, *others)
    assert demo_run.metrics.stat().st_mtime_ns == before


def test_a_finished_run_names_each_setting_that_differs(demo_run, train_demo):
    other = "backbone.learning_rate=0.5", "recipe.stages.0.sources.0.negatives=0.9"
    with pytest.raises(ConfigError) as caught:
        train_demo(demo_run.root.parent, *other)
    message = str(caught.value)
    assert "backbone.learning_rate=0.003 (now 0.5)" in message
    assert "recipe.stages[0].sources[0].negatives=0.2 (now 0.9)" in message
    assert "seed" not in message
    assert "overwrite=true" in message


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(
    demo_run, train_demo, tmp_path
):
    again, other = train_demo(tmp_path / "again"), train_demo(tmp_path / "other", "seed=5")
    figures = [read_oof_table([run.oof]) for run in (demo_run, again, other)]
    pd.testing.assert_frame_equal(figures[0], figures[1])
    losses = [run.read_metrics()["history"][-1]["train_loss"] for run in (demo_run, again, other)]
    assert losses[0] == losses[1] != losses[2]


@pytest.fixture
def interrupt(train_demo, monkeypatch):
    """Begin to train the demo in a folder, and stop before the first step."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    def begin(output, *overrides):
        with monkeypatch.context() as patch:
            patch.setattr("chaii.train.train_model", stop)
            with pytest.raises(KeyboardInterrupt):
                train_demo(output, *overrides)

    return begin


def test_an_unfinished_run_with_other_settings_is_refused(interrupt, train_demo, tmp_path):
    interrupt(tmp_path)
    with pytest.raises(ConfigError, match=r"begun with other settings: seed=2021 \(now 5\)"):
        train_demo(tmp_path, "seed=5")
    assert train_demo(tmp_path).is_finished


def test_an_unfinished_run_on_other_data_is_refused(interrupt, train_demo, tmp_path):
    squad = tmp_path / "squad.json"
    overrides = f"corpora.demo_squad.path={squad}", "fold=all"
    write_squad(squad, answer="Rana")
    interrupt(tmp_path, *overrides)
    write_squad(squad, answer="Mira")
    with pytest.raises(
        ConfigError, match="the corpora, what is read of them, or the teachers have"
    ):
        train_demo(tmp_path, *overrides)


def write_squad(path, *, answer):
    context = "Rana and Mira live at the river. " * 10
    answers = [{"text": answer, "answer_start": context.index(answer)}]
    question = {"id": "1", "question": "Who lives at the river?", "answers": answers}
    article = {"title": "river", "paragraphs": [{"context": context, "qas": [question]}]}
    path.write_text(json.dumps({"data": [article]}), encoding="utf-8")


def test_an_interrupted_run_tells_where_it_goes_on(interrupt, tmp_path, capsys):
    interrupt(tmp_path)
    assert "the same command goes on from step 0" in capsys.readouterr().out


def test_an_older_run_stays_until_the_one_that_overwrites_it_is_finished(
    interrupt, train_demo, tmp_path
):
    older = train_demo(tmp_path)
    metrics = older.metrics.read_bytes()
    interrupt(tmp_path, "overwrite=true", "seed=5")
    assert older.metrics.read_bytes() == metrics
    newer = train_demo(tmp_path, "overwrite=true", "seed=5")
    assert newer.path == older.path
    assert newer.read_config().seed == 5
    assert {path.name for path in newer.path.parent.iterdir()} <= {"fold0", ".fold0.lock"}


def test_two_processes_do_not_train_one_fold(train_demo, tmp_path):
    run = RunFolder(tmp_path / "runs", "demo_muril", "0")
    with run.lock(), pytest.raises(ConfigError, match="another process is training this fold"):
        train_demo(tmp_path)


def test_a_training_without_a_finite_loss_is_an_error(train_demo, tmp_path):
    with pytest.raises(CollapseError, match="not finite"):
        train_demo(tmp_path, "backbone.learning_rate=1e30", "fold=all")
    assert not RunFolder(tmp_path / "runs", "demo_muril", "all").is_finished


def test_a_corpus_of_unknown_pieces_is_warned_of(compose_config, tmp_path, capsys):
    english = train_tokenizer(ScratchConfig("", TokenizerKind.wordpiece, 400), ["The river runs."])
    english.save_pretrained(tmp_path / "weights")
    AutoConfig.for_model("bert").save_pretrained(tmp_path / "weights")
    overrides = [f"backbone.pretrained={tmp_path}/weights", "backbone.scratch=null"]
    overrides += ["backbone.config={}", "max_examples=10", f"paths.output={tmp_path}"]
    fold = prepare_fold(check_train(compose_config("train", *overrides)))
    fold.check(fold.make_plan(2021))
    printed = capsys.readouterr().out
    assert re.search(r"warning: demo_chaii, hindi: \d+\.\d% of its pieces are unknown", printed)


def test_warnings_are_printed_or_stop_the_run(train_demo, tmp_path, capsys):
    few = "trainer.max_answer_tokens=1", "trainer.max_steps=1", "trainer.num_evaluations=0"
    rule = r"on_warning=fail: demo_chaii: .* raise trainer.max_answer_tokens"
    with pytest.raises(ConfigError, match=rule):
        train_demo(tmp_path, *few, "on_warning=fail")
    assert "warning: " not in capsys.readouterr().out
    assert train_demo(tmp_path, *few).is_finished
    assert "warning: demo_chaii: " in capsys.readouterr().out


def test_a_length_beyond_the_positions_of_the_model_is_named_first(train_demo, tmp_path):
    with pytest.raises(ConfigError, match="predict_max_length=600: must be at most 512"):
        train_demo(tmp_path, "recipe.predict_max_length=600")
    assert not (tmp_path / "demo").exists()


def test_all_folds_train_on_everything_and_validate_nothing(demo_run, train_demo, tmp_path):
    run = train_demo(tmp_path, "fold=all")
    assert "jaccard" not in run.read_metrics()
    assert not run.logits.exists()
    chaii = [pd.read_parquet(r.plan).query("corpus == 'demo_chaii'") for r in (demo_run, run)]
    assert chaii[1]["example"].nunique() > chaii[0]["example"].nunique()


def test_no_held_out_row_is_in_the_plan(demo_run):
    plan = pd.read_parquet(demo_run.plan).query("corpus == 'demo_chaii'")
    held_out = set(read_oof_table([demo_run.oof])["id"])
    corpus = pd.read_csv(demo_run.root.parent / "demo/chaii/train.csv")
    assert not held_out & set(corpus["id"].iloc[plan["example"].unique()])


def test_a_broken_corpus_leaves_no_run_behind(train_demo, tmp_path):
    (tmp_path / "broken.json").write_text('{"data": [')
    with pytest.raises(CorpusError, match=r"broken\.json"):
        train_demo(tmp_path, f"corpora.demo_squad.path={tmp_path}/broken.json")
    assert not list(tmp_path.rglob("fold0"))


def test_the_fingerprint_of_the_data_covers_tokens_labels_and_rows(compose_config, tmp_path):
    overrides = "max_examples=40", f"paths.output={tmp_path}"
    fold = prepare_fold(check_train(compose_config("train", *overrides)))
    name, store = next(iter(fold.stores.items()))
    answers = replace(store.answers, tokens=store.answers.tokens[::-1])
    others = [
        replace(fold, rows=fold.rows | {name: fold.rows[name][1:]}),
        replace(fold, stores=fold.stores | {name: replace(store, answers=answers)}),
        replace(fold, stores=fold.stores | {name: replace(store, question=store.question[::-1])}),
        replace(fold, stores=fold.stores | {name: replace(store, input_ids=-store.input_ids)}),
        replace(fold, held_out=fold.held_out.select(range(3))),
    ]
    prints = [other.fingerprint() for other in (fold, *others)]
    assert len(set(prints)) == len(prints)
    assert fold.fingerprint() == prints[0]


def test_each_corpus_has_a_fingerprint_that_no_tokenizer_changes(compose_config, tmp_path):
    def take(*overrides):
        overrides = ("max_examples=40", f"paths.output={tmp_path}", *overrides)
        fold = prepare_fold(check_train(compose_config("train", *overrides)))
        return fold, fold.fingerprints()

    fold, prints = take()
    assert set(prints) == {*fold.corpora, "held-out rows"}
    assert len(set(prints.values())) == len(prints)
    assert take("backbone=tiny_xlmr")[1] == prints
    fewer = fold.corpora["demo_squad"].select(range(39))
    examples = fold.corpora["demo_squad"]
    moved = examples.map(lambda row: {"answer_start": [start + 1 for start in row["answer_start"]]})
    for other in (
        replace(fold, corpora=fold.corpora | {"demo_squad": fewer}),
        replace(fold, corpora=fold.corpora | {"demo_squad": moved}),
        replace(fold, rows=fold.rows | {"demo_squad": fold.rows["demo_squad"][1:]}),
    ):
        changed = other.fingerprints()
        assert {name for name in prints if changed[name] != prints[name]} == {"demo_squad"}
    changed = replace(fold, held_out=fold.held_out.select(range(3))).fingerprints()
    assert {name for name in prints if changed[name] != prints[name]} == {"held-out rows"}


@pytest.mark.parametrize("verify", [False, True])
def test_verify_reaches_the_token_stores(verify, compose_config, tmp_path, monkeypatch):
    asked = []
    open_store = chaii.train.open_store

    def spy(*arguments, verify, **options):
        asked.append(verify)
        return open_store(*arguments, **options)

    monkeypatch.setattr(chaii.train, "open_store", spy)
    overrides = "max_examples=40", f"paths.output={tmp_path}", f"verify={verify}"
    prepare_fold(check_train(compose_config("train", *overrides)))
    assert set(asked) == {verify}
