"""Leaks: which pairs are found, and which rows they name."""

import numpy as np
import pytest
from datasets import concatenate_datasets

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.leakage import count_leaks, find_leaks, list_leaking_rows
from chaii.corpus.readers import read_corpus

RIVER = "The Ganges rises in the western Himalayas and flows south and east through the plain."
HILLS = "Old hills of slate surround the valley, where shepherds have kept their flocks for long."


def change(text, rng, rate=0.05):
    """The text with a share of its characters replaced, followed by another, or deleted."""
    letters, out = sorted(set(text)), []
    for letter, hit in zip(text, rng.random(len(text)) < rate, strict=True):
        other = letters[rng.integers(len(letters))]
        out.append(("", other, letter + other)[rng.integers(3)] if hit else letter)
    return "".join(out)


def with_contexts(examples, contexts):
    """The examples with other contexts, in a corpus of their own."""
    rows = [
        {**row, "context": context, "corpus": "planted"}
        for row, context in zip(examples, contexts, strict=True)
    ]
    return type(examples).from_list(rows, features=examples.features)


def context_pairs(leaks):
    found = leaks[leaks["kind"] == "context"]
    return set(zip(found["train_id"], found["held_out_id"], strict=True))


@pytest.fixture
def find(make_examples):
    """Leaks between rows (question, context, answer, start)."""

    def run(train, held_out):
        ours, theirs = make_examples(train, corpus="ours"), make_examples(held_out, corpus="theirs")
        return find_leaks(ours, theirs)

    return run


def test_case_whitespace_and_compatible_letters_do_not_count(find):
    other = RIVER.upper().replace(" ", " \n ").replace("G", "Ｇ")
    leaks = find([("A?", other, "THE", 0)], [("B?", RIVER, "The", 0)])
    assert leaks[["kind", "match", "similarity", "drop"]].to_numpy().tolist() == [
        ["context", "exact", 1.0, True]
    ]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_passage_is_found_within_a_document_on_either_side(find, swapped):
    document = " ".join(f"Sentence number {i} tells of something else." for i in range(300))
    passage = f"{RIVER} {HILLS}"
    rows = [("A?", f"{document} {passage} {document}", None, None)], [("B?", passage, None, None)]
    leaks = find(*rows[::-1]) if swapped else find(*rows)
    assert leaks["match"].tolist() == ["near"]
    assert leaks["similarity"].item() > 0.9


def test_texts_that_have_nothing_in_common_make_no_pair(find):
    leaks = find([("Where is it?", RIVER, "The", 0)], [("How old are they?", HILLS, "Old", 0)])
    assert leaks.empty
    assert count_leaks(leaks).empty
    assert len(list_leaking_rows(leaks)) == 0


def test_texts_too_short_for_any_ngram_can_still_be_equal(find):
    leaks = find([("A?", "Ganges", None, None)], [("A?", "ganges", None, None)])
    assert set(leaks["kind"]) == {"context", "question"}
    assert set(leaks["match"]) == {"exact"}


def test_a_side_without_examples_is_an_error(find):
    with pytest.raises(ValueError, match="0 examples to train on and 1 held out"):
        find([], [("A?", RIVER, "The", 0)])


def test_a_question_counts_only_with_its_answer(find):
    question = "भारत की राजधानी क्या है?"
    held_out = [(question, RIVER, "Ganges", 4)]
    train = [(question, HILLS, "Old", 0), (question, f"ganges. {HILLS}", "ganges", 0)]
    leaks = find(train, held_out)
    assert leaks["kind"].tolist() == ["question", "question"]
    assert leaks.set_index("train_id")["drop"].to_dict() == {"ours-0": False, "ours-1": True}
    assert list_leaking_rows(leaks).tolist() == [1]


def test_a_text_of_many_rows_is_one_pair_that_knows_all_its_rows(find):
    train = [("A one?", HILLS, "Old", 0)] + [(f"{i} of {i**7}?", RIVER, "The", 0) for i in range(9)]
    held_out = [(f"{'abcde'[i] * 9}?", RIVER, "The", 0) for i in range(5)]
    leaks = find(train, held_out)
    assert len(leaks) == 1
    assert list_leaking_rows(leaks).tolist() == list(range(1, 10))
    counts = count_leaks(leaks).iloc[0]
    assert (counts["train_rows"], counts["held_out_rows"]) == (9, 5)
    assert (leaks["train_id"].item(), leaks["held_out_id"].item()) == ("ours-1", "theirs-0")


