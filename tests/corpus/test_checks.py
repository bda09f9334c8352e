"""Checks: an answer ends at its place or is dropped, and nothing happens uncounted."""

import random

import pytest

from chaii.corpus.checks import CorpusReport, LanguageReport, Tally, check_answers, format_reports

CONTEXT = "Rome, Paris, Rome, Paris; क\u093cल"  # qa as KA + NUKTA
CASES = {  # (text, start) -> (text, start, repaired)
    "in place": (("Paris", 6), ("Paris", 6, [])),
    "in place, not the first": (("Paris", 19), ("Paris", 19, [])),
    "space after": (("Rome, ", 13), ("Rome,", 13, ["outer whitespace"])),
    "space before": ((" Paris", 5), ("Paris", 6, ["outer whitespace"])),
    "space not in the context": (("\u00a0Paris\n", 6), ("Paris", 6, ["outer whitespace"])),
    "near the second": (("Paris", 17), ("Paris", 19, ["offset moved"])),
    "near the first": (("Paris", 9), ("Paris", 6, ["offset moved"])),
    "between, the earlier": (("Rome,", 6), ("Rome,", 0, ["offset moved"])),
    "before the text": (("Paris", -1), ("Paris", 6, ["offset moved"])),
    "behind the text": (("Paris", 10**12), ("Paris", 19, ["offset moved"])),
    "equal letters": (("\u0958ल", 26), ("क\u093cल", 26, ["canonically equal text"])),
}


@pytest.mark.parametrize(("given", "wanted"), CASES.values(), ids=CASES)
def test_answer_is_placed(given, wanted):
    checked = check_answers(CONTEXT, [given[0]], [given[1]])
    assert (checked.texts[0], checked.start_chars[0], checked.repaired) == wanted
    assert checked.dropped == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "empty answer"), (" \n", "empty answer"), ("Berlin", "answer not in context")],
)
def test_answer_is_dropped(text, reason):
    assert check_answers(CONTEXT, [text], [0]) == ([], [], [], [reason])


def test_equal_letters_never_cut_a_character():
    assert check_answers("caf\u00e9", ["cafe"], [0]).dropped == ["answer not in context"]


def test_answers_that_meet_at_one_place_stay_once():
    checked = check_answers(CONTEXT, ["Rome", "Rome ", "Rome"], [0, 0, 1])
    assert (checked.texts, checked.start_chars) == (["Rome"], [0])


def test_any_answer_ends_at_its_place_or_is_dropped():
    generator = random.Random(5)
    for _ in range(500):
        context = "".join(generator.choices("ab \u0958क\u093c\ufeff", k=generator.randint(0, 12)))
        text = "".join(generator.choices("ab \u0958क\u093c", k=generator.randint(0, 3)))
        checked = check_answers(context, [text], [generator.randint(-3, 15)])
        assert len(checked.texts) + len(checked.dropped) == 1
        for kept, start in zip(checked.texts, checked.start_chars, strict=True):
            assert context[start : start + len(kept)] == kept == kept.strip() != ""
        assert bool(text.strip()) or checked.dropped == ["empty answer"]
        assert checked.texts or text.strip() not in context or not text.strip()


def make_row(identity="a", texts=("b",), starts=(1,), **changes):
    row = {"id": identity, "article": "T", "language": "hindi", "question": "q", "context": "abc"}
    return row | {"answer_text": list(texts), "answer_start": list(starts)} | changes


def check_one(row):
    tally = Tally("toy")
    return tally.check(row), tally.report().languages["hindi"]


def test_good_row_passes_unchanged():
    row = make_row()
    kept, report = check_one(row)
    assert kept == row
    assert report == LanguageReport(1, 3)


@pytest.mark.parametrize("part", ["question", "context"])
def test_labelled_row_with_an_empty_part_is_dropped(part):
    kept, report = check_one(make_row(**{part: " "}))
    assert kept is None
    assert (report.rows, report.dropped) == (0, {f"empty {part}": 1})


@pytest.mark.parametrize("part", ["question", "context"])
def test_row_without_answers_is_kept_whatever_is_empty(part):
    row = make_row(texts=(), starts=(), **{part: ""})
    kept, report = check_one(row)
    assert kept == row
    assert (report.dropped, report.noted) == ({}, {f"empty {part}": 1})


def test_row_that_lost_every_answer_is_dropped_once():
    kept, report = check_one(make_row(texts=["x", "y"], starts=[0, 0]))
    assert kept is None
    assert (report.dropped, report.lost) == ({"answer not in context": 1}, {})


def test_row_that_lost_one_answer_is_kept():
    kept, report = check_one(make_row(texts=["x", "c"], starts=[0, 2]))
    assert kept["answer_text"] == ["c"]
    assert (report.dropped, report.lost) == ({}, {"answer not in context": 1})


def test_check_leaves_its_argument_alone():
    row = make_row(texts=["b "], starts=[1])
    kept, _ = check_one(row)
    assert (row["answer_text"], kept["answer_text"]) == (["b "], ["b"])


def test_characters_count_each_distinct_context_once():
    tally = Tally("toy")
    for identity, context in (("a", "abc"), ("b", "abc"), ("c", "abcde")):
        tally.check(make_row(identity, context=context))
    assert tally.report().languages["hindi"].characters == 8


def test_samples_name_the_first_few_rows():
    tally = Tally("toy")
    for identity in "pqrst":
        tally.check(make_row(identity, texts=["zz"]))
    report = tally.report().languages["hindi"]
    assert report.samples == {"answer not in context": ["p", "q", "r"]}
    assert report.dropped == {"answer not in context": 5}


def test_table_has_a_line_per_language_and_reasons_below():
    clean = LanguageReport(1_114, 12_345)
    faulty = LanguageReport(5, 9, repaired={"outer whitespace": 12}, dropped={"empty answer": 1})
    table = format_reports([CorpusReport("chaii", {"hindi": clean, "tamil": faulty})])
    assert [line.strip("|").split() for line in table.splitlines()[2:4]] == [
        ["chaii", "|", "hindi", "|", "1,114", "|", "12,345", "|", "0", "|", "0"],
        ["chaii", "|", "tamil", "|", "5", "|", "9", "|", "12", "|", "1"],
    ]
    assert table.splitlines()[4:] == [
        "chaii, tamil, repaired: outer whitespace 12",
        "chaii, tamil, dropped: empty answer 1",
    ]
