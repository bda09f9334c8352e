"""Contexts joined by article: what is shared, what moves, what is refused."""

import json
from dataclasses import replace

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat, Join, Labels
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import CorpusError

PARAGRAPHS = {
    "Pune": ["Pune is old.\nIt is large, ab 1200.", "गंगा बहती है। Asha left Pune in 1200."],
    "Goa": ["Goa has beaches."],
}
ANSWERS = [("Pune", 0, "large"), ("Pune", 1, "1200"), ("Goa", 0, "beaches")]


@pytest.fixture
def corpus(tmp_path):
    data = [{"title": title, "paragraphs": []} for title in PARAGRAPHS]
    for article in data:
        for number, context in enumerate(PARAGRAPHS[article["title"]]):
            questions = [
                {
                    "id": f"{title}-{i}-{text}",
                    "question": "What?",
                    "answers": [{"text": text, "answer_start": context.index(text)}],
                }
                for title, i, text in ANSWERS
                if (title, i) == (article["title"], number)
            ]
            article["paragraphs"].append({"context": context, "qas": questions})
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"data": data}), encoding="utf-8")
    return CorpusConfig(CorpusFormat.squad_json, str(path), "english", join=Join.article)


def test_questions_of_an_article_share_one_context_of_all_its_paragraphs(corpus):
    examples, _ = read_corpus("toy", corpus)
    contexts = examples["context"][:]
    assert contexts == ["\n\n".join(PARAGRAPHS["Pune"])] * 2 + PARAGRAPHS["Goa"]


def test_answers_move_with_their_paragraph(corpus):
    examples, report = read_corpus("toy", corpus)
    for example in examples:
        [text], [start] = example["answer_text"], example["answer_start"]
        assert example["context"][start : start + len(text)] == text
    assert examples[1]["answer_start"][0] > len(PARAGRAPHS["Pune"][0])
    assert not report.languages["english"].repaired


def test_a_limit_of_rows_leaves_the_paragraph_of_the_other_questions_in_the_context(corpus):
    examples, _ = read_corpus("toy", replace(corpus, max_examples=1))
    assert examples["context"][:] == ["\n\n".join(PARAGRAPHS["Pune"])]


def test_first_match_moves_an_answer_to_where_its_text_occurs_first(corpus):
    examples, _ = read_corpus("toy", replace(corpus, first_match=True))
    assert examples[1]["answer_start"] == [PARAGRAPHS["Pune"][0].index("1200")]


def test_labels_are_chosen_from_the_first_match(corpus):
    every = replace(corpus, first_match=True, labels=Labels.all)
    examples, _ = read_corpus("toy", every)
    first, second = examples[1]["answer_start"]
    assert first < second


def test_only_rows_of_articles_are_joined(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("id,context,question,answer_text,answer_start,language\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="corpus toy: join article"):
        read_corpus("toy", CorpusConfig(CorpusFormat.chaii_csv, str(path), join=Join.article))
