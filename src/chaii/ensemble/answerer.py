"""Answer pairs of question and context with loaded checkpoints: what `chaii.Reader` runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer, PreTrainedModel

from chaii.config.checks import check_ensemble, read_method
from chaii.config.compose import compose_config
from chaii.config.ensemble import DecodeConfig, MethodConfig, MethodKind, ReaderOptions, SpanScore
from chaii.config.errors import ConfigError
from chaii.config.schema import Precision
from chaii.config.settings import find_way_out
from chaii.decoding.context_logits import ContextLogits, read_context_logits
from chaii.decoding.decode import decode_n_best, limit_tokens
from chaii.decoding.graphemes import widen_to_words
from chaii.decoding.span_search import log_total
from chaii.ensemble.average import average_logits
from chaii.ensemble.members import check_method, gather_members
from chaii.ensemble.methods import MemberPredictions
from chaii.model.backbone import load_local
from chaii.model.onnx import EXPORTS, OnnxModel
from chaii.model.predict import choose_precision, predict_logits
from chaii.recipe.pair_template import fingerprint_tokenizer
from chaii.recipe.token_store import TokenStore, tokenise_pairs
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction, RunFolder, find_runs

Source = str | Path | Sequence[str | Path]
Pairs = Sequence[tuple[str, str]]  # of question and context
Answers = list[list[dict[str, Any]]]  # to each pair, best first: score, start, end, answer

_PADDING = 16  # tokens; on a CPU, torch makes and keeps a bfloat16 kernel for each new length
_N_BEST = 20  # spans that are widened to words, some of them to the same


@dataclass(frozen=True)
class Checkpoint:
    """Weights and tokenizer, and the windows that they were trained for."""

    path: str  # a folder, or a name on the Hub
    run: RunFolder | None = None  # the fold that it is of
    group: str | None = None  # whose logits are averaged; None: that of an equal tokenizer
    weight: float = 1.0
    max_length: int | None = None
    doc_stride: int | None = None
    max_answer_tokens: int = 30

    @property
    def exports(self) -> Path:
        """The folder of its ONNX exports: beside a run's model, inside any other checkpoint's.

        Raises:
            ConfigError: it is neither a run nor a folder.
        """
        if not Path(self.path).is_dir():
            raise ConfigError(f"{self.path}: is neither a run nor a folder, so it has no exports")
        return self.run.onnx if self.run else Path(self.path, "onnx")

    def load(self, auto: Any, **options: Any) -> Any:
        """Load the weights or the tokenizer by the library's class `auto`."""
        if self.run:
            return load_local(auto, Path(self.path), **options)
        return auto.from_pretrained(self.path, trust_remote_code=False, **options)

    def load_model(self) -> PreTrainedModel:
        """Load the weights.

        Raises:
            ValueError: some are missing, as those of a head that was never trained.
        """
        model, found = self.load(AutoModelForQuestionAnswering, output_loading_info=True)
        if missing := sorted(found["missing_keys"]):
            rule = f"no extractive checkpoint: it lacks {', '.join(missing[:3])}"
            raise ValueError(f"{self.path}: {rule}")
        assert isinstance(model, PreTrainedModel)
        return model

    def read_held_out(self) -> Dataset:
        """Read the rows that a run's fold was scored on.

        Raises:
            ConfigError: there are none.
        """
        if not self.run or not self.run.logits.is_dir():
            raise ConfigError(f"{self.path}: has no held-out rows; name a file of others by --rows")
        return Prediction.load(self.run.logits).examples

    def choose_windows(self, tokenizer: Any) -> dict[str, int]:
        """Choose `max_length` and `doc_stride`: as it was trained, or as is usual."""
        length = self.max_length or min(tokenizer.model_max_length, 384)
        stride = min(length // 2, 128) if self.doc_stride is None else self.doc_stride
        return {"max_length": length, "doc_stride": stride}


@dataclass(frozen=True)
class _Loaded:
    checkpoint: Checkpoint
    model: PreTrainedModel
    max_length: int
    doc_stride: int


def find_checkpoints(source: Source, *, runs: Path, conf: Path) -> list[Checkpoint]:
    """Find the checkpoints that `source` names; see `chaii.Reader.from_pretrained`.

    Raises:
        FileNotFoundError: a run has no finished fold.
    """
    if not isinstance(source, str | Path):
        found = [find_checkpoints(one, runs=runs, conf=conf) for one in source]
        return [checkpoint for checkpoints in found for checkpoint in checkpoints]
    is_name = not Path(source).is_dir()
    folder = (runs / source if is_name else Path(source)).resolve()
    if (folder / "config.yaml").is_file():
        run = RunFolder(folder.parent.parent, folder.parent.name, folder.name.removeprefix("fold"))
        if not run.is_finished:
            raise FileNotFoundError(f"{folder}: the fold is not finished")
        return [_of_run(run)]
    if any(folder.glob("fold*")):
        return [_of_run(run) for run in find_runs(folder.parent, folder.name)]
    if is_name and (conf / "ensemble" / f"{source}.yaml").is_file():
        config = compose_config(conf, "ensemble", [f"ensemble={source}"])
        config.paths.runs = str(runs)
        ensemble = gather_members(check_ensemble(config))
        return [
            replace(_of_run(member.run), group=group, weight=member.weight)
            for group in ensemble.voters
            for member in ensemble.groups[group]
        ]
    return [Checkpoint(str(source))]


def _of_run(run: RunFolder) -> Checkpoint:
    config = run.read_config()
    return Checkpoint(
        str(run.model),
        run,
        group=config.backbone.name,
        max_length=config.recipe.predict_max_length,
        doc_stride=config.recipe.predict_doc_stride,
        max_answer_tokens=config.trainer.max_answer_tokens,
    )


def load_answerer(
    source: Source,
    *,
    method: str | Path | None = None,
    device: str | None = None,
    precision: str = "auto",
    batch_size: int | None = None,
    runs: str | Path = "data/runs",
    conf: str | Path = "conf",
) -> "Answerer":
    """Load all checkpoints of `source`; see `chaii.Reader.from_pretrained`."""
    on = device or ("cuda" if torch.cuda.is_available() and precision not in EXPORTS else "cpu")
    computed = _choose_precision(precision, on)
    tokenizers: dict[str, Any] = {}
    groups: dict[str, list[_Loaded]] = {}
    group_of: dict[str, str] = {}  # by the fingerprint of its tokenizer
    for checkpoint in find_checkpoints(source, runs=Path(runs), conf=Path(conf)):
        try:
            tokenizer = checkpoint.load(AutoTokenizer)
        except (OSError, ValueError) as error:
            known = f"no run in {runs}, no ensemble in {conf}, no checkpoint"
            why = str(error).partition("\n")[0]
            raise FileNotFoundError(f"{checkpoint.path}: {known}: {why}") from error
        fingerprint = fingerprint_tokenizer(tokenizer)
        name = checkpoint.group or group_of.get(fingerprint, checkpoint.path)
        group_of.setdefault(fingerprint, name)
        tokenizers.setdefault(name, tokenizer)
        if fingerprint != fingerprint_tokenizer(tokenizers[name]):
            raise ValueError(f"{checkpoint.path}: others of {name} have another tokenizer")
        model: Any
        if precision in EXPORTS:
            file = checkpoint.exports / EXPORTS[precision]
            model = OnnxModel(file, checkpoint.load(AutoConfig))
        else:
            model = checkpoint.load_model().to(on)
        loaded = _Loaded(checkpoint, model, **checkpoint.choose_windows(tokenizer))
        groups.setdefault(name, []).append(loaded)
    chosen, size = _choose_method(method, list(groups)), 32 if on == "cpu" else 128
    return Answerer(tokenizers, groups, chosen, precision=computed, batch_size=batch_size or size)


def _choose_precision(precision: str, device: str) -> Precision:
    """Check the name of a precision, and give that in which torch computes."""
    if way := find_way_out("precision", precision):
        raise ValueError(f"precision={precision}: is gone; {way}")
    known = [one.value for one in Precision]
    if precision in known:
        return choose_precision(Precision(precision))
    if precision not in EXPORTS:
        raise ValueError(f"precision={precision}: must be one of {', '.join([*known, *EXPORTS])}")
    if device != "cpu":
        raise ValueError(f"device={device}: precision={precision} computes on the CPU alone")
    return Precision.fp32


def _choose_method(method: str | Path | None, groups: Sequence[str]) -> MethodConfig:
    """Make the method of that name, or read it from a file; every group is a voter."""
    if method is None or method in (MethodKind.vote.value, MethodKind.fusion.value):
        return MethodConfig(kind=MethodKind(method or "vote"))
    chosen = read_method(Path(method))
    if chosen.kind is MethodKind.auto:
        raise ValueError(f"{method}: kind auto is chosen by scripts/ensemble.py alone")
    check_method(chosen, groups=groups, voters=groups)
    return chosen


@dataclass(frozen=True)
class Answerer:
    """Loaded checkpoints in groups; all checkpoints of a group share a tokenizer."""

    tokenizers: Mapping[str, Any]
    groups: Mapping[str, Sequence[_Loaded]]
    method: MethodConfig
    precision: Precision
    batch_size: int

    def answer(self, pairs: Pairs, options: ReaderOptions) -> Answers:
        """Answer each pair of question and context: at most `top_k` answers, best first.

        Raises:
            ValueError: several answers, or none, are asked of an ensemble that votes, or
                `max_seq_len` is more than a backbone can read.
        """
        answers = [[_make_answer("", 0, 0.0)] for _ in pairs]
        rows = [row for row, pair in enumerate(pairs) if all(map(str.strip, pair))]
        if not rows:
            return answers
        logits = self._read([pairs[row] for row in rows], options)
        for row, best in zip(rows, self._decide(logits, options), strict=True):
            answers[row] = best
        return answers

    def compare(
        self, question: str, context: str, *, top_k: int
    ) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        """Answer one question as `answer` does, and by the best span of each group alone.

        Several groups give one answer together, whatever `top_k` is. Their own are those that vote,
        not widened to words, each with its probability.
        """
        if not question.strip() or not context.strip():
            nothing = _make_answer("", 0, 0.0)
            return [nothing], dict.fromkeys(self.groups, nothing)
        options, alone = ReaderOptions(), ReaderOptions(align_to_words=False)
        logits = self._read([(question, context)], options)
        decode = self.method.decode
        own = {name: _list_answers(one, decode, alone)[0][0] for name, one in logits.items()}
        shown = top_k if len(logits) == 1 else 1
        return self._decide(logits, replace(options, top_k=shown))[0], own

    def _read(self, pairs: Pairs, options: ReaderOptions) -> dict[str, ContextLogits]:
        """Average the logits of each group's checkpoints."""
        asked, contexts = ([pair[side] for pair in pairs] for side in (0, 1))
        examples: Any = {"id": contexts, "context": contexts}
        averages = {}
        for name, group in self.groups.items():
            most, tokenizer = options.max_question_len, self.tokenizers[name]
            store = tokenise_pairs(asked, contexts, tokenizer, max_question_tokens=most)
            logits = [
                read_context_logits(
                    self._predict(name, loaded, store, examples, options),
                    store,
                    max_answer_tokens=options.max_answer_len or loaded.checkpoint.max_answer_tokens,
                    merge=self.method.decode.merge,
                )
                for loaded in group
            ]
            averages[name] = average_logits(logits, [one.checkpoint.weight for one in group])
        return averages

    def _predict(
        self, name: str, loaded: _Loaded, store: TokenStore, examples: Any, options: ReaderOptions
    ) -> Prediction:
        stride = loaded.doc_stride if options.doc_stride is None else options.doc_stride
        length = options.max_seq_len or loaded.max_length
        if length > (limit := self.tokenizers[name].model_max_length):
            raise ValueError(f"max_seq_len={length}: must be at most {limit}, as {name} reads")
        windows = slide(store, max_length=length, doc_stride=stride)
        is_padded = self.precision is Precision.bf16 and length % _PADDING == 0
        logits = predict_logits(
            loaded.model,
            windows,
            store,
            batch_size=self.batch_size,
            precision=self.precision,
            pad_to_multiple_of=_PADDING if is_padded else None,
            progress=False,
        )
        return Prediction(examples, windows, *logits)

    def _decide(self, logits: Mapping[str, ContextLogits], options: ReaderOptions) -> Answers:
        """Take the answers of the only group; let several vote, or fuse them."""
        if len(logits) == 1:
            return _list_answers(next(iter(logits.values())), self.method.decode, options)
        if options.top_k > 1 or options.handle_impossible_answer:
            name = "top_k" if options.top_k > 1 else "handle_impossible_answer"
            raise ValueError(f"{name}: only where all checkpoints are of one backbone")
        predictions = MemberPredictions(lambda _: logits, voters=list(logits))
        table = predictions.answer(self.method)
        score = table["score"]
        if self.method.kind is MethodKind.fusion:
            score = np.exp(score)  # of a sum of logarithms of probabilities
        columns = table["prediction"], table["start_char"].to_list(), score
        return [[_make_answer(*row)] for row in zip(*columns, strict=True)]


def _list_answers(logits: ContextLogits, decoding: DecodeConfig, options: ReaderOptions) -> Answers:
    """List the best answers of one group with their probabilities."""
    decoding = replace(decoding, score=SpanScore.sum, null_threshold=None)
    number = max(_N_BEST, options.top_k) if options.align_to_words else options.top_k
    numbered = replace(logits, ids=[str(row) for row in range(len(logits))])
    table = decode_n_best(numbered, n=number, decoding=decoding)
    limit = limit_tokens(logits, decoding)
    total = log_total(logits.start, logits.end, logits.row_start, max_tokens=limit)
    nulls = logits.null if options.handle_impossible_answer else np.full(len(logits), -np.inf)
    total = np.logaddexp(total, nulls)
    sums = {(row, 0, 0): np.exp(null - total[row]) for row, null in enumerate(nulls)}
    columns = (table[name].to_list() for name in ("id", "start_char", "end_char", "score"))
    for number, start, end, score in zip(*columns, strict=True):
        row = int(number)
        if options.align_to_words:
            start, end = widen_to_words(logits.contexts[row], start, end)
        sums[row, start, end] = sums.get((row, start, end), 0.0) + np.exp(score - total[row])
    answers: Answers = [[] for _ in range(len(logits))]
    for (row, start, end), score in sorted(sums.items(), key=lambda item: -item[1]):
        if len(answers[row]) < options.top_k and score > 0:
            answers[row].append(_make_answer(logits.contexts[row][start:end], start, score))
    return [found or [_make_answer("", 0, 0.0)] for found in answers]


def _make_answer(text: str, start: int, score: float) -> dict[str, Any]:
    return {"score": float(score), "start": start, "end": start + len(text), "answer": text}
