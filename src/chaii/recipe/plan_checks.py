"""Checks of the data before a training: what is wrong, by how much, and what to do about it."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from chaii.config.schema import RecipeConfig, TrainConfig
from chaii.corpus.table import Corpora, RowNumbers
from chaii.recipe.token_store import Stores, TokenStore
from chaii.recipe.windows import slide

_ANSWERED = 0.02  # least share of the windows of a source that hold an answer
_NEGATIVES = 0.5  # most share of windows without an answer; 59 % was far worse (study=recipe)
_TARGET = 0.01  # least share of the windows that are of the target corpora
_LOST = 0.02  # most share of the answers that no window holds whole
_LONG = 0.02  # most share of the target's answers that are longer than a prediction may be
_UNKNOWN = 0.01  # most share of pieces that the tokenizer does not know
_SINGLE = 0.6  # most share of pieces of one character
_FERTILITY = 6.0  # most pieces per word
_REPEATED = 0.02  # most share of rows that ask the question of another on its context
_CONTRADICTED = 0.02  # most share of rows that give another answer than such a row
_FEW = 10  # rows of either kind that never matter
_ROWS = 200  # of each language of a corpus, whose contexts are looked at


def list_warnings(
    plan: pd.DataFrame, *, config: TrainConfig, corpora: Corpora, stores: Stores, rows: RowNumbers
) -> list[str]:
    """List what is likely to spoil a training, each with its number, the limit and a remedy.

    `rows` are those of each corpus that may be trained on; `corpora` and `stores` hold all.
    """
    target = config.folds.validation_corpora
    used = {source.corpus for stage in config.recipe.stages for source in stage.sources}
    lines = [*_check_windows(plan, [name for name in target if name in used])]
    lines += _check_sources(config.recipe, stores, rows)
    for name, store in stores.items():
        lines += _check_tokens(name, corpora[name], store)
        answers = corpora[name].select(rows[name])["answer_text"][:]
        lines += _check_repeats(name, store.select(rows[name]), answers)
    for name in target:
        first, last = stores[name].answers.tokens.T
        most = config.trainer.max_answer_tokens
        share = (last - first >= most).sum() / max(1, len(first))
        if share > _LONG:
            found = f"{name}: {share:.1%} of its answers have more than {most} tokens"
            lines.append(f"{found} (at most {_LONG:.0%}); raise trainer.max_answer_tokens")
    return lines


def _check_windows(plan: pd.DataFrame, target: Sequence[str]) -> Iterator[str]:
    """Count the windows with an answer, in each source and in all, and those of the target."""
    sources = plan.groupby(["stage", "corpus"], observed=True)["start_token"]
    for (stage, corpus), share in sources.agg(lambda start: (start >= 0).mean()).items():
        if share < _ANSWERED:
            found = f"stage {stage}, {corpus}: {share:.1%} of its windows hold an answer"
            yield f"{found} (at least {_ANSWERED:.0%}); lower its negatives"
    share = (plan["start_token"] < 0).mean()
    if share > _NEGATIVES:
        found = f"{share:.1%} of all windows hold no answer (at most {_NEGATIVES:.0%})"
        yield f"{found}; lower the negatives of the corpora with long contexts"
    share = plan["corpus"].isin(target).mean()
    if target and share < _TARGET:
        found = f"{', '.join(target)}: {share:.1%} of the windows are of the target"
        yield f"{found} (at least {_TARGET:.0%}); train it longer, or less of the others"


def _check_sources(recipe: RecipeConfig, stores: Stores, rows: RowNumbers) -> Iterator[str]:
    """Count the answers that every window of their source cuts."""
    for number, stage in enumerate(recipe.stages):
        for source in stage.sources:
            store, part = stores[source.corpus], rows[source.corpus]
            size = {"max_length": source.max_length, "doc_stride": source.doc_stride}
            windows = slide(store, rows=part, **size)
            held = windows.loc[windows["start_token"] >= 0, "example"].nunique()
            answered = np.count_nonzero(np.diff(store.answers.row_start)[part])
            share = 1 - held / max(1, answered)
            if answered and share > _LOST:
                found = f"stage {number}, {source.corpus}: no window holds {share:.1%}"
                remedy = f"(at most {_LOST:.0%}); raise its doc_stride or max_length"
                yield f"{found} of its answers {remedy}"


def _check_tokens(name: str, examples: Dataset, store: TokenStore) -> Iterator[str]:
    """Look at how the tokenizer breaks some contexts of each language."""
    languages = np.array(examples["language"][:])
    for language in sorted(set(languages)):
        chosen = np.flatnonzero(languages == language)[:_ROWS]
        numbers, first = np.unique(store.context[chosen], return_index=True)
        slices = [slice(*store.text_start[number : number + 2]) for number in numbers]
        ids = np.concatenate([store.input_ids[part] for part in slices])
        width = np.concatenate([np.diff(store.offsets[part])[:, 0] for part in slices])
        words = sum(len(text.split()) for text in examples.select(chosen[first])["context"])
        unknown, single = (np.mean(ids == store.template.unk_token_id), np.mean(width == 1))
        fertility = len(ids) / max(1, words)
        found = []
        if unknown > _UNKNOWN:
            found.append(f"{unknown:.1%} of its pieces are unknown (at most {_UNKNOWN:.0%})")
        if single > _SINGLE:
            found.append(f"{single:.0%} are single characters (at most {_SINGLE:.0%})")
        if fertility > _FERTILITY:
            found.append(f"a word has {fertility:.1f} pieces (at most {_FERTILITY:.0f})")
        if found:
            remedy = "take a backbone whose tokenizer knows the language"
            yield f"{name}, {language}: {', '.join(found)}; {remedy}"


def _check_repeats(name: str, store: TokenStore, answers: Sequence[Sequence[str]]) -> Iterator[str]:
    """Count the rows that repeat a question on its context, and those that contradict another."""
    accepted = ["\n".join(sorted({text.strip() for text in texts})) for texts in answers]
    table = pd.DataFrame({"question": store.question, "context": store.context, "answer": accepted})
    pairs = ["question", "context"]
    contradicted = table.groupby(pairs)["answer"].transform("nunique") > 1
    repeats = "repeat the question and context of another"
    contradicts = "contradict another on the same question and context"
    for what, remedy, limit, found in (
        (repeats, "keep one of each", _REPEATED, table.duplicated(pairs)),
        (contradicts, "correct them", _CONTRADICTED, contradicted),
    ):
        if found.sum() > max(_FEW, limit * len(table)):
            yield f"{name}: {found.mean():.1%} of its rows {what} (at most {limit:.0%}); {remedy}"
