"""Teachers: finished runs that tell a student where they expect the answer in its windows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from chaii.config.ensemble import EnsembleConfig, Merge
from chaii.config.errors import ConfigError
from chaii.config.schema import TrainConfig
from chaii.decoding.context_logits import merge_windows, subtract_nulls
from chaii.decoding.span_search import softmax_rows
from chaii.ensemble.members import Inference, Member
from chaii.evaluation.oof_table import example_keys, read_oof_table
from chaii.recipe.pair_template import fingerprint_tokenizer
from chaii.recipe.soft_labels import carry_over, cover_windows
from chaii.recipe.span_labels import expand_ranges
from chaii.recipe.token_store import Stores, TokenStore, open_store
from chaii.recipe.windows import slide
from chaii.run_folder import RunFolder

_WINDOW = ["corpus", "example", "context_from", "context_to", "length"]  # what a model reads
_AT_ONCE = 20_000  # windows that are read and cached together
_NOWHERE = -60000.0  # logarithm of a probability of 0; -inf is for tokens that take no part


def find_teachers(config: TrainConfig) -> list[Member]:
    """Find the finished fold of each teacher; none where their weight is 0.

    Raises:
        FileNotFoundError: a run has not finished the fold of the student.
    """
    teachers = []
    for name in config.distill.teachers if config.distill.weight else []:
        run = RunFolder(Path(config.paths.runs), name, config.fold)
        if not run.is_finished:
            rule = f"a teacher must have the fold of the student, fold={config.fold}"
            rule += ", so that it knows none of the held-out rows"
            raise FileNotFoundError(f"distill.teachers: {run.path}: no finished fold; {rule}")
        teachers.append(Member(run, run.read_config()))
    return teachers


def check_teachers(teachers: Sequence[Member], held_out: Dataset | None) -> None:
    """Make sure that each teacher held out the rows that the student holds out.

    Raises:
        ConfigError: a teacher held out other rows.
    """
    expected = set(example_keys(held_out)) if held_out is not None else set()
    for teacher in teachers:
        path = teacher.run.oof
        known = read_oof_table([path])[["corpus", "id"]] if path.is_file() else pd.DataFrame()
        if (found := set(known.itertuples(index=False, name=None))) != expected:
            raise ConfigError(
                f"distill.teachers: {teacher.run.path}: held out {len(found - expected)} rows that "
                f"the student does not, and lacks {len(expected - found)} that it does; corpora, "
                "max_examples and folds must be those of the student"
            )


def predict_teachers(
    teachers: Sequence[Member],
    plan: pd.DataFrame,
    *,
    config: TrainConfig,
    corpora: Mapping[str, Dataset],
    stores: Stores,
    tokenizer: Any,
) -> NDArray[np.float16]:
    """Compute where the teachers expect the answer in each window of a student's plan.

    A teacher reads the characters of a window and its question, as its own tokens. Logits are
    averaged inside a tokenizer; across tokenizers, probabilities are, once they are carried over to
    the student's tokens. Each distinct window is read once, and the logits are cached.

    Args:
        corpora, stores: of the student, by the names in the plan.
        tokenizer: of the student.

    Returns:
        ``(2, tokens)``, the logarithms of the probabilities of a start and of an end at [CLS] and
        at the context tokens of one window after another. In float16 a probability above 1e-7 is
        within 0.4 % of its value.
    """
    groups: dict[str, list[Member]] = {}
    for teacher in teachers:
        groups.setdefault(teacher.fingerprint, []).append(teacher)
    ours = fingerprint_tokenizer(tokenizer)
    number = plan.groupby(_WINDOW, observed=True).ngroup().to_numpy()
    distinct = plan.assign(number=number).drop_duplicates("number").sort_values("number")
    parts = []
    keys = ["corpus", distinct["number"] // _AT_ONCE]
    for (corpus, _), windows in distinct.groupby(keys, observed=True):
        store, examples = stores[corpus], corpora[corpus]
        total = np.zeros(1)
        for fingerprint, members in groups.items():
            if fingerprint == ours:
                parts_of = (windows[name].to_numpy(np.int64) for name in _WINDOW[1:])
                example, first, last, length = parts_of
                question = length - store.template.overhead - (last - first)
                own = store.narrow(example, first, last, question=question)
                chances = _read(members, own, config)
            else:
                tokens = Path(config.paths.tokens)
                other = open_store(examples, members[0].tokenizer, tokens, verify=config.verify)
                other = cover_windows(windows, store, other)
                chances = _read(members, other, config)
                chances = carry_over(chances, windows, store, other, examples["context"])
            total = total + chances / len(groups)
        with np.errstate(divide="ignore"):
            parts.append(np.maximum(np.log(total), _NOWHERE).astype(np.float16))
    size = (distinct["context_to"] - distinct["context_from"] + 1).to_numpy(np.int64)
    first = np.cumsum(size) - size
    return np.concatenate(parts, axis=1)[:, expand_ranges(first[number], size[number])]


def _read(members: Sequence[Member], store: TokenStore, config: TrainConfig) -> NDArray[np.float64]:
    """Let the teachers of one tokenizer read the examples of `store`, a window of the plan each.

    Returns their probabilities, as `carry_over` takes them. One that is too long for a teacher's
    own windows is read in several, whose logits are merged as a reader merges them.
    """
    size = config.trainer.predict_batch_size
    settings = EnsembleConfig(predict_batch_size=size, paths=config.paths)
    names = Dataset.from_dict({"id": [str(number) for number in range(len(store))]})
    lengths = store.context_lengths()
    row_start = np.concatenate([[0], np.cumsum(lengths)])
    total = np.zeros((2, row_start[-1] + len(store)))
    for member in members:
        recipe = member.config.recipe
        length, stride = recipe.predict_max_length, recipe.predict_doc_stride
        windows = slide(store, max_length=length, doc_stride=stride)
        shared = {(member.fingerprint, length, stride): (store, windows)}
        job = Inference(member, names, settings, shared=shared)
        # Students that start side by side share one reading.
        found = subtract_nulls(job.predict())
        for side, logits in enumerate((found.start_logits, found.end_logits)):
            merged = merge_windows(windows, logits, lengths=lengths, merge=Merge.odds)
            total[side] += np.insert(merged, row_start[:-1], 0) / len(members)  # 0 at [CLS]
    row_start = row_start + np.arange(len(store) + 1)
    return np.stack([softmax_rows(side, row_start) for side in total])
