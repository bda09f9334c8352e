"""A new corpus in a known format is one YAML file and no code."""

import json
import shutil
from pathlib import Path

from chaii.config.checks import check_train
from chaii.config.compose import compose_config
from chaii.evaluation.oof_table import read_oof_table
from chaii.train import train_fold

CONF = Path(__file__).parents[1] / "conf"
MINE = """\
# @package corpora.mine
format: squad_json
path: ${paths.input}/mine.json
language: hindi
"""


def write_squad(path, *, articles):
    data = []
    for i in range(articles):
        context = f"गंगा नदी {i} की लंबाई {i}२५ किलोमीटर है। " * 3
        answer = {"text": f"{i}२५", "answer_start": context.index(f"{i}२५")}
        question = {"id": f"mine-{i}", "question": f"नदी {i} की लंबाई?", "answers": [answer]}
        data.append({"title": f"{i}", "paragraphs": [{"context": context, "qas": [question]}]})
    path.write_text(json.dumps({"data": data}, ensure_ascii=False))


def test_a_corpus_is_added_by_one_file_and_trained_on(tmp_path):
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "corpora/mine.yaml").write_text(MINE)
    write_squad(tmp_path / "mine.json", articles=24)
    overrides = [
        "name=mine",
        "corpora=[demo_chaii,mine]",
        "recipe.stages=[{sources: [{corpus: mine, max_length: 48, doc_stride: 16}]}]",
        "folds.validation_corpora=[mine]",
        "max_examples=24",
        "trainer.max_steps=2",
        "trainer.num_evaluations=1",
        f"paths.input={tmp_path}",
        f"paths.output={tmp_path}/made",
    ]
    run = train_fold(check_train(compose_config(conf, "train", overrides)))

    metrics = run.read_metrics()
    assert metrics["history"][-1]["step"] == 2
    assert metrics["windows"] > 0
    held_out = read_oof_table([run.oof])
    assert held_out["id"].str.startswith("mine-").all()
    assert set(held_out["language"]) == {"hindi"}
