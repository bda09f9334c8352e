"""The question-answering pipeline of transformers 4.57, in an interpreter of its own.

Requests and replies are lines of JSON on standard input and output. ``{"logits": path}`` writes the
windows and logits of the questions to a file. ``{"batch_size": n}`` answers all questions, one per
call if n is 0, and replies with the answers and the seconds.

    venv457/bin/python benchmarks/pipeline_worker.py model.folder questions.json threads
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline


def answer_all(ask, rows, options, batch_size):
    """Answer as the documentation shows: one question per call, or all with a batch size."""
    if not batch_size:
        return [ask(question=row["question"], context=row["context"], **options) for row in rows]
    questions, contexts = ([row[name] for row in rows] for name in ("question", "context"))
    return ask(question=questions, context=contexts, batch_size=batch_size, **options)


def write_logits(ask, rows, options, path):
    """Write input ids and logits of every window, computed one by one."""
    arrays = {}
    lengths = {name: options[name] for name in ("max_seq_len", "doc_stride")}
    with torch.inference_mode():
        for row in rows:
            for window in ask.preprocess(row, **lengths):
                output = ask.model(
                    **{name: window[name] for name in ask.tokenizer.model_input_names}
                )
                number = len(arrays) // 3
                arrays[f"ids{number}"] = window["input_ids"][0].numpy()
                arrays[f"start{number}"] = output.start_logits[0].numpy()
                arrays[f"end{number}"] = output.end_logits[0].numpy()
    np.savez(path, **arrays)


def main():
    """Reply to requests until the input ends."""
    folder, questions, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    rows, options = json.loads(Path(questions).read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    ask = pipeline("question-answering", model=model, tokenizer=tokenizer)
    for line in sys.stdin:
        request = json.loads(line)
        if "logits" in request:
            write_logits(ask, rows, options, request["logits"])
            reply = {}
        else:
            began = time.perf_counter()
            answers = answer_all(ask, rows, options, request["batch_size"])
            seconds = time.perf_counter() - began
            reply = {"seconds": seconds, "answers": [[a["start"], a["end"]] for a in answers]}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
