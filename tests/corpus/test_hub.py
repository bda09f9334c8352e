"""The Hub's forms, read from local folders of the same layout: the same rows as from the files."""

import json

import datasets
import pytest
from datasets import Dataset, load_dataset

from chaii.config.corpora import CorpusConfig, CorpusFormat, HubConfig, HubLayout, OnError
from chaii.corpus import hub
from chaii.corpus.checks import UNREAD
from chaii.corpus.readers import find_sources, read_corpus
from chaii.corpus.records import CorpusError
from chaii.corpus.table import EXAMPLE_FEATURES


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Prepared files go to the test's own folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")


def ask(identity="a", answers=(("b", 1),), **changes):
    texts, starts = [text for text, _ in answers], [start for _, start in answers]
    row = {"id": identity, "title": "T", "context": "abc", "question": "q?"}
    return row | {"answers": {"text": texts, "answer_start": starts}} | changes


def write(folder, *rows, form="parquet", name="train"):
    folder.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        Dataset.from_list(list(rows)).to_parquet(folder / f"{name}.parquet")
    else:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def read(path, *, cache=None, **settings):
    parts = {
        name: settings.pop(name) for name in list(settings) if name in HubConfig.__annotations__
    }
    settings.setdefault("language", "hindi")
    corpus = CorpusConfig(CorpusFormat.hub, str(path), hub=HubConfig(**parts), **settings)
    return read_corpus("toy", corpus, cache=cache)


@pytest.mark.parametrize("form", ["parquet", "json"])
def test_a_row_keeps_every_field(tmp_path, form):
    examples, report = read(write(tmp_path / "d", ask(), form=form))
    assert examples.features == EXAMPLE_FEATURES
    assert examples[0] == {
        "id": "a",
        "corpus": "toy",
        "article": "T",
        "language": "hindi",
        "question": "q?",
        "context": "abc",
        "answer_text": ["b"],
        "answer_start": [1],
    }
    assert report.rows == 1


ANSWERS = {
    "lists": {"text": ["b", "c"], "answer_start": [1, 2]},
    "structs": [{"text": "b", "answer_start": 1}, {"text": "c", "answer_start": 2}],
}


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_answers_may_be_lists_or_structs(tmp_path, answers):
    examples, _ = read(write(tmp_path / "d", ask() | {"answers": answers}))
    assert (examples[0]["answer_text"], examples[0]["answer_start"]) == (["b", "c"], [1, 2])


def test_columns_are_renamed(tmp_path):
    row = ask()
    row["passage"] = row.pop("context")
    examples, _ = read(write(tmp_path / "d", row), columns={"context": "passage"})
    assert examples["context"][:] == ["abc"]


