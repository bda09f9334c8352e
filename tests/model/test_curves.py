"""What TensorBoard draws is read back from its file; without a tracker nothing is written."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import chaii.train
from chaii.config.errors import ConfigError
from chaii.model.curves import Curves
from chaii.recipe.plan_summary import padding_share

FEW = ("max_examples=12", "trainer.max_steps=40", "trainer.logging_steps=3")


@pytest.fixture(scope="module")
def run(train_demo, tmp_path_factory):
    """A fold of the demo, all of its stages, with TensorBoard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
        tracker = "trainer.tracker=tensorboard"
        return train_demo(tmp_path_factory.mktemp("curves"), *FEW, tracker)


@pytest.fixture(scope="module")
def curves(run):
    """Each curve of the event file: its values by their steps."""
    [file] = run.curves.glob("events.*")
    events = EventAccumulator(str(file)).Reload()
    return {
        name: {event.step: event.value for event in events.Scalars(name)}
        for name in events.Tags()["scalars"]
    }


def test_losses_gradients_rates_and_scores_are_those_of_the_log(run, curves):
    history = run.read_metrics()["history"]
    for name in ("loss", "grad_norm", "learning_rate"):
        logged = {line["step"]: line[name] for line in history if name in line}
        assert curves[f"train/{name}"] == pytest.approx(logged, rel=1e-4)
    languages = [f"jaccard_{name}" for name in run.read_metrics()["language"]]
    assert len(languages) == 2
    for name in ("jaccard", "exact", "f1", *languages):
        logged = {line["step"]: line[f"eval_{name}"] for line in history if f"eval_{name}" in line}
        assert len(logged) == 2
        assert curves[f"eval/{name}"] == pytest.approx(logged, rel=1e-4)


def test_stages_and_padding_are_those_of_the_plan(run, curves):
    plan = pd.read_parquet(run.plan)
    assert set(curves["train/stage"].values()) == {0, 1, 2}
    before = 0
    for step, stage in curves["train/stage"].items():
        windows = plan.iloc[8 * before : 8 * step]
        assert windows["stage"].iloc[-1] == stage
        padding = padding_share(windows["length"].to_numpy(), batch_size=8)
        assert curves["train/padding"][step] == pytest.approx(padding, rel=1e-4)
        before = step


def test_speeds_are_drawn_and_not_kept_in_the_metrics(run, curves):
    assert all(0 < speed < 1e9 for speed in curves["train/tokens_per_second"].values())
    assert list(curves["train/tokens_per_second"]) == list(curves["train/loss"])
    kept = {name for line in run.read_metrics()["history"] for name in line}
    assert not kept & {"tokens_per_second", "padding", "stage"}


def test_a_tracker_changes_no_result(run, train_demo):
    plain = train_demo(run.root.parent, *FEW, "name=plain")
    drawn, not_drawn = run.read_metrics(), plain.read_metrics()
    assert drawn["history"] == not_drawn["history"]
    assert drawn["jaccard"] == not_drawn["jaccard"]
    assert not plain.curves.exists()


def test_the_speed_is_of_the_steps_since_the_last_log_without_evaluations(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr("chaii.model.curves.time.perf_counter", lambda: seconds[0])
    dataset = SimpleNamespace(lengths=np.full(80, 5), stages=np.zeros(80, np.int32))
    arguments = SimpleNamespace(train_batch_size=4, gradient_accumulation_steps=2, world_size=1)
    drawn, state = Curves(dataset), SimpleNamespace(global_step=2)  # as it is resumed
    drawn.on_train_begin(arguments, state, None)
    speeds = []
    for step in (4, 5):
        seconds[0] += 2.0
        state.global_step = step
        logs = {"loss": 1.0}
        drawn.on_log(arguments, state, None, logs)
        speeds.append(logs["tokens_per_second"])
        seconds[0] += 100.0
        drawn.on_log(arguments, state, None, {"eval_jaccard": 1.0})
        drawn.on_evaluate(arguments, state, None)
    assert speeds == [2 * 8 * 5 / 2, 8 * 5 / 2]


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_a_tracker_that_is_not_installed_is_told_before_anything(
    tracker, train_demo, tmp_path, monkeypatch
):
    monkeypatch.setattr(chaii.train, "find_spec", lambda name: asked.append(name))
    asked = []
    rule = f"trainer.tracker={tracker}: the package is not installed: pip install {tracker}"
    with pytest.raises(ConfigError, match=rule):
        train_demo(tmp_path, f"trainer.tracker={tracker}")
    assert asked == [tracker]
    assert not (tmp_path / "demo").exists()
