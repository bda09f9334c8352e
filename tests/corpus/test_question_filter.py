"""The question filter finds the questions that are alike, and only these."""

import json

import numpy as np
import pytest

from chaii.corpus.question_filter import compare_questions, count_kept, format_similarity

WHEN = [f"When was the town of {name} founded?" for name in "abcdefghijklmnop"]
WHY = [f"name the reason why {name} left home early" for name in "abcdefghijklmnop"]


def read_questions(path):
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    return [question["question"] for paragraph in paragraphs for question in paragraph["qas"]]


@pytest.fixture(scope="module")
def real_questions(chaii_data):
    tydi = read_questions(chaii_data / "tydiqa_goldp/english_tydiqa_train.json")
    squad = read_questions(chaii_data / "squad/train-slice-v1.1.json")
    return tydi[:1500], squad[:3000]


def test_candidates_like_the_targets_come_first():
    similarity = compare_questions(WHEN[:8], WHY + WHEN[8:], seed=0, folds=4)
    assert set(similarity.rank()[:8]) == set(range(len(WHY), len(WHY) + 8))


def test_the_same_seed_gives_the_same_scores():
    first, second = (compare_questions(WHEN, WHY, seed=3) for _ in range(2))
    assert np.array_equal(first.scores, second.scores)
    assert first.auc == second.auc


def test_case_and_punctuation_do_not_count():
    plain = [question.lower().rstrip("?") for question in WHEN]
    similarity = compare_questions(WHEN, plain, seed=0)
    assert similarity.auc <= 0.5


def test_a_candidate_is_not_scored_by_a_model_that_saw_it():
    rng = np.random.default_rng(0)
    words = [" ".join(rng.permutation(list("abcdefghijklmnopqrst"))) for _ in range(200)]
    doubled = [*words[100:], *words[100:]]  # a twin in another fold would give them away
    assert abs(compare_questions(words[:100], doubled, seed=0).auc - 0.5) < 0.1


def test_equal_texts_score_the_same():
    similarity = compare_questions(WHEN, [*WHY, *WHY], seed=0)
    assert np.array_equal(similarity.scores[: len(WHY)], similarity.scores[len(WHY) :])


def test_tydi_differs_from_squad(real_questions):
    assert compare_questions(*real_questions, seed=0).auc > 0.9


def test_nothing_differs_from_itself(real_questions):
    pooled = [question for side in real_questions for question in side]
    shuffled = [pooled[i] for i in np.random.default_rng(1).permutation(len(pooled))]
    auc = compare_questions(shuffled[:1500], shuffled[1500:], seed=0).auc
    assert abs(auc - 0.5) < 0.05


def test_few_questions_are_refused():
    with pytest.raises(ValueError, match="2 distinct questions, but 5 folds"):
        compare_questions(["When?", "when", "Who?"], WHY, seed=0)


@pytest.mark.parametrize("keep", [0, -1, float("nan")])
def test_nothing_kept_is_refused(keep):
    with pytest.raises(ValueError, match="keep="):
        count_kept(10, keep)


def test_the_report_shows_the_share_and_both_ends():
    similarity = compare_questions(WHEN, [*WHY, *WHY], seed=0)
    report = format_similarity([*WHY, *WHY], similarity, 8)
    assert "8 of 32 questions kept (25.0%)" in report
    assert len([line for line in report.splitlines() if "reason why" in line]) == 40
