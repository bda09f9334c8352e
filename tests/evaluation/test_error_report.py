"""The error report: every string escaped, no network, the right rows in the right order."""

import re
import runpy
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from chaii.evaluation import error_report as report
from chaii.evaluation.oof_table import write_oof_table
from chaii.run_folder import RunFolder

SCRIPT = Path(__file__).parents[2] / "scripts" / "report.py"
VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}
HOSTILE = """<script>alert(1)</script>' "onmouseover="alert(1)" &amp; {{ name }}"""
HINDI = "गंगा नदी की लंबाई 2525 किलोमीटर है। यह भारत की सबसे लंबी नदी है।"
TAMIL = "தமிழ்நாட்டின் தலைநகரம் சென்னை ஆகும். காவிரி ஆறு 800 கி.மீ. நீளமானது."


class Page(HTMLParser):
    """Reads a page as strictly as a test needs: tags in pairs, text by the classes around it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((data, [name for _, names in self.open for name in names.split()]))

    def read(self, *classes):
        """All text inside elements of these classes, one in another, without the letters."""
        inside = [(text, around) for text, around in self.texts if set(classes) <= set(around)]
        return "".join(text for text, around in inside if "tag" not in around)


def answer(context, text, **more):
    start_char = context.find(text)
    return {"prediction": text, "start_char": start_char, "end_char": start_char + len(text)} | more


def make_row(number, context, gold, prediction, members=(), *, score=1.0, language="hindi"):
    return {
        "id": f"row-{number}",
        "corpus": "toy",
        "language": language,
        "question": f"question {number}?",
        "context": context,
        "answer_text": [gold],
        "answer_start": [context.index(gold)],
        "members": [answer(context, text, name=name) for name, text in members],
    } | answer(context, prediction, score=score)


@pytest.fixture
def rows():
    """An ensemble of two."""
    return pd.DataFrame(
        [
            make_row(0, HINDI, "2525", "2525", [("muril", "नदी"), ("xlmr", "2525")]),
            make_row(1, HINDI, "गंगा नदी", "भारत", [("muril", "भारत"), ("xlmr", "की")], score=0.6),
            make_row(2, HINDI, "नदी", "है।", [("muril", "नदी"), ("xlmr", "है।")], score=0.9),
            make_row(3, TAMIL, "800", "800", [("muril", "800"), ("xlmr", "")], language="tamil"),
        ]
    )


def render(rows, **settings):
    return report.render_report(rows, **{"name": "toy", "shown": 10} | settings)


def section(page, title):
    """Part of the page under a heading of second order."""
    return re.split(r'<h2 id="', page)[["", "worst", "changed"].index(title)]


def test_tags_are_in_pairs(rows):
    page = Page(render(rows))
    assert not page.open
    assert {"table", "article", "bdi"} <= page.tags


def test_every_string_is_escaped():
    context = f"{HOSTILE} and {HOSTILE}"
    row = make_row(0, context, HOSTILE, HOSTILE[3:], [(HOSTILE, HOSTILE[:30])])
    row |= dict.fromkeys(["id", "corpus", "language", "question"], HOSTILE)
    hostile = pd.DataFrame([row] * 4)
    page = Page(render(hostile, name=HOSTILE))
    assert not page.open
    assert "script" not in page.tags
    assert {name for name, _ in page.attributes}.isdisjoint({"onmouseover", "onclick"})
    # name, language, corpus, id, question, gold, twice in the lists of rows; none is lost
    assert "".join(text for text, _ in page.texts).count(HOSTILE) > 2 * 4 * 6


def test_the_page_needs_no_network(rows):
    page = render(rows)
    links = [value for name, value in Page(page).attributes if name in {"src", "href", "srcset"}]
    assert links == ["#worst", "#changed"]
    assert not re.search(r"url\(|@import|https?:|<link|<base", page)


def test_highlights_are_the_answers(rows):
    page = Page(render(rows[:1]))
    assert page.read("context", "gold") == "2525"
    assert page.read("context", "predicted") == "2525"
    assert page.read("context", "look-1") == "नदी"
    assert page.read("context", "look-2") == "2525"
    assert page.read("context") == HINDI


def test_overlapping_highlights_keep_the_text_whole():
    row = make_row(0, HINDI, "नदी की लंबाई", "की लंबाई 2525", [("muril", "गंगा नदी की")])
    page = Page(render(pd.DataFrame([row])))  # the row is in both lists
    assert page.read("context") == HINDI * 2
    assert page.read("context", "gold") == "नदी की लंबाई" * 2
    assert page.read("context", "gold", "predicted") == "की लंबाई" * 2
    assert page.read("context", "gold", "predicted", "look-1") == "की" * 2


def test_worst_rows_come_surest_first(rows):
    worst = section(render(rows), "worst")
    assert re.findall(r"row-\d", worst) == ["row-2", "row-1"]


def test_worst_rows_come_lowest_first():
    half = make_row(0, HINDI, "गंगा नदी", "गंगा", score=9.0)
    wrong = make_row(1, HINDI, "गंगा नदी", "भारत", score=1.0)
    page = render(pd.DataFrame([half, wrong]))
    assert re.findall(r"row-\d", page) == ["row-1", "row-0"]


def test_changed_rows_are_those_that_differ_from_the_first_member(rows):
    changed = section(render(rows), "changed")
    assert re.findall(r"row-\d", changed) == ["row-0", "row-2"]
    assert "1 are better, 1 worse, 0 score the same" in changed


def test_another_run_takes_the_place_of_the_baseline(rows):
    other = rows.assign(prediction="है।")[1:]
    changed = section(
        render(report.add_baseline(rows, other, name="other"), baseline="other"), "changed"
    )
    assert re.findall(r"row-\d", changed) == ["row-3", "row-1"]
    assert "<bdi>other</bdi>" in changed


def test_a_baseline_replaces_the_member_of_its_name(rows):
    members = report.add_baseline(rows, rows, name="xlmr")["members"]
    assert [[member["name"] for member in row] for row in members] == [["xlmr", "muril"]] * 4


def test_a_run_that_shares_no_row_is_no_baseline(rows):
    with pytest.raises(ValueError, match="other: its out-of-fold table holds none of these 4 rows"):
        report.add_baseline(rows, rows.assign(corpus="else"), name="other")


def test_without_members_nothing_has_changed(rows):
    page = render(rows.assign(members=[[]] * 4))
    assert 'id="changed"' not in page
    assert "answered by" not in page


def test_only_so_many_rows_are_shown(rows):
    page = render(rows, shown=1)
    assert re.findall("<article>", page) == ["<article>"] * 2


def test_no_rows_are_an_error(rows):
    with pytest.raises(ValueError, match="toy: no held-out row"):
        render(rows[:0])


def test_what_html_cannot_hold_is_replaced(rows):
    page = render(rows.assign(question="a\0b\x1bc\uffffd\x85e"))
    assert "a�b�c�d�e" in page


def test_the_page_stays_small():
    context = "भारत की सबसे लंबी नदी " * 2000
    row = make_row(0, context, "नदी", "भारत", [(f"member {n}", "लंबी") for n in range(5)])
    rows = pd.DataFrame([row | {"id": str(number)} for number in range(1190)])
    assert len(render(rows, shown=40).encode()) < 2_000_000


def test_scores_of_a_known_case(rows):
    page = Page(render(rows))
    totals = page.read("totals")
    assert "0.500" in totals  # two of four rows are right, the others wholly wrong
    assert "4 held-out rows, 2 of them" in page.read("lead")


def save_run(root, name, rows):
    run = RunFolder(root, name, "0")
    run.path.mkdir(parents=True)
    write_oof_table(run.oof, rows.assign(members=[[]] * len(rows), jaccard=0.0))
    run.finish({})


def run_script(monkeypatch, folder, *words):
    paths = ["--runs", f"{folder}/runs", "--submissions", str(folder)]
    monkeypatch.setattr(sys, "argv", ["report.py", *words, *paths])
    monkeypatch.chdir(folder)
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_script_writes_a_page_of_an_ensemble(rows, tmp_path, monkeypatch):
    write_oof_table(tmp_path / "toy_oof.parquet", rows.assign(jaccard=0.0))
    run_script(monkeypatch, tmp_path, "--ensemble", "toy")
    page = (tmp_path / "data" / "reports" / "toy.html").read_text(encoding="utf-8")
    assert "<bdi>muril</bdi>" in section(page, "changed")


def test_script_sets_a_run_against_another(rows, tmp_path, monkeypatch):
    save_run(tmp_path / "runs", "new", rows)
    save_run(tmp_path / "runs", "old", rows.assign(prediction="नदी"))
    output = tmp_path / "page.html"
    run_script(monkeypatch, tmp_path, "new", "--against", "old", "--output", str(output))
    changed = section(output.read_text(encoding="utf-8"), "changed")
    assert len(re.findall(r"row-\d", changed)) == 4


def test_script_names_what_it_cannot_find(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"error: .*no finished fold of run 'none'"):
        run_script(monkeypatch, tmp_path, "none")
