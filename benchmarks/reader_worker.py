"""Answer questions as one tool does, in an interpreter of its own: see `workers.py`.

``{"questions": path, "batch_size": n}`` answers all questions of a file, one per call if n is 0,
and replies with the answers and the seconds. Every tool loads the same checkpoint, uses windows of
384 tokens with a stride of 128, and answers of at most 30 tokens.

    python benchmarks/reader_worker.py reader|pipeline|haystack model.folder threads precision
"""

import json
import sys
import time
from pathlib import Path

import torch

OPTIONS = {"max_seq_len": 384, "doc_stride": 128, "max_answer_len": 30}


def load_reader(folder, precision):
    """`chaii.Reader`; its batches are of windows."""
    from chaii import Reader

    reader = Reader.from_pretrained(folder, precision=precision)

    def answer(rows, batch_size):
        if not batch_size:
            return [reader(**row, **OPTIONS) for row in rows]
        return reader(rows, **OPTIONS)

    return answer


def load_pipeline(folder, _precision):
    """The pipeline of transformers 4.57."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    ask = pipeline("question-answering", model=model, tokenizer=tokenizer)

    def answer(rows, batch_size):
        if not batch_size:
            return [ask(**row, **OPTIONS) for row in rows]
        questions, contexts = ([row[name] for row in rows] for name in ("question", "context"))
        return ask(question=questions, context=contexts, batch_size=batch_size, **OPTIONS)

    return answer


def load_haystack(folder, _precision):
    """Haystack's reader, which is made for a question and its documents."""
    from haystack import Document
    from haystack.components.readers import ExtractiveReader

    reader = ExtractiveReader(
        model=folder,
        top_k=1,
        no_answer=False,
        max_seq_length=OPTIONS["max_seq_len"],
        stride=OPTIONS["doc_stride"],
        answers_per_seq=1,
        max_batch_size=32,
    )
    reader.warm_up()

    def answer(rows, _batch_size):
        found = [reader.run(row["question"], [Document(content=row["context"])]) for row in rows]
        best = [each["answers"][0] for each in found]
        places = [(each.document_offset.start, each.document_offset.end) for each in best]
        return [{"start": start, "end": end} for start, end in places]

    return answer


def main():
    """Reply to requests until the input ends."""
    tool, folder, threads, precision = sys.argv[1:]
    torch.set_num_threads(int(threads))
    loaders = {"reader": load_reader, "pipeline": load_pipeline, "haystack": load_haystack}
    answer = loaders[tool](folder, precision)
    for line in sys.stdin:
        request = json.loads(line)
        rows = json.loads(Path(request["questions"]).read_text(encoding="utf-8"))
        began = time.perf_counter()
        answers = answer(rows, request["batch_size"])
        seconds = time.perf_counter() - began
        places = [[found["start"], found["end"]] for found in answers]
        print(json.dumps({"seconds": seconds, "answers": places}), flush=True)


if __name__ == "__main__":
    main()
