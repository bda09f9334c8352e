"""The ensemble: scores out of fold, cached logits, a valid submission."""

import pandas as pd
import pytest

from chaii import committee
from chaii.committee import answer_out_of_fold, gather_members


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


def read(path):
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def test_the_submission_answers_every_test_row_in_order(submission, three_backbones):
    expected = read(three_backbones / "demo/chaii/test.csv")
    answers = read(submission)
    assert list(answers.columns) == ["id", "PredictionString"]
    assert list(answers["id"]) == list(expected["id"])
    for answer, context in zip(answers["PredictionString"], expected["context"], strict=True):
        assert all(word in context for word in answer.split())


def test_members_blends_and_the_vote_are_scored(submission):
    scores = pd.read_csv(submission.with_name("demo_scores.csv"))
    assert scores["kind"].tolist() == ["member"] * 6 + ["blend"] * 3 + ["vote"]
    members = scores[scores["kind"] == "member"]
    assert set(members["rows"]) == {20}
    assert set(scores[scores["kind"] != "member"]["rows"]) == {40}
    assert scores[["jaccard", "exact", "f1", "hindi", "tamil"]].notna().all(axis=None)


def test_a_blend_of_disjoint_folds_is_their_mean(submission):
    scores = pd.read_csv(submission.with_name("demo_scores.csv"))
    members = scores[scores["name"].str.startswith("demo_muril/")]["jaccard"]
    blend = scores.set_index("name").loc["tiny_muril", "jaccard"]
    assert blend == pytest.approx(members.mean())


def test_one_run_alone_answers_exactly_as_it_did_out_of_fold(three_backbones, ensemble_config):
    config = ensemble_config(three_backbones, "blend.members=[demo_xlmr]")
    members = gather_members(config)["tiny_xlmr"]
    answered = answer_out_of_fold(members, three_backbones / "tokens")
    oof = pd.concat([member.run.read_oof() for member in members]).set_index("id")["prediction"]
    ours = pd.Series(list(answered.answers["prediction"]), index=answered.examples["id"])
    assert ours.sort_index().to_dict() == oof.sort_index().to_dict()


def test_logits_are_predicted_once(submission, three_backbones, ensemble_demo, monkeypatch):
    before = submission.read_bytes()
    monkeypatch.setattr(committee, "predict_logits", lambda *_, **__: pytest.fail("predicted"))
    assert ensemble_demo(three_backbones).read_bytes() == before


def test_the_order_of_members_changes_nothing(submission, three_backbones, ensemble_demo):
    before = submission.read_bytes()
    swapped = "blend.members=[demo_rembert,demo_muril,demo_xlmr]"
    assert ensemble_demo(three_backbones, swapped).read_bytes() == before


def test_the_same_seed_gives_the_same_bytes(three_backbones, train_demo, ensemble_demo, tmp_path):
    for fold in (0, 1):
        train_demo(tmp_path, f"fold={fold}")
    alone = "blend.members=[demo_muril]", "blend.name=alone"
    paths = [ensemble_demo(folder, *alone) for folder in (three_backbones, tmp_path)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_run_that_is_not_there_is_named(three_backbones, ensemble_demo):
    with pytest.raises(FileNotFoundError, match="no finished fold of run 'gone'"):
        ensemble_demo(three_backbones, "blend.members=[gone]")


def test_runs_of_one_backbone_must_share_their_tokenizer(
    three_backbones, train_demo, ensemble_demo
):
    train_demo(three_backbones, "name=other", "backbone.scratch.vocab_size=900")
    with pytest.raises(ValueError, match="do not share a tokenizer"):
        ensemble_demo(three_backbones, "blend.members=[demo_muril,other]")


def test_the_real_test_rows_get_a_valid_submission(three_backbones, ensemble_demo, chaii_data):
    path = ensemble_demo(
        three_backbones, "blend.name=real", f"blend.test.path={chaii_data}/chaii/test.csv"
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
    path = ensemble_demo(three_backbones, "blend.name=huge", f"blend.test.path={tmp_path}/test.csv")
    answers = read(path).set_index("id")["PredictionString"]
    assert answers["long"] in context
    assert answers["long"]
    assert answers["empty"] == ""


def test_runs_that_held_nothing_out_are_ensembled_unscored(train_demo, ensemble_demo, tmp_path):
    for backbone in ("muril", "xlmr"):
        train_demo(tmp_path, f"experiment=demo_{backbone}", "fold=all")
    path = ensemble_demo(tmp_path, "blend.members=[demo_muril,demo_xlmr]")
    assert len(read(path)) == 40
    assert pd.read_csv(path.with_name("demo_scores.csv")).empty
