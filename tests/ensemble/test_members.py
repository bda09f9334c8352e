"""Members: which folds take part, and their logits for test rows."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from chaii.config.ensemble import Merge
from chaii.config.schema import Precision
from chaii.corpus.readers import read_corpus
from chaii.ensemble import members
from chaii.ensemble.members import (
    Inference,
    gather_members,
    load_oof_predictions,
    load_test_logits,
)
from chaii.run_folder import RunFolder


@pytest.fixture
def run(demo_run, tmp_path):
    """A finished fold that a test may change."""
    copied = RunFolder(tmp_path / "runs", demo_run.name, demo_run.fold)
    shutil.copytree(demo_run.path, copied.path)
    return copied


@pytest.fixture
def infer(run, demo_run, ensemble_config, tmp_path):
    """Apply the fold to some test rows: `infer(*overrides, rows=3)`."""

    def make(*overrides, rows=3):
        paths = [f"paths.runs={run.root}", f"paths.predictions={tmp_path}/predictions"]
        config = ensemble_config(
            demo_run.root.parent, *paths, f"ensemble.members=[{run.name}]", *overrides
        )
        test = read_corpus("test", config.ensemble.test)[0].select(range(rows))
        return Inference(gather_members(config).members[0], test, config, shared={})

    return make


def change_config(run, key, value):
    config = run.read_config()
    OmegaConf.update(config, key, value)
    OmegaConf.save(config, run.config)


def change_weights(run):
    file = run.model / "model.safetensors"
    weights = load_file(file)
    save_file({name: weight + 0.01 for name, weight in weights.items()}, file, {"format": "pt"})


def test_an_unfinished_fold_takes_no_part(run, infer):
    unfinished = RunFolder(run.root, run.name, "1")
    shutil.copytree(run.path, unfinished.path)
    unfinished.metrics.unlink()
    job = infer()
    assert [member.run.fold for member in gather_members(job.config).members] == [run.fold]


def test_logits_are_computed_once(infer, monkeypatch):
    first = infer().predict()
    monkeypatch.setattr(members, "predict_logits", lambda *_, **__: pytest.fail("computed"))
    again = infer().predict()
    assert np.array_equal(again.start_logits, first.start_logits)
    assert again.examples["id"] == first.examples["id"]


def test_logits_that_are_written_in_parts_are_those_of_one_part(infer, monkeypatch):
    whole = infer().predict()
    shutil.rmtree(infer().cache)
    monkeypatch.setattr(members, "_PART", 2)
    job = infer()
    assert len(job.windows) > 4
    parts = job.predict()
    for name in ("start_logits", "end_logits", "null_logits"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-2)


@pytest.mark.parametrize(
    "change",
    [
        lambda run: change_weights(run),
        lambda run: change_config(run, "recipe.predict_max_length", 64),
        lambda run: change_config(run, "recipe.predict_doc_stride", 8),
        lambda run: change_config(run, "trainer.precision", "bf16"),
    ],
)
def test_cached_logits_do_not_outlive_a_change_of_the_run(run, infer, change):
    before = infer()
    before.predict()
    change(run)
    assert not infer().is_cached
    assert infer().cache != before.cache


def test_cached_logits_are_of_the_same_rows_and_precision(infer):
    infer().predict()
    assert infer().is_cached
    assert not infer(rows=2).is_cached
    assert not infer("precision=bf16").is_cached


def test_cached_logits_are_of_the_same_tokens(infer):
    job, other = infer(), infer()
    other.store = replace(other.store, input_ids=other.store.input_ids[::-1])
    assert job.cache == infer().cache != other.cache


def test_damaged_cached_logits_are_computed_again(infer, capsys):
    right = np.array(infer().predict().start_logits)
    file = infer().cache / "start_logits.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert np.array_equal(infer().predict().start_logits, right)
    assert "damaged; its logits are computed again" in capsys.readouterr().out


def test_a_cache_without_its_checksum_counts_as_none(infer):
    infer().predict()
    (infer().cache / "digest.txt").unlink()
    assert not infer().is_cached


def test_the_precision_is_the_runs_own_unless_set(run, infer):
    change_config(run, "trainer.precision", "bf16")
    assert infer().precision is Precision.bf16
    assert infer("precision=fp32").precision is Precision.fp32


def test_verify_compares_every_byte_of_the_token_store(infer, monkeypatch, capsys):
    monkeypatch.setattr("chaii.recipe.token_store._SMALL", 0)
    job = infer()
    file = job.store.input_ids.base.filename
    content = bytearray(Path(file).read_bytes())
    Path(file).write_bytes(bytes([content[0] ^ 1, *content[1:]]))
    infer()
    assert "damaged" not in capsys.readouterr().out
    infer("verify=true")
    assert capsys.readouterr().out.count("damaged; its texts are tokenised again") == 1


def test_verify_compares_every_byte_of_the_held_out_tokens(run, ensemble_config, monkeypatch):
    asked = []
    open_store = members.open_store

    def spy(*arguments, verify):
        asked.append(verify)
        return open_store(*arguments, verify=verify)

    monkeypatch.setattr(members, "open_store", spy)
    given = [f"paths.runs={run.root}", f"ensemble.members=[{run.name}]"]
    for verify in ("false", "true"):
        config = ensemble_config(run.root.parent, *given, f"verify={verify}")
        load_oof_predictions(gather_members(config).members, config, merge=Merge.odds)
    assert asked == [False, True]


def test_settings_reach_the_model(infer, monkeypatch):
    seen = {}
    predict = members.predict_logits

    def spy(model, windows, store, **options):
        seen.update(options)
        return predict(model, windows, store, **options)

    monkeypatch.setattr(members, "predict_logits", spy)
    infer("predict_batch_size=3", "precision=bf16").predict()
    assert seen == {"batch_size": 3, "precision": Precision.bf16}


def test_windows_are_cut_as_the_run_does(run, infer):
    change_config(run, "recipe.predict_max_length", 64)
    change_config(run, "recipe.predict_doc_stride", 16)
    windows = infer().windows
    assert windows["length"].max() == 64
    first = windows[windows["example"] == 0]
    assert first["context_to"].iloc[0] - first["context_from"].iloc[1] == 16


def test_answers_are_as_long_as_the_run_allows(run, infer):
    change_config(run, "trainer.max_answer_tokens", 2)
    job = infer()
    logits = load_test_logits([(job, job.predict())], merge=Merge.max, rows=np.arange(3))
    assert logits.max_answer_tokens == 2


def test_weights_of_members_act_on_test_rows(infer):
    light = infer()
    heavy = infer()
    heavy.member = replace(heavy.member, weight=3.0)
    low = light.predict()
    high = replace(low, start_logits=low.start_logits + np.float16(8))
    alone, both = (
        load_test_logits(group, merge=Merge.max, rows=np.arange(3))
        for group in ([(light, low)], [(light, low), (heavy, high)])
    )
    np.testing.assert_allclose(both.start - alone.start, 6, atol=0.02)
    np.testing.assert_allclose(both.end, alone.end)


def test_weights_of_members_act_on_held_out_rows(run, infer):
    config = infer().config
    [light] = gather_members(config).members
    other = RunFolder(run.root, "other", run.fold)
    shutil.copytree(run.path, other.path)
    logits = np.load(other.logits / "start_logits.npy")
    np.save(other.logits / "start_logits.npy", logits + np.float16(8))
    heavy = replace(light, run=other, weight=3.0)
    groups = [light], [light, heavy]
    alone, both = (load_oof_predictions(group, config, merge=Merge.odds) for group in groups)
    np.testing.assert_allclose(both.logits.start - alone.logits.start, 6, atol=0.02)
    np.testing.assert_allclose(both.logits.end, alone.logits.end)


def test_a_seconds_estimate_is_positive(infer):
    assert infer().estimate_seconds() > 0


def test_members_with_one_tokenizer_share_tokens_and_windows(infer):
    one = infer()
    other = replace(one.member, config=OmegaConf.create(OmegaConf.to_container(one.member.config)))
    other.config.recipe.predict_max_length -= 10
    shared = {}
    one, same, third = (
        Inference(each, one.test, one.config, shared=shared)
        for each in (one.member, one.member, other)
    )
    assert one.windows is same.windows
    assert one.windows["length"].max() > third.windows["length"].max()


def test_the_time_is_estimated_from_two_batches_of_all_lengths(infer, monkeypatch):
    seen = []

    def predict(_model, windows, _store, **_options):
        seen.append(windows)

    monkeypatch.setattr(members, "predict_logits", predict)
    job = infer("predict_batch_size=3", rows=8)
    assert len(job.windows) > 20
    assert job.estimate_seconds() > 0
    assert [len(windows) for windows in seen] == [3, 6]
    length = job.windows["length"]
    assert (seen[1]["length"].min(), seen[1]["length"].max()) == (length.min(), length.max())