def test_rows_are_those_of_the_examples_given_whatever_was_selected(make_examples):
    rows = [("A?", HILLS, "Old", 0), ("B?", HILLS, "Old", 0), ("C?", RIVER, "The", 0)]
    train = concatenate_datasets(
        [make_examples(rows, corpus="one").select([2]), make_examples(rows, corpus="two")]
    )
    leaks = find_leaks(train, make_examples([("D?", RIVER, "The", 0)], corpus="theirs"))
    assert leaks["train_corpus"].tolist() == ["one", "two"]
    assert list_leaking_rows(leaks).tolist() == [0, 3]


def test_phrases_that_most_texts_share_make_no_pair(find):
    phrase = "From the collection of the National Library, all rights reserved by the publisher."
    rng = np.random.default_rng(0)

    def write(count):
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        words = ["".join(rng.choice(letters, 6)) for _ in range(40 * count)]
        return [
            (f"{i}?", f"{phrase} {' '.join(words[i * 40 : i * 40 + 40])}", None, None)
            for i in range(count)
        ]

    leaks = find(write(200), write(20))
    assert not len(leaks.query("kind == 'context'"))


@pytest.fixture(scope="module")
def read(chaii_data):
    """Real corpora by file."""

    def run(file, language, form="squad_json"):
        source = CorpusConfig(CorpusFormat(form), str(chaii_data / file), language=language)
        return read_corpus(file, source)[0]

    return run


@pytest.fixture(scope="module")
def squad(read):
    return read("squad/train-slice-v1.1.json", "english")


@pytest.fixture(scope="module")
def passages(squad):
    return first_rows(squad)


def first_rows(examples):
    """One row of each context."""
    return examples.select(np.unique(examples["context"][:], return_index=True)[1])


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("language", ["en", "hi", "th"])
def test_every_changed_xquad_context_is_found_among_squad_and_nothing_else(
    read, passages, language, seed
):
    xquad = first_rows(read(f"xquad/xquad.{language}.json", language))
    rng = np.random.default_rng(seed)
    planted = with_contexts(xquad, [change(text, rng) for text in xquad["context"]])
    leaks = find_leaks(concatenate_datasets([passages, planted]), xquad)
    assert len(xquad) == 240
    assert context_pairs(leaks) == {(name, name) for name in xquad["id"]}


def test_changed_contexts_without_any_space_are_found(read):
    xquad = first_rows(read("xquad/xquad.th.json", "thai"))
    rng = np.random.default_rng(0)
    joined = with_contexts(xquad, [text.replace(" ", "") for text in xquad["context"]])
    planted = with_contexts(joined, [change(text, rng) for text in joined["context"]])
    assert context_pairs(find_leaks(planted, joined)) >= {(name, name) for name in xquad["id"]}


def test_changed_contexts_of_han_letters_are_found(find):
    rng = np.random.default_rng(0)
    letters = [chr(code) for code in range(0x4E00, 0x5200)]
    texts = ["".join(rng.choice(letters, 300)) for _ in range(40)]
    rows = [(f"{number}?", text, None, None) for number, text in enumerate(texts)]
    changed = [(f"{number}!", change(text, rng), None, None) for number, text in enumerate(texts)]
    found = find(changed, rows).query("kind == 'context'")
    assert (found["train_id"].str.slice(5) == found["held_out_id"].str.slice(7)).all()
    assert len(found) == 40


def test_every_xquad_context_is_found_unchanged(read, passages):
    xquad = first_rows(read("xquad/xquad.en.json", "english"))
    planted = with_contexts(xquad, xquad["context"])
    leaks = find_leaks(concatenate_datasets([passages, planted]), xquad).query("kind == 'context'")
    assert set(leaks["match"]) == {"exact"}
    assert set(leaks["train_id"]) == set(xquad["id"])


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_changed_documents_of_the_competition_are_found(read, passages, seed):
    chaii = first_rows(read("chaii/train_rows.csv", None, "chaii_csv"))
    rng = np.random.default_rng(seed)
    planted = with_contexts(chaii, [change(text, rng) for text in chaii["context"]])
    leaks = find_leaks(concatenate_datasets([passages, planted]), chaii)
    assert context_pairs(leaks) >= {(name, name) for name in chaii["id"]}
    assert set(leaks.query("kind == 'context'")["train_corpus"]) == {"planted"}


def test_the_real_squad_shares_no_context_with_xquad(read, squad):
    leaks = find_leaks(squad, read("xquad/xquad.en.json", "english"))
    assert not len(leaks.query("kind == 'context'"))
    assert not len(list_leaking_rows(leaks))


def test_a_passage_of_tydi_that_xquad_has_too_is_found(read):
    tydi = read("tydiqa_goldp/english_tydiqa_train.json", "english")
    leaks = find_leaks(tydi, read("xquad/xquad.en.json", "english")).query("kind == 'context'")
    row = tydi[int(list_leaking_rows(leaks).item())]
    assert row["context"].startswith("Oxygen was isolated by Michael Sendivogius before 1604")