def test_an_unknown_column_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no column \['passage'\]; layout squad has \['id', "):
        read(write(tmp_path / "d", ask()), columns={"passage": "context"})


def test_a_missing_column_is_named_with_the_row(tmp_path):
    row = ask()
    del row["context"]
    with pytest.raises(CorpusError, match=r"d-train\.arrow, row 1: no key 'context'; it has"):
        read(write(tmp_path / "d", row))


LANGUAGES = {
    "setting": ("hindi", ask(language="tamil"), "hindi"),
    "column": (None, ask(language="tamil"), "tamil"),
    "id": (None, ask("telugu-12-1"), "telugu"),
}


@pytest.mark.parametrize(("setting", "row", "language"), LANGUAGES.values(), ids=LANGUAGES)
def test_the_language_comes_from(tmp_path, setting, row, language):
    examples, _ = read(write(tmp_path / "d", row), language=setting)
    assert examples["language"][:] == [language]


def test_splits_are_joined_and_chosen(tmp_path):
    folder = write(tmp_path / "d", ask("a"), name="test")
    write(folder, ask("b"), name="validation")
    assert sorted(read(folder, split="test+validation")[0]["id"][:]) == ["a", "b"]
    assert read(folder, split="validation")[0]["id"][:] == ["b"]


def test_a_folder_inside_is_chosen(tmp_path):
    write(tmp_path / "d" / "hi" / "test", ask("a"), name="0000")
    write(tmp_path / "d" / "ta" / "test", ask("b"), name="0000")
    assert read(tmp_path / "d", folder="hi", split="test")[0]["id"][:] == ["a"]


@pytest.mark.parametrize("form", ["parquet", "json"])
def test_a_changed_folder_is_read_anew(tmp_path, form):
    for question in ("one?", "two?"):
        folder = write(tmp_path / "d", ask(question=question), form=form)
        examples, _ = read(folder, cache=tmp_path / "cache")
        assert examples["question"][:] == [question]


def test_a_faulty_row_is_skipped_and_counted_where_wanted(tmp_path):
    folder = write(tmp_path / "d", ask("a"), ask(" "), ask("a", question="r?"), ask("c"))
    with pytest.raises(CorpusError, match="row 2: id is empty"):
        read(folder)
    examples, report = read(folder, on_error=OnError.skip)
    assert examples["id"][:] == ["a", "c"]
    assert report.languages[UNREAD].dropped == {"malformed row": 1, "id occurs twice": 1}


def test_an_integer_id_is_read_and_rows_without_answers_are_to_be_answered(tmp_path):
    row = ask(7)
    del row["answers"]
    examples, _ = read(write(tmp_path / "d", row))
    assert (examples["id"][:], examples["answer_text"][:]) == (["7"], [[]])


def annotate_tydi(*ends, passage=-1, yes_no="NONE"):
    return {
        "passage_answer_candidate_index": [passage] * len(ends),
        "minimal_answers_start_byte": [start for start, _ in ends],
        "minimal_answers_end_byte": [end for _, end in ends],
        "yes_no_answer": [yes_no] * len(ends),
    }


def test_tydi_primary_is_read_as_from_its_files(tmp_path):
    row = {"question_text": "q?", "document_title": "T", "language": "tamil"}
    row |= {"document_plaintext": "நதி 50", "document_url": "u"}
    rows = [
        row | {"annotations": annotate_tydi((10, 12), (-1, -1))},
        row | {"annotations": annotate_tydi((-1, -1), passage=2)},
    ]
    settings = {"layout": HubLayout.tydi_primary, "language": None}
    examples, report = read(write(tmp_path / "d", *rows), languages=["tamil"], **settings)
    assert (examples[0]["answer_text"], examples[0]["answer_start"]) == (["50"], [4])
    assert examples[0]["id"].startswith("tamil-")
    assert report.languages["tamil"].dropped == {"passage as answer": 1}


def test_natural_questions_are_read_as_from_their_files(tmp_path):
    tokens = {"token": ["<P>", "in", "Paris", "</P>"], "is_html": [True, False, False, True]}
    no_answer = {"start_token": [], "end_token": []}
    long_answer = {"start_token": 0, "end_token": 4}
    rows = [
        {
            "id": str(number),
            "document": {"title": "T", "url": "u", "html": "h", "tokens": tokens},
            "question": {"text": "where", "tokens": ["where"]},
            "annotations": {
                "id": ["1"],
                "long_answer": [long_answer],
                "short_answers": [short],
                "yes_no_answer": [yes_no],
            },
        }
        for number, (short, yes_no) in enumerate(
            [({"start_token": [2], "end_token": [4]}, -1), (no_answer, -1), (no_answer, 1)]
        )
    ]
    settings = {"layout": HubLayout.natural_questions, "language": None}
    examples, report = read(write(tmp_path / "d", *rows), **settings)
    assert examples[0] == {
        "id": "0",
        "corpus": "toy",
        "article": "T",
        "language": "english",
        "question": "where",
        "context": "in Paris",
        "answer_text": ["Paris"],
        "answer_start": [3],
    }
    assert report.languages["english"].dropped == {
        "passage as answer": 1,
        "yes or no as answer": 1,
    }


def test_an_unreachable_hub_explains_how_to_place_the_files():
    settings = HubConfig(subset="xquad.hi", split="validation")
    corpus = CorpusConfig(CorpusFormat.hub, "google/xquad", language="hindi", hub=settings)
    with pytest.raises(CorpusError) as error:
        find_sources("xquad_hi", corpus)
    message = str(error.value)
    assert message.startswith("corpus xquad_hi: cannot load 'google/xquad' (subset xquad.hi, ")
    assert "https://huggingface.co/datasets/google/xquad in a folder by hand" in message
    assert message.endswith("set corpora.xquad_hi.path to it")
    assert "\n" not in message


REFUSED = {
    "script": RuntimeError("Dataset scripts are no longer supported, but found mlqa.py"),
    "no such split": ValueError('Unknown split "tarin"'),
    "broken parquet": datasets.exceptions.DatasetGenerationError("An error occurred"),
    "no message": ConnectionError(),
}


@pytest.mark.parametrize("fault", REFUSED.values(), ids=REFUSED)
def test_whatever_the_hub_refuses_gives_one_error(monkeypatch, fault):
    def refuse(*_arguments, **_settings):
        raise fault

    monkeypatch.setattr(hub, "load_dataset", refuse)
    with pytest.raises(CorpusError, match=r"cannot load 'a/b' \(.*\): \w+"):
        read("a/b")


def test_the_revision_and_the_subset_reach_the_hub(monkeypatch, tmp_path):
    seen = {}

    def record(path, subset, **settings):
        seen.update(settings, path=path, subset=subset)
        return load_dataset(str(folder), split="train")

    folder = write(tmp_path / "d", ask())
    monkeypatch.setattr(hub, "load_dataset", record)
    read("a/b", subset="s", revision="abc", folder="f", split="train")
    seen.pop("keep_in_memory")
    wanted = {"path": "a/b", "subset": "s", "revision": "abc", "data_dir": "f", "split": "train"}
    assert seen == wanted


MISFITS = {
    "hub without settings": (CorpusConfig(CorpusFormat.hub, "a/b"), "hub must be set"),
    "settings without hub": (
        CorpusConfig(CorpusFormat.squad_json, "f", hub=HubConfig()),
        "hub must be set with format hub, and only there",
    ),
    "language of tydi": (
        CorpusConfig(
            CorpusFormat.hub, "a", language="x", hub=HubConfig(layout=HubLayout.tydi_primary)
        ),
        "language does not go with format hub",
    ),
    "skip in a whole file": (
        CorpusConfig(CorpusFormat.squad_json, "f", on_error=OnError.skip),
        "on_error skip is not possible with format squad_json",
    ),
}


@pytest.mark.parametrize(("corpus", "message"), MISFITS.values(), ids=MISFITS)
def test_settings_that_do_not_go_together_are_refused(corpus, message):
    with pytest.raises(CorpusError, match=message):
        find_sources("toy", corpus)
