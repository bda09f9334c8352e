"""The corpora of a run: read, split into a fold, checked for leaks."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray

from chaii.config.schema import OnLeak, TrainConfig
from chaii.corpus.checks import format_reports
from chaii.corpus.folds import assign_folds, split_fold
from chaii.corpus.leakage import count_leaks, find_leaks, list_leaking_rows, list_pairs
from chaii.corpus.readers import find_sources, read_corpus
from chaii.corpus.records import CorpusError
from chaii.corpus.table import Corpora, RowNumbers
from chaii.demo.corpora import write_demo_corpora


class LeakCheck(NamedTuple):
    """The outcome of `check_leaks`."""

    rows: dict[str, NDArray[np.int64]]  # of each corpus, left to train on
    counts: dict[str, Any]  # for the metrics: rows dropped, pairs by corpus and kind
    pairs: pd.DataFrame  # see `list_pairs`


def read_corpora(config: TrainConfig) -> dict[str, Dataset]:
    """Read and check every corpus of the run; print what was repaired and dropped.

    Raises:
        CorpusError: a corpus cannot be read (see `read_corpus`), or all of its rows are dropped.
    """
    demo = Path(config.paths.demo)
    if any(Path(source.path).is_relative_to(demo) for source in config.corpora.values()):
        write_demo_corpora(demo)
    for name, source in config.corpora.items():
        find_sources(name, source)  # a wrong path must not cost the time to read the others
    corpora, reports, cache = {}, [], Path(config.paths.tokens) / "corpora"
    for name, source in config.corpora.items():
        limits = [most for most in (source.max_examples, config.max_examples) if most is not None]
        source = dataclasses.replace(source, max_examples=min(limits, default=None))
        corpora[name], report = read_corpus(name, source, cache=cache)
        reports.append(report)
    print(format_reports(reports))
    if empty := [name for name, examples in corpora.items() if not len(examples)]:
        raise CorpusError(f"corpus {', '.join(empty)}: no row is left to train on; see the table")
    return corpora


def split_examples(
    config: TrainConfig, corpora: Corpora
) -> tuple[dict[str, NDArray[np.int64]], Dataset | None]:
    """Rows of each corpus to train on, and the held-out examples (None where ``fold=all``)."""
    examples = concatenate_datasets(list(corpora.values()))
    names = np.array(examples["corpus"])
    target = config.folds.validation_corpora
    folds = assign_folds(
        examples,
        validation_corpora=target,
        num_folds=config.folds.num_folds,
        scheme=config.folds.scheme.value,
        seed=config.folds.seed,
    )
    fold = config.fold if config.fold == "all" else int(config.fold)
    train, held_out = split_fold(folds, examples, validation_corpora=target, fold=fold)
    first = dict(zip(corpora, np.cumsum([0, *map(len, corpora.values())]), strict=False))
    rows = {name: train[names[train] == name] - first[name] for name in corpora}
    return rows, examples.select(held_out) if len(held_out) else None


def check_leaks(
    on_leak: OnLeak, corpora: Corpora, rows: RowNumbers, held_out: Dataset | None
) -> LeakCheck:
    """Look for leaks from the rows to train on into the held-out ones; print one line on them.

    `on_leak` decides whether leaking rows are left out (`drop`), kept (`report`) or an error.

    Raises:
        ValueError: there are leaks that `drop` would leave out, and `on_leak` is `fail`.
    """
    if held_out is None:
        return LeakCheck(dict(rows), {}, pd.DataFrame())
    leaks = find_leaks(join_rows(corpora, rows), held_out)
    leaking = list_leaking_rows(leaks)
    if on_leak is OnLeak.fail and len(leaking):
        what = "held-out contexts, or questions with their answers"
        rule = f"{len(leaking)} rows to train on hold {what}; folds.on_leak=drop leaves them out"
        raise ValueError(f"folds.on_leak=fail: {rule}")
    dropped = leaking if on_leak is OnLeak.drop else leaking[:0]
    ends = np.cumsum([len(part) for part in rows.values()])
    kept = np.split(~np.isin(np.arange(ends[-1]), dropped), ends[:-1])
    left = {name: part[keep] for (name, part), keep in zip(rows.items(), kept, strict=True)}
    print()
    print(_summarise(leaks, number=len(leaking), on_leak=on_leak))
    counts = count_leaks(leaks).to_dict("records")
    return LeakCheck(left, {"dropped": len(dropped), "pairs": counts}, list_pairs(leaks))


def join_rows(corpora: Corpora, rows: RowNumbers) -> Dataset:
    """The chosen rows of all corpora as one Dataset."""
    return concatenate_datasets([corpora[name].select(part) for name, part in rows.items()])


def distinct_texts(corpora: Corpora) -> list[str]:
    """Every distinct context and question once, in the order of the corpora."""
    columns = [corpora[name][column] for name in corpora for column in ("context", "question")]
    return list(dict.fromkeys(text for column in columns for text in column))


def _summarise(leaks: pd.DataFrame, *, number: int, on_leak: OnLeak) -> str:
    if leaks.empty:
        return "leaks into the held-out rows: none"
    kinds = (leaks["match"].replace("exact", "equal") + " " + leaks["kind"] + "s").value_counts()
    done = "dropped" if on_leak is OnLeak.drop else "kept"
    return (
        f"leaks into the held-out rows: {number:,} rows to train on ({done}; "
        + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
        + "), see scripts/check_leaks.py"
    )
