"""Answer a question, or a file of them: ``python scripts/answer.py --model RUN "question"``."""

import argparse
import sys
from pathlib import Path

from chaii import Reader
from chaii.config.errors import one_line_errors
from chaii.files import reading

CONF = Path(__file__).parents[1] / "conf"


def main() -> None:
    """Answer the question about the context, or every row of the input file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="?", help="one question, about --context")
    parser.add_argument(
        "--model", required=True, action="append", help="run, fold, ensemble or checkpoint"
    )
    parser.add_argument("--context", help="a text file; - reads standard input")
    parser.add_argument("--input", type=Path, help="rows to answer: csv, jsonl or parquet")
    parser.add_argument("--output", type=Path, help="the same rows with their answers")
    parser.add_argument("--question-column", default="question")
    parser.add_argument("--context-column", default="context")
    parser.add_argument("--top-k", type=int, default=1, help="answers per question")
    parser.add_argument("--method", help="vote, fusion or a method file, across backbones")
    parser.add_argument("--precision", default="auto", help="fp32, bf16, fp16, onnx, onnx_int8")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    arguments = parser.parse_args()
    one, many = (arguments.question, arguments.context), (arguments.input, arguments.output)
    if not (all(one) and not any(many)) and not (all(many) and not any(one)):
        parser.error("give a question and --context, or --input and --output")

    with one_line_errors():
        from transformers.utils import logging

        logging.disable_progress_bar()
        source = arguments.model if len(arguments.model) > 1 else arguments.model[0]
        options = {name: getattr(arguments, name) for name in ("method", "precision", "runs")}
        reader = Reader(source, conf=CONF, **options)
        if arguments.question:
            with reading(Path(arguments.context)):
                is_piped = arguments.context == "-"
                text = sys.stdin.buffer.read() if is_piped else Path(arguments.context).read_bytes()
                context = text.decode("utf-8-sig")
            answers = reader([{"question": one[0], "context": context}], top_k=arguments.top_k)[0]
            for answer in answers if isinstance(answers, list) else [answers]:
                print(f"{answer['score']:.4f}  {answer['answer']}")
            return
        from chaii.ensemble.answer_file import answer_file

        names = {"question": arguments.question_column, "context": arguments.context_column}
        named = names | {"model": f"{source} {options}", "top_k": arguments.top_k}
        print(f"{arguments.output}: {answer_file(reader, *many, **named)} rows")


if __name__ == "__main__":
    main()
