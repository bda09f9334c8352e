"""Run folders, checkpoints and tokenizers of strangers: reading them runs nothing of theirs.

Each attack changes a copy of a finished fold. Then everything that reads a run folder reads it: the
outcome is the usual one, or one line of error; no foreign code has run, and no file outside the
folder has changed.
"""

import json
import os
import pickle
import re
import shutil
import struct
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from packaging.specifiers import SpecifierSet

from chaii.config.ensemble import Merge
from chaii.config.errors import one_line_errors
from chaii.corpus.readers import read_corpus
from chaii.ensemble.members import Inference, gather_members, load_oof_predictions
from chaii.evaluation.error_report import render_report
from chaii.evaluation.leaderboard import describe_run, render_table
from chaii.evaluation.model_card import render_card
from chaii.evaluation.oof_table import read_oof_table
from chaii.model.checkpoints import find_checkpoint, seal_checkpoint
from chaii.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
SECRET = "a secret of the environment"


class Payload:
    """Makes a folder where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def edit_json(file, **changes):
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | changes), encoding="utf-8")


def edit_config(run, old, new):
    text = run.config.read_text(encoding="utf-8")
    assert old in text
    run.config.write_text(text.replace(old, new, 1), encoding="utf-8")


def put_code(run, mark):
    code = f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n"
    (run.model / "evil.py").write_text(code, encoding="utf-8")


def pickled_weights(run, mark):
    (run.model / "model.safetensors").unlink()
    (run.model / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(mark)))


def pickles_beside_the_weights(run, mark):
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt", "adapter_model.bin"):
        (run.model / name).write_bytes(pickle.dumps(Payload(mark)))


def code_of_a_model(run, mark):
    put_code(run, mark)
    auto_map = {"AutoConfig": "evil.Evil", "AutoModelForQuestionAnswering": "evil.Evil"}
    edit_json(run.model / "config.json", auto_map=auto_map)


def code_of_an_unknown_model(run, mark):
    code_of_a_model(run, mark)
    edit_json(run.model / "config.json", model_type="evil")


def code_of_a_tokenizer(run, mark):
    put_code(run, mark)
    changes = {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}, "tokenizer_class": "Evil"}
    edit_json(run.model / "tokenizer_config.json", **changes)


def template_of_a_tokenizer(run, mark):
    template = f"{{{{ cycler.__init__.__globals__.os.mkdir({str(mark)!r}) }}}}"
    edit_json(run.model / "tokenizer_config.json", chat_template=template)
    (run.model / "chat_template.jinja").write_text(template, encoding="utf-8")


def damaged_tokenizer(run, mark):
    (run.model / "tokenizer.json").write_bytes(pickle.dumps(Payload(mark)))


def object_in_the_configuration(run, mark):
    edit_config(run, "seed: 2021", f"seed: !!python/object/apply:os.mkdir ['{mark}']")


def target_in_the_configuration(run, mark):
    target = f"backbone:\n  _target_: os.mkdir\n  _args_: ['{mark}']\n"
    edit_config(run, "backbone:\n", target)


def interpolation_in_the_configuration(run, _):
    edit_config(run, "  name: tiny_muril", "  name: ${oc.env:CHAII_SECRET}")


def objects_as_logits(run, mark):
    objects = np.array([Payload(mark)], dtype=object)
    np.save(run.logits / "start_logits.npy", objects, allow_pickle=True)


def objects_as_null_logits(run, mark):
    objects = np.array([Payload(mark)], dtype=object)
    np.save(run.logits / "null_logits.npy", objects, allow_pickle=True)


def pickled_column_type(run, mark):
    note = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    note[b"ARROW:extension:metadata"] = pickle.dumps(Payload(mark))
    table = pq.read_table(run.logits / "windows.parquet")
    field = pa.field("example", pa.int32(), metadata=note)
    place = table.schema.get_field_index("example")
    table = table.set_column(place, field, table["example"])
    pq.write_table(table, run.logits / "windows.parquet")


def columns_of_other_types(run, _):
    table = pd.read_parquet(run.logits / "windows.parquet").astype(str)
    table.to_parquet(run.logits / "windows.parquet")


def pickled_tables(run, mark):
    for file in (run.oof, run.logits / "examples.parquet", run.logits / "windows.parquet"):
        file.write_bytes(pickle.dumps(Payload(mark)))


def weights_with_an_endless_header(run, _):
    file = run.model / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**62) + file.read_bytes()[8:])


def deep_metrics(run, _):
    run.metrics.write_text("[" * 200_000 + "]" * 200_000, encoding="utf-8")


def metrics_that_are_no_numbers(run, _):
    edit_json(run.metrics, jaccard=float("nan"), rows=float("inf"))


def weights_that_are_no_numbers(run, _):
    logits = np.load(run.logits / "start_logits.npy")
    np.save(run.logits / "start_logits.npy", np.full_like(logits, np.nan))


def links_to_folders_of_others(run, mark):
    victim = mark.with_name("victim")
    for name in ("checkpoints", ".model-abc"):
        (run.path / name).symlink_to(victim)


def hardware_as_markup(run, _):
    hardware = {"cpu": "<script>alert(1)</script>|`x`\n# [a](b)", "gpus": [], "cores": 1}
    edit_json(run.path / "environment.json", hardware=hardware, commit="|<b>", threads=1)


ATTACKS = {  # and what the error says; None where the outcome is the usual one
    pickled_weights: "model.safetensors",
    pickles_beside_the_weights: None,
    code_of_a_model: None,
    code_of_an_unknown_model: "trust_remote_code",
    code_of_a_tokenizer: None,
    template_of_a_tokenizer: None,
    damaged_tokenizer: "model: cannot be loaded",
    object_in_the_configuration: "config.yaml",
    target_in_the_configuration: "_target_: no such setting",
    interpolation_in_the_configuration: "config.yaml: ",
    objects_as_logits: "logits: cannot be read",
    objects_as_null_logits: "logits: cannot be read",
    pickled_column_type: None,
    columns_of_other_types: "windows.parquet: example must",
    pickled_tables: "parquet",
    weights_with_an_endless_header: "eader",
    deep_metrics: "metrics.json",
    metrics_that_are_no_numbers: "metrics.json: cannot be read: jaccard=nan: must be",
    weights_that_are_no_numbers: "NaN",
    links_to_folders_of_others: None,
    hardware_as_markup: None,
}


@pytest.fixture
def run(demo_run, tmp_path):
    """A copy of a finished fold, that an attack may change."""
    copied = RunFolder(tmp_path / "runs", demo_run.name, demo_run.fold)
    shutil.copytree(demo_run.path, copied.path)
    return copied


def attempt(reader, messages):
    """What a reader returns; its error is added to the messages, as a script would print it."""
    try:
        with one_line_errors():
            return reader()
    except SystemExit as end:
        messages.append(str(end.code))


@pytest.fixture
def read(run, demo_run, train_demo, ensemble_config, tmp_path):
    """Read a run folder in every way; the messages of those that failed, and what they printed."""
    paths = [f"paths.runs={run.root}", f"paths.predictions={tmp_path}/predictions"]
    output = demo_run.root.parent

    def answer():
        config = ensemble_config(output, *paths, f"ensemble.members=[{run.name}]")
        test = read_corpus("test", config.ensemble.test)[0].select(range(2))
        return Inference(gather_members(config).members[0], test, config, shared={}).predict()

    def score():
        config = ensemble_config(output, *paths, f"ensemble.members=[{run.name}]")
        return load_oof_predictions(gather_members(config).members, config, merge=Merge.max)

    def run_all():
        messages, shown = [], []
        for reader in (
            lambda: render_table(pd.DataFrame([describe_run(run.root, run.name)])),
            lambda: render_report(read_oof_table([run.oof]), name=run.name, shown=1),
            lambda: render_card(run, repository="me/demo", licence=None, hub_names={}),
            lambda: train_demo(output, paths[0]),
            score,
            answer,
        ):
            shown.append(attempt(reader, messages))
        return messages, shown

    return run_all


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_reading_a_run_folder_runs_nothing(attack, run, read, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CHAII_SECRET", SECRET)
    mark, victim = tmp_path / "executed", tmp_path / "victim"
    victim.mkdir()
    (victim / "kept.txt").write_text("kept", encoding="utf-8")
    attack(run, mark)
    before = {path.relative_to(run.path): path.stat().st_mtime_ns for path in run.path.rglob("*")}
    messages, shown = read()
    assert not mark.exists()
    assert (victim / "kept.txt").read_text(encoding="utf-8") == "kept"
    after = {path.relative_to(run.path) for path in run.path.rglob("*")}
    assert after <= set(before)
    expected = ATTACKS[attack]
    assert bool(messages) == bool(expected), messages
    assert all("\n" not in message for message in messages)
    assert not expected or any(expected in message for message in messages), messages
    assert not any(SECRET in text for text in (*messages, *map(str, shown), *capfd.readouterr()))


def test_names_and_hardware_are_escaped_in_tables(run):
    hardware_as_markup(run, None)
    name = "<b>a|b [x](y) *z*"
    run.path.parent.rename(run.root / name)
    table = render_table(pd.DataFrame([describe_run(run.root, name)]))
    head, _, row = table.split("\n")
    assert len(re.findall(r"(?<!\\)\|", row)) == head.count("|")
    assert not re.search(r"<|(?<!\\)[`*\[]", row)
    assert "alert(1)" in row


@pytest.fixture(scope="module")
def unfinished(train_demo, tmp_path_factory):
    """A fold that was killed after its last step but one checkpoint."""

    def stop(*_):
        raise KeyboardInterrupt

    output = tmp_path_factory.mktemp("unfinished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            train_demo(output)
    checkpoints = RunFolder(output / "runs", "demo_muril", "0").checkpoints
    shutil.rmtree(find_checkpoint(checkpoints))
    assert find_checkpoint(checkpoints)
    return output


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"]
)
def test_resuming_runs_nothing(name, unfinished, train_demo, tmp_path):
    output, mark = tmp_path / "output", tmp_path / "executed"
    shutil.copytree(unfinished, output)
    run = RunFolder(output / "runs", "demo_muril", "0")
    checkpoint = find_checkpoint(run.checkpoints)
    assert (checkpoint / name).is_file()
    torch.save(Payload(mark), checkpoint / name)
    seal_checkpoint(checkpoint, seconds=0)
    messages = []
    attempt(lambda: train_demo(output), messages)
    assert not mark.exists()
    harmless = name == "training_args.bin"  # it is never read
    assert run.is_finished == harmless
    assert len(messages) == 1 - harmless
    assert all(f"{checkpoint}: holds more than tensors" in message for message in messages)


@pytest.mark.parametrize("target", ["builtins.eval", "os.system", "logging.os.system"])
def test_hydra_refuses_targets_that_execute_code(target):
    with pytest.raises(InstantiationException, match="blocklisted"):
        instantiate({"_target_": target, "_args_": ["1"]})


def test_only_versions_of_hydra_that_refuse_them_are_accepted():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [accepted] = [
        SpecifierSet(r[10:]) for r in project["dependencies"] if r.startswith("hydra-core")
    ]
    assert "1.3.5" not in accepted
    assert version("hydra-core") in accepted


FORBIDDEN = "instantiate|trust_remote_code=True|weights_only=False|allow_pickle=True|yaml.load"


@pytest.mark.parametrize("folder", ["src", "scripts", "notebooks"])
def test_nothing_of_ours_executes_what_a_file_names(folder):
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".ipynb"}]
    assert files
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    assert [path for path, text in texts.items() if re.search(FORBIDDEN, text)] == []
