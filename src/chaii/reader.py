"""Answer questions about texts with a run, an ensemble or any extractive checkpoint."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chaii.config.ensemble import ReaderOptions

if TYPE_CHECKING:
    from chaii.ensemble.answerer import Answerer

_COLUMNS = ("answer", "score", "start", "end")
_CHUNK_ROWS = 256  # pairs answered together: enough to sort their windows by length
_CHUNK_CHARACTERS = 2_000_000


class Reader:
    """Finds the answer to a question in a context.

    Make one with `from_pretrained` and call it as transformers' question-answering pipeline was
    called; any call may set the fields of `ReaderOptions`:

    - ``reader(question=..., context=...)`` returns ``{"score", "start", "end", "answer"}``, with
      ``top_k`` above 1 a list of these, best first;
    - lists of both, or a list of ``{"question", "context"}``, return a list; one context may serve
      many questions;
    - an iterator of ``{"question", "context"}`` returns an iterator, in constant memory;
    - a mapping of columns, as `datasets.Dataset.map(batched=True)` and Ray's `map_batches` pass it,
      returns the same columns and the four of the answers.

    ``start`` and ``end`` are half-open characters, so that ``answer == context[start:end]``.
    ``score`` is the probability of the span among all spans of the whole context that are at most
    `max_answer_len` long, "" included where `handle_impossible_answer` is set; answers that become
    equal when they are widened to words add up. In an ensemble whose members vote it is the share
    of the votes; there is one answer per question then. A question or context without text has the
    answer "" and the score 0.

    ``Reader(source, ...)`` takes the arguments of `from_pretrained` and loads nothing before its
    first call. A reader can be pickled: the copy loads the weights again where it is used.
    """

    def __init__(self, source: str | Path | Sequence[str | Path], **options: Any) -> None:
        self._arguments = {"source": source, **options}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Sequence[str | Path],
        *,
        method: str | Path | None = None,
        device: str | None = None,
        precision: str = "auto",
        batch_size: int | None = None,
        runs: str | Path = "data/runs",
        conf: str | Path = "conf",
    ) -> Self:
        """Load the weights of `source`.

        Args:
            source: a run's name or folder (all its finished folds), the folder of one fold, the
                folder or Hub name of any checkpoint that `AutoModelForQuestionAnswering` loads, an
                ensemble's name, or a list of these. Logits are averaged inside a backbone.
            method: how several backbones become one answer: ``vote``, ``fusion`` or a method file
                that `scripts/ensemble.py` wrote. None: vote. With one backbone only `decode` acts.
            device: where to compute; None: the GPU if there is one.
            precision: fp32, bf16, fp16 or auto: the fastest that the device computes natively. Or
                ``onnx`` or ``onnx_int8``: the exports that `scripts/export.py` wrote of the source,
                computed by ONNX Runtime on the CPU, with as many threads as torch is set to.
            batch_size: windows computed together; None: 32, on a GPU 128.
            runs, conf: folders of the runs, and of the configuration that names ensembles.

        Raises:
            FileNotFoundError: a run has no finished fold, or `source` is nothing of these.
            ValueError: `method` is neither a name nor a method file or names an unknown backbone, a
                tokenizer is no fast one, a checkpoint was never trained to answer, it has not been
                exported, or ONNX Runtime is not installed.
        """
        options = {"method": method, "device": device, "precision": precision, "conf": conf}
        reader = cls(source, batch_size=batch_size, runs=runs, **options)
        assert reader._answerer
        return reader

    def __call__(
        self,
        inputs: Any = None,
        *,
        question: str | Sequence[str] | None = None,
        context: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Any:
        """Answer one question, a list, a stream or a batch of columns: see the class.

        Raises:
            TypeError: an option is unknown, or a question or context is no text.
            ValueError: an option is out of range, a column is missing, or the numbers of questions
                and contexts differ.
        """
        chosen = ReaderOptions(**options)
        if inputs is None:
            inputs = {"question": question, "context": context}
        if not isinstance(inputs, Mapping):
            stream = self._stream(inputs, chosen)
            return list(stream) if isinstance(inputs, Sequence) else stream
        if missing := [name for name in ("question", "context") if inputs.get(name) is None]:
            raise ValueError(f"{missing[0]}: is missing; a question and its context are needed")
        if all(isinstance(inputs[name], str) for name in ("question", "context")):
            return next(self._stream([inputs], chosen))
        columns = (inputs[name] for name in ("question", "context"))
        questions, contexts = ([one] if isinstance(one, str) else list(one) for one in columns)
        most = max(len(questions), len(contexts))
        if isinstance(inputs["context"], str):
            contexts = contexts * most
        if len(questions) != len(contexts):
            raise ValueError(f"{len(questions)} questions for {len(contexts)} contexts")
        pairs = zip(questions, contexts, strict=True)
        rows = ({"question": asked, "context": text} for asked, text in pairs)
        answers = list(self._stream(rows, chosen))
        if question is not None:
            return answers
        first = [answer[0] if isinstance(answer, list) else answer for answer in answers]
        return {**inputs, **{name: [row[name] for row in first] for name in _COLUMNS}}

    @cached_property
    def _answerer(self) -> "Answerer":
        from chaii.ensemble.answerer import load_answerer  # torch takes seconds to import

        return load_answerer(**self._arguments)

    def __getstate__(self) -> dict[str, Any]:
        return {"_arguments": self._arguments}

    def _stream(self, rows: Iterable[Mapping[str, str]], options: ReaderOptions) -> Iterator[Any]:
        for chunk in _chunks(rows):
            for answers in self._answerer.answer(chunk, options):
                yield answers[0] if options.top_k == 1 else answers


def _chunks(rows: Iterable[Mapping[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Group the pairs of question and context so that each group is small enough for memory."""
    chunk: list[tuple[str, str]] = []
    characters = 0
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"row {number}: must hold question and context, is {row!r:.40}")
        for name in ("question", "context"):
            if not isinstance(row.get(name), str):
                raise TypeError(f"row {number}: {name} must be text, is {row.get(name)!r:.40}")
        chunk.append((row["question"], row["context"]))
        characters += len(row["context"])
        if len(chunk) == _CHUNK_ROWS or characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
