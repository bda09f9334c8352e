"""Each way to debug a run, on every family of backbones, tiny; and none is taken for a real run."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import chaii.train
from chaii.config.checks import check_train
from chaii.config.errors import ConfigError
from chaii.config.schema import Debug
from chaii.train import train_fold

CONF = Path(__file__).parents[1] / "conf"
FAMILIES = {  # a backbone of each
    "bert": "muril_large",
    "xlm-roberta": "xlmr_large",
    "rembert": "rembert",
    "deberta-v2": "mdeberta_v3_base",
    "modernbert": "mmbert_base",
}
SLOW_BUT_ONE = ["bert", *(pytest.param(one, marks=pytest.mark.slow) for one in list(FAMILIES)[1:])]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("debug")


PREPARED = {}  # the data for each family, made once


@pytest.fixture
def debug(compose_config, output, monkeypatch):
    """Try a fold of the demo with a large backbone, shrunk; returns the run."""
    prepare = chaii.train.prepare_fold

    def prepare_once(config):
        family = config.backbone.scratch.architecture
        PREPARED[family] = PREPARED.get(family) or prepare(config)
        return replace(PREPARED[family], config=config)

    def run(mode, backbone, *overrides):
        few = "max_examples=12", "backbone.shrink=true", f"paths.output={output}"
        choice = f"debug={mode}", f"backbone={backbone}", "backbone.effective_batch_size=8"
        monkeypatch.setattr(chaii.train, "prepare_fold", prepare_once)
        return train_fold(check_train(compose_config("train", *choice, *few, *overrides)))

    return run


def test_every_mode_has_a_file_and_a_folder_of_its_own():
    files = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("debug/*.yaml")}
    assert set(files) == {mode.value for mode in Debug}
    for mode, settings in files.items():
        assert settings["debug"] == mode
        assert settings["paths"] == {"runs": f"${{paths.output}}/debug/{mode}"}


def test_every_family_of_the_backbones_is_here():
    backbones = [yaml.safe_load(path.read_text()) for path in CONF.glob("backbone/*.yaml")]
    families = {one.get("family") or one["scratch"]["architecture"] for one in backbones}
    assert families == set(FAMILIES)


EXPERIMENTS = [
    path.stem
    for path in sorted(CONF.glob("experiment/*.yaml"))
    if "\nname: " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_smoke_goes_with_every_experiment(experiment, compose_config):
    config = check_train(compose_config("train", f"experiment={experiment}", "debug=smoke"))
    assert config.name == experiment
    assert config.backbone.pretrained is None
    assert config.backbone.config["hidden_size"] == 32
    assert config.overwrite  # each time anew


@pytest.mark.parametrize("family", FAMILIES)
def test_smoke_finishes_a_fold(family, debug, output):
    run = debug("smoke", FAMILIES[family])
    metrics = run.read_metrics()
    assert metrics["rows"] > 0
    assert [line["step"] for line in metrics["history"] if "loss" in line] == [1, 2, 3, 4]
    assert json.loads((run.model / "config.json").read_text())["model_type"] == family
    assert run.root == output / "debug/smoke"
    assert run.read_config().debug == "smoke"
    assert not (output / "runs").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_prints_a_batch_and_stops(family, debug, capsys, monkeypatch):
    monkeypatch.delattr(chaii.train, "_train_once")
    run = debug("shapes", FAMILIES[family])
    printed = capsys.readouterr().out.partition("the first batch: ")[2]
    sizes, windows, *_ = re.search(r"input_ids \((\d+), (\d+)\)", printed).groups()
    assert printed.count("\nwindow ") == int(sizes) == 8
    tokens = [int(n) for n in re.findall(r"  (\d+) tokens, ", printed)]
    padding = [int(n) for n in re.findall(r"(\d+) of padding", printed)]
    assert {sum(both) for both in zip(tokens, padding, strict=True)} == {int(windows)}
    share = float(re.search(r"([\d.]+)% of its tokens are padding", printed)[1])
    assert share == pytest.approx(100 * sum(padding) / (8 * int(windows)), abs=0.06)
    assert "stage 0, corpus demo_" in printed
    assert ("token_type_ids" in printed) == (family in ("bert", "rembert"))
    assert not run.metrics.exists()


def test_the_answer_of_a_window_is_that_of_its_row(debug, capsys):
    debug("shapes", "muril_large", "recipe.cutout.rate=0")
    line = r"corpus (\w+), row (\d+)\n.*\n.*\n  label: tokens (\d+) to \d+: (.*)"
    shown = re.findall(line, capsys.readouterr().out)
    answers = [found for found in shown if found[2] != "0"]
    assert answers
    for corpus, row, _, text in answers:
        golds = PREPARED["bert"].corpora[corpus][int(row)]["answer_text"]
        assert "".join(text.split()) in {"".join(gold.split()) for gold in golds}
    assert {text for *_, start, text in shown if start == "0"} <= {"[CLS]"}


@pytest.mark.parametrize("family", SLOW_BUT_ONE)
def test_overfit_learns_a_batch(family, debug, capsys):
    few = "trainer.max_steps=60", "trainer.per_device_train_batch_size=4"
    run = debug("overfit", FAMILIES[family], *few, "backbone.effective_batch_size=4")
    assert re.search(
        r"the loss of one batch went from .* steps: the model learns", capsys.readouterr().out
    )
    assert not run.metrics.exists()


def test_a_model_that_does_not_learn_is_told_with_what_to_look_at(debug, monkeypatch):
    load = chaii.train.load_model

    def freeze(*arguments):
        model = load(*arguments)
        for weight in [*model.parameters()][:-2]:
            weight.requires_grad = False
        return model

    monkeypatch.setattr(chaii.train, "load_model", freeze)
    told = r"debug=overfit: .* in 4 steps, it must reach 0.1; look at the labels .*"
    told += r"backbone.learning_rate=0.003, and at frozen layers \((\d+) of (\d+) weights"
    with pytest.raises(ValueError, match=told) as error:
        debug("overfit", "muril_large", "trainer.max_steps=4")
    frozen, weights = map(int, re.search(told, str(error.value)).groups())
    assert weights - frozen == 2


@pytest.mark.parametrize("family", SLOW_BUT_ONE)
def test_profile_writes_a_trace_and_tells_the_shares(family, debug, capsys):
    run = debug("profile", FAMILIES[family], "trainer.max_steps=3")
    printed = capsys.readouterr().out
    found = re.search(
        r"data ([\d.]+)%, forward ([\d.]+)%, backward ([\d.]+)%, opt\w+ ([\d.]+)%", printed
    )
    shares = [float(share) for share in found.groups()]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert min(shares) > 0
    with gzip.open(run.path / "trace.json.gz") as file:
        events = [event.get("name", "") for event in json.load(file)["traceEvents"]]
    assert events.count("forward and backward") == events.count("forward") == 3
    assert not run.metrics.exists()


def test_a_trace_waits_for_a_gpu_and_a_training_without_one_does_not(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    from chaii.model.profile import phase

    with phase("forward"):
        pass
    assert waited == []
    with torch.autograd.profiler.profile(use_device=None), phase("forward"):
        pass
    assert waited == [1]


def test_several_processes_are_refused_but_for_smoke(compose_config, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_train(compose_config("train", "debug=smoke"))
    with pytest.raises(ConfigError, match="debug=profile: must be started without torchrun"):
        check_train(
            compose_config("train", "debug=profile", "trainer.per_device_train_batch_size=4")
        )
