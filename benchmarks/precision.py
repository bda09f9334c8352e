"""Row 7: the Jaccard that faster number formats cost, on real questions and a trained model.

Needs CHAII_DATA and the finished run english_minilm (`scripts/train.py experiment=english_minilm`,
about 20 minutes on a CPU). Without them it measures nothing.

    python benchmarks/precision.py
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from measure import Line, parse_arguments, report
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from chaii.config.checks import check_train
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.schema import Precision, TrainConfig
from chaii.corpus.readers import read_corpus
from chaii.evaluation.evaluator import Evaluator
from chaii.run_folder import RunFolder

RUN = RunFolder(Path("data/runs"), "english_minilm", "0")


def score(config: TrainConfig, precision: Precision, *, limit: int | None) -> tuple[float, float]:
    """Return the Jaccard of the run's model on XQuAD-en, and the seconds of its prediction."""
    path = f"{os.environ['CHAII_DATA']}/xquad/xquad.en.json"
    corpus = CorpusConfig(CorpusFormat.squad_json, path, language="english", max_examples=limit)
    trainer = dataclasses.replace(config.trainer, precision=precision)
    tokenizer = AutoTokenizer.from_pretrained(RUN.model)
    examples, _ = read_corpus("xquad_en", corpus)
    evaluator = Evaluator(dataclasses.replace(config, trainer=trainer), examples, tokenizer)
    model = AutoModelForQuestionAnswering.from_pretrained(RUN.model)
    began = time.perf_counter()
    jaccard = evaluator.score(model)["jaccard"]
    return jaccard, time.perf_counter() - began


def main() -> None:
    """Measure each format."""
    quick = parse_arguments(__doc__).quick
    if "CHAII_DATA" not in os.environ or not RUN.is_finished:
        print(f"{RUN.path} or CHAII_DATA is missing: nothing is measured")
        return
    config = check_train(RUN.read_config())
    limit = 20 if quick else None
    exact, slow = score(config, Precision.fp32, limit=limit)
    lines = []
    for precision in (Precision.bf16,):
        jaccard, seconds = score(config, precision, limit=limit)
        texts = f"{jaccard:.4f} in {seconds:.3g} s", f"fp32: {exact:.4f} in {slow:.3g} s"
        lines.append(Line(f"Jaccard by {precision.value}", *texts, jaccard - exact, unit="Jaccard"))
    note = f"{limit or 1190} questions of XQuAD-en"
    lines = [dataclasses.replace(line, note=note) for line in lines]
    report(7, "Cost of number formats", lines, name="precision", quick=quick)


if __name__ == "__main__":
    main()
