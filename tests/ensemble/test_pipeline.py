"""The ensemble: scores out of fold, cached logits, a valid submission."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from chaii.config.ensemble import Merge
from chaii.config.errors import ConfigError
from chaii.decoding.decode import decode_answers
from chaii.ensemble import members
from chaii.ensemble.members import Ensemble, Inference, gather_members, load_oof_predictions
from chaii.ensemble.pipeline import rank_voters
from chaii.evaluation.metrics import jaccard
from chaii.evaluation.oof_table import read_oof_table

pytestmark = pytest.mark.usefixtures("few_rounds")
HARDLY = "trainer.max_steps=1", "trainer.num_evaluations=0"


@pytest.fixture(scope="module")
def three_backbones(train_demo, tmp_path_factory):
    """Two folds of each backbone, hardly trained."""
    output = tmp_path_factory.mktemp("ensemble")
    for backbone in ("muril", "xlmr", "rembert"):
        for fold in (0, 1):
            train_demo(output, f"experiment=demo_{backbone}", f"fold={fold}")
    return output


@pytest.fixture(scope="module")
def submission(three_backbones, ensemble_demo):
    """The vote of all three, as a file."""
    return ensemble_demo(three_backbones)


@pytest.fixture(scope="module")
def searched(few_rounds, three_backbones, ensemble_demo):  # noqa: ARG001
    """A submission whose method was searched, on fewer rows than are usually needed."""
    return ensemble_demo(three_backbones, "ensemble.name=searched", "search.min_rows=9")


def read(path):
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def test_the_submission_answers_every_test_row_in_order(submission, three_backbones):
    expected = read(three_backbones / "demo/chaii/test.csv")
    answers = read(submission)
    assert list(answers.columns) == ["id", "PredictionString"]
    assert list(answers["id"]) == list(expected["id"])
    for answer, context in zip(answers["PredictionString"], expected["context"], strict=True):
        assert all(word in context for word in answer.split())


def test_members_averages_and_the_vote_are_scored(submission):
    scores = pd.read_csv(submission.with_name("demo_auto_scores.csv"))
    assert scores["kind"].tolist() == ["member"] * 6 + ["average"] * 3 + ["vote"]
    members = scores[scores["kind"] == "member"]
    assert set(members["rows"]) == {20}
    assert set(scores[scores["kind"] != "member"]["rows"]) == {40}
    assert scores[["jaccard", "exact", "f1", "hindi", "tamil"]].notna().all(axis=None)


def test_the_average_of_disjoint_folds_scores_as_their_mean(submission):
    scores = pd.read_csv(submission.with_name("demo_auto_scores.csv"))
    members = scores[scores["name"].str.startswith("demo_muril/")]["jaccard"]
    average = scores.set_index("name").loc["tiny_muril", "jaccard"]
    assert average == pytest.approx(members.mean())


def test_one_run_alone_answers_exactly_as_it_did_out_of_fold(three_backbones, ensemble_config):
    config = ensemble_config(three_backbones, "ensemble.members=[demo_xlmr]")
    group = gather_members(config).groups["tiny_xlmr"]
    examples, logits = load_oof_predictions(group, config, merge=Merge.odds)
    oof = read_oof_table([member.run.oof for member in group]).set_index("id")["prediction"]
    ours = pd.Series(list(decode_answers(logits)["prediction"]), index=examples["id"])
    assert ours.sort_index().to_dict() == oof.sort_index().to_dict()


def test_logits_are_predicted_once(submission, three_backbones, ensemble_demo, monkeypatch):
    before = submission.read_bytes()
    monkeypatch.setattr(members, "predict_logits", lambda *_, **__: pytest.fail("predicted"))
    assert ensemble_demo(three_backbones).read_bytes() == before


def test_the_order_of_members_changes_nothing(submission, three_backbones, ensemble_demo):
    before = submission.read_bytes()
    swapped = "ensemble.members=[demo_rembert,demo_muril,demo_xlmr]"
    assert ensemble_demo(three_backbones, swapped).read_bytes() == before


def test_the_same_seed_gives_the_same_bytes(three_backbones, train_demo, ensemble_demo, tmp_path):
    train_demo(tmp_path)
    other = "runs/demo_muril/fold1"
    shutil.copytree(three_backbones / other, tmp_path / other)
    alone = "ensemble.members=[demo_muril]", "ensemble.name=alone"
    paths = [ensemble_demo(folder, *alone) for folder in (three_backbones, tmp_path)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_run_that_is_not_there_is_named(three_backbones, ensemble_demo):
    with pytest.raises(FileNotFoundError, match="no finished fold of run 'gone'"):
        ensemble_demo(three_backbones, "ensemble.members=[gone]")


def test_runs_of_one_backbone_must_share_their_tokenizer(
    three_backbones, train_demo, ensemble_demo
):
    train_demo(three_backbones, "name=other", "backbone.scratch.vocab_size=900", *HARDLY)
    with pytest.raises(ValueError, match="do not share a tokenizer"):
        ensemble_demo(three_backbones, "ensemble.members=[demo_muril,other]")


def test_the_real_test_rows_get_a_valid_submission(three_backbones, ensemble_demo, chaii_data):
    path = ensemble_demo(
        three_backbones,
        "ensemble.name=real",
        "ensemble.members=[demo_muril,demo_xlmr]",
        f"ensemble.test.path={chaii_data}/chaii/test.csv",
    )
    sample = read(chaii_data / "chaii/sample_submission.csv")
    assert sorted(read(path)["id"]) == sorted(sample["id"])


def test_a_huge_context_and_an_endless_question_are_answered(
    three_backbones, ensemble_demo, tmp_path
):
    context = "पटना शहर की जनसंख्या १२३४ थी। " * 3500
    assert len(context) > 100_000
    rows = pd.DataFrame(
        [
            ("long", context, "क्या " * 600, "hindi"),
            ("short", "पटना", "कहाँ?", "hindi"),
            ("empty", "", "कहाँ?", "hindi"),
        ],
        columns=["id", "context", "question", "language"],
    )
    rows.to_csv(tmp_path / "test.csv", index=False)
    path = ensemble_demo(
        three_backbones,
        "ensemble.name=huge",
        "ensemble.members=[demo_muril]",
        f"ensemble.test.path={tmp_path}/test.csv",
    )
    answers = read(path).set_index("id")["PredictionString"]
    assert answers["long"] in context
    assert answers["long"]
    assert answers["empty"] == ""


def test_runs_that_held_nothing_out_are_ensembled_unscored(train_demo, ensemble_demo, tmp_path):
    for backbone in ("muril", "xlmr"):
        train_demo(tmp_path, f"experiment=demo_{backbone}", "fold=all", *HARDLY)
    path = ensemble_demo(tmp_path, "ensemble.members=[demo_muril,demo_xlmr]")
    assert len(read(path)) == 40
    assert pd.read_csv(path.with_name("demo_auto_scores.csv")).empty


@pytest.mark.parametrize("method", ["vote", "fusion", "auto"])
def test_an_ensemble_of_one_run_is_that_run(three_backbones, ensemble_demo, method):
    path = ensemble_demo(
        three_backbones,
        "ensemble.members=[demo_xlmr]",
        f"ensemble.name=one_{method}",
        f"method={method}",
    )
    plain = ensemble_demo(
        three_backbones,
        "ensemble.members=[demo_xlmr]",
        "ensemble.name=one",
        "method=vote",
        "method.group=tiny_xlmr",
        "method.kind=single",
    )
    assert path.read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("method", ["fusion", "auto"])
def test_the_order_of_members_changes_no_method(three_backbones, ensemble_demo, method):
    names = ["demo_muril", "demo_xlmr", "demo_rembert"]
    paths = [
        ensemble_demo(
            three_backbones,
            f"ensemble.members=[{','.join(order)}]",
            f"ensemble.name={method}{place}",
            f"method={method}",
        )
        for place, order in enumerate((names, names[::-1]))
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_with_few_rows_the_vote_is_kept_and_it_is_said(
    submission, three_backbones, ensemble_demo, capsys
):
    path = ensemble_demo(three_backbones, "method=auto", "ensemble.name=thin")
    assert path.read_bytes() == submission.read_bytes()
    assert "40 out-of-fold rows, fewer than search.min_rows=200" in capsys.readouterr().out


def test_the_chosen_method_can_be_used_again(searched, three_backbones, ensemble_demo):
    file = searched.parent / "method/searched_auto.yaml"
    again = ensemble_demo(three_backbones, "ensemble.name=again", f"method_file={file}")
    assert again != searched
    assert again.read_bytes() == searched.read_bytes()


def test_every_methods_score_has_its_interval(searched):
    trials = pd.read_csv(searched.with_name("searched_auto_methods.csv"))
    assert {"vote, sum", "fusion, softmax", "tiny_muril, sigmoid", "auto, nested"} <= set(
        trials["method"]
    )
    for name in ("", "gain_"):
        middle = trials["gain" if name else "jaccard"]
        assert (trials[f"{name}low"] <= middle + 1e-12).all()
        assert (middle <= trials[f"{name}high"] + 1e-12).all()
    rules = pd.read_csv(searched.with_name("searched_auto_rules.csv"))
    assert set(rules["group"]) == {"tiny_muril", "tiny_xlmr", "tiny_rembert", "fusion"}


def test_out_of_fold_answers_are_stored_with_those_of_each_voter(submission):
    oof = pd.read_parquet(submission.with_name("demo_auto_oof.parquet"))
    assert len(oof) == 40
    for row in oof.itertuples():
        assert [part["name"] for part in row.members] != []
        for part in row.members:
            assert row.context[part["start_char"] : part["end_char"]] == part["prediction"]


def test_runs_may_vote_instead_of_backbones(three_backbones, ensemble_demo):
    path = ensemble_demo(
        three_backbones,
        "ensemble.members=[demo_muril,demo_xlmr]",
        "ensemble.voters=runs",
        "ensemble.name=runs",
        "ensemble.test=null",
    )
    scores = pd.read_csv(path)
    assert scores[scores["kind"] == "average"]["name"].tolist() == ["demo_muril", "demo_xlmr"]


def test_the_n_best_answers_are_written_where_asked(three_backbones, ensemble_demo):
    path = ensemble_demo(three_backbones, "n_best=3", "ensemble.name=ranked")
    best = pd.read_csv(path.with_name("ranked_auto_nbest.csv"), keep_default_na=False)
    assert best.groupby(["group", "id"])["rank"].max().unique().tolist() == [2]
    assert (best.groupby(["group", "id"])["score"].diff().dropna() <= 0).all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.kind=single", "method.group=None: set it where method.kind is single"),
        ("+method.weights.x=-1", "method.weights.x=-1.0: must be finite and not negative"),
        ("+ensemble.weights.gone=2", "ensemble.weights.gone: no member"),
        ("method.decode.max_words=0", "method.decode.max_words=0: must be at least 1"),
        ("search.folds=1", "search.folds=1: must be at least 2"),
    ],
)
def test_settings_that_cannot_work_are_named(ensemble_config, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        ensemble_config(tmp_path, override)


@pytest.fixture
def fresh(tmp_path):
    """Paths that know the trained runs, and no cached prediction."""
    return (f"paths.predictions={tmp_path}/predictions", f"paths.submissions={tmp_path}/out")


def test_a_generous_budget_changes_no_answer(submission, three_backbones, ensemble_demo, fresh):
    assert ensemble_demo(three_backbones, *fresh, "time_budget=60").read_bytes() == (
        submission.read_bytes()
    )


def test_a_budget_too_small_for_any_member_is_an_error(three_backbones, ensemble_demo, fresh):
    with pytest.raises(ValueError, match=r"time_budget=1e-06: too few minutes .* are empty"):
        ensemble_demo(three_backbones, *fresh, "time_budget=0.000001")
    expected = read(three_backbones / "demo/chaii/test.csv")
    submission = read(Path(fresh[1].partition("=")[2]) / "demo_auto.csv")
    assert list(submission["id"]) == list(expected["id"])


def test_members_that_would_overrun_the_budget_are_left_out(
    three_backbones, ensemble_demo, fresh, monkeypatch, capsys
):
    def estimate(job):
        return 1e6 if job.member.run.name == "demo_xlmr" else 0.001

    monkeypatch.setattr(Inference, "estimate_seconds", estimate)
    path = ensemble_demo(three_backbones, *fresh, "time_budget=10")
    assert "40 answers by 4 of 6 models" in capsys.readouterr().out
    others = ensemble_demo(
        three_backbones,
        *fresh,
        "ensemble.members=[demo_muril,demo_rembert]",
        "ensemble.name=others",
    )
    assert path.read_bytes() == others.read_bytes()


def test_a_killed_ensemble_leaves_the_submission_of_the_members_so_far(
    three_backbones, ensemble_demo, fresh, monkeypatch
):
    predict = Inference.predict

    def die_at_the_second(job):
        if job.member.run.name == "demo_xlmr":
            raise KeyboardInterrupt
        return predict(job)

    monkeypatch.setattr(Inference, "predict", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ensemble_demo(three_backbones, *fresh, "time_budget=60", "ensemble.name=killed")
    monkeypatch.undo()
    path = ensemble_demo(
        three_backbones, *fresh, "ensemble.members=[demo_muril]", "ensemble.name=alone"
    )
    killed = read(path.with_name("killed_auto.csv"))
    assert list(killed["id"]) == list(read(path)["id"])
    assert (killed["PredictionString"] != "").any()


def test_test_rows_are_answered_in_parts_with_equal_answers(
    submission, three_backbones, ensemble_demo, monkeypatch
):
    monkeypatch.setattr("chaii.ensemble.submission._CHUNK_TOKENS", 3000)
    path = ensemble_demo(three_backbones, "ensemble.name=parts")
    assert path.read_bytes() == submission.read_bytes()


def test_no_answer_is_an_answer_where_it_is_allowed(three_backbones, ensemble_demo):
    paths = [
        ensemble_demo(
            three_backbones,
            "method=vote",
            f"ensemble.name=null{place}",
            f"method.decode.null_threshold={threshold}",
        )
        for place, threshold in enumerate((1000, -1000))
    ]
    never, always = (read(path)["PredictionString"] for path in paths)
    assert (never != "").all()
    assert (always == "").all()


def test_runs_of_one_backbone_may_cut_their_windows_otherwise(
    three_backbones, train_demo, ensemble_config
):
    lengths = ("recipe.predict_max_length=48", "recipe.predict_doc_stride=16")
    train_demo(three_backbones, "name=narrow", *lengths, *HARDLY)
    config = ensemble_config(three_backbones, "ensemble.members=[demo_muril,narrow]")
    group = [m for m in gather_members(config).groups["tiny_muril"] if m.run.fold == "0"]
    wide, narrow = (load_oof_predictions([member], config, merge=Merge.odds)[1] for member in group)
    _, both = load_oof_predictions(group, config, merge=Merge.odds)
    assert not np.array_equal(wide.start, narrow.start)
    np.testing.assert_allclose(both.start, (wide.start + narrow.start) / 2, rtol=1e-5)
    weighted = ensemble_config(
        three_backbones, "ensemble.members=[demo_muril,narrow]", "+ensemble.weights.narrow=3"
    )
    group = [m for m in gather_members(weighted).groups["tiny_muril"] if m.run.fold == "0"]
    _, both = load_oof_predictions(group, weighted, merge=Merge.odds)
    np.testing.assert_allclose(both.start, (wide.start + 3 * narrow.start) / 4, rtol=1e-5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+method.weights.gone=2", "method.weights: 'gone' is none of tiny_muril, tiny_xlmr"),
        ("method.ranking=[gone]", "method.ranking: 'gone' is none of"),
        ("+method.cleaning.gone=[restore_dot]", "method.cleaning: 'gone' is none of"),
        ("+method.cleaning.fusion=[polish]", "method.cleaning.fusion: 'polish' is none of"),
        ("search.rules=[polish]", "search.rules: 'polish' is none of strip_punctuation"),
    ],
)
def test_a_method_that_names_what_is_not_there_is_refused(
    three_backbones, ensemble_demo, override, message
):
    with pytest.raises(ValueError, match=message):
        ensemble_demo(three_backbones, override)


def test_a_cached_fold_does_not_stand_for_the_time_of_others(
    three_backbones, ensemble_demo, fresh, monkeypatch, capsys
):
    predict = Inference.predict

    def stop_after_one(job):
        if job.member.name != "demo_muril/0":
            raise KeyboardInterrupt
        return predict(job)

    monkeypatch.setattr(Inference, "predict", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        ensemble_demo(three_backbones, *fresh)
    monkeypatch.undo()
    monkeypatch.setattr(Inference, "estimate_seconds", lambda _: 1e6)
    ensemble_demo(three_backbones, *fresh, "time_budget=10")
    assert "answers by 1 of 6 models" in capsys.readouterr().out


def test_a_run_of_weight_0_takes_no_part(three_backbones, ensemble_config):
    config = ensemble_config(three_backbones, "+ensemble.weights.demo_xlmr=0")
    assert list(gather_members(config).groups) == ["tiny_muril", "tiny_rembert"]


def test_where_no_weighted_voter_is_done_all_count_alike(
    three_backbones, ensemble_demo, fresh, monkeypatch, capsys
):
    monkeypatch.setattr(
        Inference, "estimate_seconds", lambda job: 1e6 * (job.member.run.name != "demo_muril")
    )
    ensemble_demo(three_backbones, *fresh, "time_budget=10", "+method.weights.tiny_muril=0")
    assert "answers by 2 of 6 models" in capsys.readouterr().out


def test_every_row_of_a_labelled_test_file_is_answered_and_scored(
    three_backbones, ensemble_demo, tmp_path, capsys
):
    rows = read(three_backbones / "demo/chaii/train.csv").head(12)
    rows.loc[0, "answer_text"] = "nowhere in the context"
    rows.loc[1, "answer_text"] = " "
    rows.to_csv(tmp_path / "test.csv", index=False)
    path = ensemble_demo(
        three_backbones, "ensemble.name=labelled", f"ensemble.test.path={tmp_path}/test.csv"
    )
    answers = read(path)
    assert list(answers["id"]) == list(rows["id"])
    assert "test, hindi, lost" in capsys.readouterr().out
    scores = pd.read_csv(path.with_name("labelled_auto_scores.csv"))
    line = scores[scores["kind"] == "test"]
    assert line["rows"].tolist() == [10]
    pairs = zip(answers["PredictionString"][2:], rows["answer_text"][2:], strict=True)
    assert line["jaccard"].item() == pytest.approx(np.mean([jaccard(*pair) for pair in pairs]))


def test_results_of_two_methods_do_not_mix(three_backbones, ensemble_demo):
    first = ensemble_demo(three_backbones, "method=vote", "ensemble.name=two")
    known = {path: path.read_bytes() for path in first.parent.glob("**/two*") if path.is_file()}
    ensemble_demo(three_backbones, "method=fusion", "ensemble.name=two")
    assert {path: path.read_bytes() for path in known} == known


def test_voters_are_ranked_by_the_average_of_their_folds(ensemble_config, tmp_path):
    ensemble = Ensemble({"a": [], "b": [], "c": []}, ["a", "b", "c"])
    scores = {("member", "a"): 0.9, ("average", "a"): 0.2, ("average", "b"): 0.5}
    lines = [(kind, name, {"jaccard": score}) for (kind, name), score in scores.items()]
    config = ensemble_config(tmp_path)
    assert rank_voters(ensemble, lines, config) == ["b", "a", "c"]
    config.method.ranking = ["c"]
    assert rank_voters(ensemble, lines, config) == ["c", "b", "a"]


def test_the_ranking_is_part_of_the_method(three_backbones, ensemble_demo):
    path = ensemble_demo(three_backbones, "method=vote")
    method = OmegaConf.load(path.parent / "method" / f"{path.stem}.yaml")
    table = pd.read_csv(path.with_name(f"{path.stem}_scores.csv"))
    averages = table[table["kind"] == "average"].sort_values("jaccard", ascending=False)
    assert list(method.ranking) == list(averages["name"])
