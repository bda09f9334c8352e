"""Row 5: windows per second in training, against the standard script, on a CPU.

The model has real MiniLM weights under a fresh head. The questions are those of SQuAD if CHAII_DATA
names a folder that has them, else generated. Generated documents are so long that nearly all
windows are full.

    python benchmarks/train.py
"""

from __future__ import annotations

import os
from functools import partial

import torch
from datasets import Dataset
from made import make_examples
from matmul import count_flops, measure_peak
from measure import Line, compare, parse_arguments, report
from minilm import find_minilm, load_minilm
from train_ways import (
    Work,
    alternate_reported,
    check_loss,
    prepare_work,
    share_padded,
    train_ours,
    train_standard,
)
from transformers import AutoTokenizer

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.schema import Precision, TrainerConfig
from chaii.corpus.readers import read_corpus
from chaii.model.predict import choose_precision

SIZE = {"max_length": 384, "doc_stride": 128}  # the standard script's defaults


def read_squad(rows: int) -> tuple[str, Dataset]:
    """Return the name of the corpus and its examples."""
    folder = os.environ.get("CHAII_DATA")
    if not folder:
        return "made paragraphs", make_examples(rows, words=40, spread=0.4)
    path = f"{folder}/squad/train-slice-v1.1.json"
    config = CorpusConfig(CorpusFormat.squad_json, path, language="english")
    return "SQuAD", read_corpus("squad", config)[0].shuffle(seed=2021).select(range(rows))


def measure_paragraphs(name: str, work: Work, *, pairs: int) -> list[Line]:
    """Measure short contexts: both standard ways, with and without attention dropout."""
    fast, usual = (load_minilm(attention_probs_dropout_prob=rate) for rate in (0.0, 0.1))
    difference = check_loss(work, fast)
    ours, ours_usual, padded, dynamic = alternate_reported(
        partial(train_ours, work, fast),
        partial(train_ours, work, usual),
        partial(train_standard, work, usual, padded=True),
        partial(train_standard, work, usual, padded=False),
        pairs=pairs,
    )
    half = choose_precision(work.trainer.precision) is Precision.bf16
    peak = measure_peak(dtype=torch.bfloat16 if half else torch.float32)
    reached = count_flops(fast.config, work.plan["length"], train=True) / min(ours) / 1e9
    note = (
        f"{name}, {len(work.plan)} windows in batches of {work.batch_size}, "
        f"{torch.get_num_threads()} threads; same windows and labels, "
        f"loss within {difference:.0e}; padding {share_padded(work):.1%}"
    )
    limit = (
        f"{reached:.0f} of the {peak:.0f} GFLOP/s of a large product in "
        f"{'bf16' if half else 'fp32'} ({reached / peak:.0%})"
    )
    dropout = "attention dropout 0 as in conf/, theirs .1"
    return [
        compare(f"padding to 384; {dropout}", ours, padded, at_least=2, note=note),
        compare(f"dynamic padding; {dropout}", ours, dynamic, at_least=1.25, note=limit),
        compare("padding to 384; dropout .1 both", ours_usual, padded),
        compare("dynamic padding; dropout .1 both", ours_usual, dynamic),
    ]


def measure_documents(work: Work, *, pairs: int) -> list[Line]:
    """Measure long contexts, as those of winner_119: there is almost no padding."""
    fast, usual = (load_minilm(attention_probs_dropout_prob=rate) for rate in (0.0, 0.1))
    ours, dynamic = alternate_reported(
        partial(train_ours, work, fast),
        partial(train_standard, work, usual, padded=False),
        pairs=pairs,
    )
    note = f"generated documents as long as those of winner_119, {len(work.plan)} windows"
    return [
        compare("full windows, dynamic padding; dropout 0, theirs .1", ours, dynamic, note=note)
    ]


def main() -> None:
    """Measure all lines."""
    quick = parse_arguments(__doc__).quick
    tokenizer = AutoTokenizer.from_pretrained(find_minilm())
    trainer = TrainerConfig(per_device_train_batch_size=4 if quick else 16)
    name, examples = read_squad(60 if quick else 3000)
    prepare = partial(prepare_work, tokenizer=tokenizer, trainer=trainer, **SIZE)
    pairs = 1 if quick else 5
    lines = measure_paragraphs(name, prepare(examples, batches=1 if quick else 3), pairs=pairs)
    documents = make_examples(2 if quick else 30, words=700)
    lines += measure_documents(prepare(documents, batches=1 if quick else 2), pairs=pairs)
    report(5, "Train", lines, name="train", quick=quick)


if __name__ == "__main__":
    main()
