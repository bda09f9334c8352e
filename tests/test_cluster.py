"""The reader in other processes: Ray hands it batches, and a worker that dies loses nothing."""

import os
import re
import signal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from transformers import AutoConfig, AutoModelForQuestionAnswering

from chaii import Reader

ray = pytest.importorskip("ray", reason="Ray is missing: pip install '.[ray]'")
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROWS = [
    {"id": n, "question": f"Where is hill {n}?", "context": f"Hill {n} is {7 * n} km from the sea."}
    for n in range(2000)
]


@pytest.fixture(scope="module")
def checkpoint(tokenizers, tmp_path_factory):
    """A small untrained model, as transformers saves it."""
    tokenizer, folder = tokenizers["wordpiece"], tmp_path_factory.mktemp("checkpoint")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = AutoConfig.for_model("bert", **shape, num_attention_heads=2, vocab_size=len(tokenizer))
    AutoModelForQuestionAnswering.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def is_as_in_one_process(answered, checkpoint):
    expected = pd.DataFrame(Reader(checkpoint, precision="fp32")(ROWS[: len(answered)]))
    answered = pd.DataFrame(answered).sort_values("id", ignore_index=True)
    assert answered["id"].to_list() == list(range(len(expected)))
    assert answered["score"].to_list() == pytest.approx(expected["score"].to_list(), rel=1e-3)
    same = answered[["answer", "start", "end"]] == expected[["answer", "start", "end"]]
    return same.to_numpy().all()


def test_a_reader_loads_nothing_before_its_first_call(tmp_path):
    reader = Reader(tmp_path)
    with pytest.raises(FileNotFoundError, match="no run in data/runs, no ensemble in conf"):
        reader(question="Where?", context="Here.")


def test_batches_of_ray_are_answered_by_a_pickled_reader(checkpoint):
    from ray import cloudpickle
    from ray.data.block import BlockAccessor

    pickled = cloudpickle.dumps(Reader(checkpoint, precision="fp32"))
    answered = []
    for start in range(0, 60, 20):
        block = BlockAccessor.for_block(pa.Table.from_pylist(ROWS[start : start + 20]))
        answers = cloudpickle.loads(pickled)(block.to_batch_format("numpy"))
        block = BlockAccessor.for_block(BlockAccessor.batch_to_block(answers))
        answered += block.iter_rows(public_row_format=True)
    assert is_as_in_one_process(answered, checkpoint)


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_answer_every_row_once(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    class Mortal(Reader):  # defined here, so that it travels to the workers by value
        def __init__(self, source):
            super().__init__(source, precision="fp32")

        def __call__(self, batch):
            answers = super().__call__(batch)
            if 700 in batch["id"] and not (tmp_path / "killed").exists():
                (tmp_path / "killed").mkdir()
                os.kill(os.getpid(), signal.SIGKILL)
            return answers | {"worker": [os.getpid()] * len(batch["id"])}

    (tmp_path / "questions").mkdir()
    pd.DataFrame(ROWS).to_parquet(tmp_path / "questions/all.parquet")
    [code] = re.findall(r"```python\n(import ray\n.*?)```", README, re.DOTALL)
    places = {"data/runs/muril": checkpoint, '"questions/': f'"{tmp_path}/questions/'}
    places |= {'"answers/': f'"{tmp_path}/answers/', "from chaii import Reader": ""}
    for written, put in places.items() | {("size=96", "size=2"), ("10_000", "100")}:
        code = code.replace(written, str(put))
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        exec(code, {"Reader": Mortal})
    finally:
        ray.shutdown()
    answered = pd.read_parquet(tmp_path / "answers")
    assert (tmp_path / "killed").exists()
    assert answered["worker"].nunique() >= 2
    assert is_as_in_one_process(answered, checkpoint)
