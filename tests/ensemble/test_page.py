"""The page of scripts/app.py: what can be chosen, answers in their context, words, escaping."""

import re
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from transformers import AutoConfig, AutoModelForQuestionAnswering

from chaii.config.ensemble import ReaderOptions
from chaii.config.errors import ConfigError
from chaii.ensemble import page
from chaii.ensemble.answerer import load_answerer
from chaii.ensemble.vote import vote

CONTEXT = "गंगा नदी की लंबाई 2525 किलोमीटर है। यह भारत की सबसे लंबी नदी है।"
QUESTION = "गंगा नदी कितनी लंबी है?"
HOSTILE = """<script>hit()</script> <img src=x onerror='hit()'> " &amp; ${hit()} {{ 7 * 7 }}"""
TAGS = {"div", "ol", "li", "span", "bdi", "i", "p", "mark", "sup", "em", "small", "b"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "style", "dir", "aria-hidden", "scope"}


class Html(HTMLParser):
    """Reads HTML strictly: known tags in pairs, and the text inside some tags and classes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        self.open.append({tag, *dict(attrs).get("class", "").split()})

    def handle_endtag(self, tag):
        assert tag in self.open.pop()

    def handle_data(self, data):
        self.texts.append((data, set().union(*self.open)))

    def read(self, *names):
        """All text inside these tags or classes, one in another, without the numbers."""
        inside = (
            text for text, around in self.texts if set(names) <= around and "sup" not in around
        )
        return "".join(inside).strip()


def make_answer(text, score=0.5, context=CONTEXT):
    start = context.index(text)
    return {"answer": text, "start": start, "end": start + len(text), "score": score}


@pytest.fixture(scope="module")
def checkpoints(tokenizers, tmp_path_factory):
    """Untrained models, each with a tokenizer of its own."""
    folders = []
    for kind, tokenizer in tokenizers.items():
        folders.append(tmp_path_factory.mktemp(kind))
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
        sizes |= {"num_attention_heads": 2, "vocab_size": len(tokenizer)}
        config = AutoConfig.for_model("bert", **sizes)
        AutoModelForQuestionAnswering.from_config(config).save_pretrained(folders[-1])
        tokenizer.save_pretrained(folders[-1])
    return folders


def finish(runs, *names):
    for name in names:
        (runs / name / "fold0").mkdir(parents=True)
        (runs / name / "fold0/metrics.json").touch()


def write_ensemble(conf, name, members):
    (conf / "ensemble").mkdir(exist_ok=True)
    (conf / f"ensemble/{name}.yaml").write_text(f"members: {members}\n", encoding="utf-8")


def test_finished_runs_and_complete_ensembles_can_be_chosen(tmp_path):
    finish(tmp_path / "runs", "b", "a")
    (tmp_path / "runs/unfinished/fold0").mkdir(parents=True)
    for name, members in {"both": "[a, b]", "lacks": "[a, unfinished]", "a": "[b]"}.items():
        write_ensemble(tmp_path, name, members)
    assert page.find_choices(tmp_path / "runs", tmp_path) == ["a", "b", "both"]


def test_without_a_finished_run_the_error_tells_how_to_get_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished run yet; make demo"):
        page.find_choices(tmp_path, tmp_path)


def test_examples_are_of_both_languages_and_always_the_same():
    examples = list(page.write_examples())
    assert examples == list(page.write_examples())
    scripts = [unicodedata.name(context[0]).split()[0] for _, context in examples]
    assert scripts == ["DEVANAGARI", "TAMIL"] * 2


def test_one_checkpoint_is_compared_with_nothing(checkpoints):
    answerer = load_answerer(checkpoints[0], precision="fp32")
    found, own = answerer.compare(QUESTION, CONTEXT, top_k=3)
    assert found == answerer.answer([(QUESTION, CONTEXT)], ReaderOptions(top_k=3))[0]
    assert len(found) == 3
    assert len(own) == 1


def test_the_answers_of_an_ensemble_are_its_own_and_those_of_each_member_alone(checkpoints):
    answerer = load_answerer(checkpoints, precision="fp32")
    found, own = answerer.compare(QUESTION, CONTEXT, top_k=3)
    assert found == answerer.answer([(QUESTION, CONTEXT)], ReaderOptions())[0]
    for folder, answer in zip(checkpoints, own.values(), strict=True):
        alone = load_answerer(folder, precision="fp32")
        options = ReaderOptions(align_to_words=False)
        assert answer == alone.answer([(QUESTION, CONTEXT)], options)[0][0]


@pytest.mark.parametrize("asked", [("", CONTEXT), (QUESTION, " ")])
def test_where_nothing_is_asked_there_is_no_answer(asked, checkpoints):
    answers, vote_of = page.render_page(lambda _: load_answerer(checkpoints), "x", *asked, 2)
    assert Html(answers).read("answers", "em") == "no answer"
    assert "no answer" in Html(vote_of).read("note")


def test_the_words_that_are_kept_are_those_of_the_vote():
    rng = np.random.default_rng(1)
    words = [match.span() for match in re.finditer(r"\S+", CONTEXT)]
    kept_nothing = 0
    for _ in range(200):
        places = {}
        for name in ("a", "b", "c", "d")[: rng.integers(2, 5)]:
            first, last = np.sort(rng.integers(0, len(words), 2))
            places[name] = words[first][0], words[last][1]
        rows = {name: [("0", CONTEXT[slice(*at)], *at)] for name, at in places.items()}
        columns = ["id", "prediction", "start_char", "end_char"]
        tables = {name: pd.DataFrame(row, columns=columns) for name, row in rows.items()}
        [voted] = vote(tables, contexts=[CONTEXT], ranking=list(places)).to_dict("records")
        kept = [word["word"] for word in page.list_words(CONTEXT, places) if word["kept"]]
        assert len(kept) == voted["words"]
        assert " ".join(kept) in (voted["prediction"], "")
        kept_nothing += not kept
    assert 0 < kept_nothing < 200


def test_the_best_answer_is_highlighted_in_the_whole_context():
    answers = [make_answer("2525 किलोमीटर", 0.75), make_answer("2525", 0.0004)]
    html = Html(page.render_answers(CONTEXT, answers, voters=1))
    assert html.read("best") == "2525 किलोमीटर"
    assert html.read("look-2") == "2525"
    assert html.read("context") == CONTEXT
    assert html.read("score") == "75.0 %< 0.1 %"


def test_a_long_context_is_cut_around_the_answers():
    context = "अ " * 100_000 + "2525" + " आ" * 100_000
    text = page.render_answers(context, [make_answer("2525", context=context)], voters=1)
    assert Html(text).read("best") == "2525"
    assert 3_000 < len(text) < 10_000


def test_the_vote_shows_every_backbone_and_its_words():
    own = {"muril": make_answer("2525 किलोमीटर"), "xlmr": make_answer("किलोमीटर है।")}
    own["rembert"] = make_answer("2525 किलोमीटर", 0.9)
    html = Html(page.render_vote(CONTEXT, make_answer("2525 किलोमीटर"), own))
    assert html.read("name") == "murilxlmrrembert"
    assert html.read("kept", "th") == "2525किलोमीटर"
    assert html.read("words", "td").endswith("21 of 3: dropped")
    assert html.read("best") == "2525 किलोमीटर"
    assert html.read("look-2") == "किलोमीटर है।"


def test_the_page_tells_where_no_word_is_kept():
    own = {"a": make_answer("2525"), "b": make_answer("भारत"), "c": make_answer("गंगा")}
    note = Html(page.render_vote(CONTEXT, own["a"], own)).read("note")
    assert note.startswith("No word has more than half")
    assert note.endswith("2525")


def test_text_never_becomes_markup():
    context = f"{HOSTILE} {CONTEXT} {HOSTILE}"
    answer = make_answer(f"{HOSTILE} {CONTEXT[:4]}", context=context)
    answers = Html(page.render_answers(context, [answer], voters=1))
    voted = Html(page.render_vote(context, answer, {HOSTILE: answer, "b": answer}))
    for html in (answers, voted):
        assert html.read("context") == context
        assert html.read("best") == answer["answer"]
    assert voted.read("name") == f"{HOSTILE}b"
    alone = Html(page.render_vote(context, answer, {HOSTILE: answer}))
    assert alone.read("note").startswith(HOSTILE)


def test_an_error_of_a_run_is_one_escaped_line():
    def fail(name):
        raise ConfigError(f"{name}: is\nbroken")

    for text in page.render_page(fail, HOSTILE, QUESTION, CONTEXT, 1):
        assert Html(text).read("note") == f"error: {HOSTILE}: is broken"


def test_the_last_few_runs_stay_loaded(monkeypatch):
    loaded = []
    monkeypatch.setattr(page, "load_answerer", lambda name, **_: loaded.append(name))
    load = page.make_loader("runs", "conf")
    for name in ("a", "b", "a", "b"):
        load(name)
    assert loaded == ["a", "b"]
