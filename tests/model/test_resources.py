"""Memory and energy of a run: what the machine's counters tell, and nothing where they do not."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from chaii.model import resources
from chaii.model.resources import EnergyCounter, Meter, find_counters


@pytest.fixture
def powercap(tmp_path, monkeypatch):
    """A machine with two processors and a counter of one of their parts, as Linux shows them."""
    for name, counted in {"intel-rapl:0": 5, "intel-rapl:1": 7, "intel-rapl:0:0": 1}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{counted}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    monkeypatch.setattr(resources, "_POWERCAP", tmp_path)
    return tmp_path


def test_the_counters_of_whole_processors_are_found(powercap):
    found = [(counter.part, int(counter.read()), counter.turns) for counter in find_counters()]
    assert found == [("cpu", 5, 1000), ("cpu", 7, 1000)]
    (powercap / "intel-rapl:0/energy_uj").unlink()  # or one that only root may read
    assert [int(counter.read()) for counter in find_counters()] == [7]


def test_energy_is_that_since_the_beginning_also_where_a_counter_starts_again(monkeypatch):
    counts = iter([900, 100, 500])
    counter = EnergyCounter("cpu", lambda: next(counts), hours=1.0, turns=1000)
    monkeypatch.setattr(resources, "find_counters", lambda: [counter])
    with Meter() as meter:
        meter._update()
    assert meter.read()["energy_wh"] == {"cpu": 600.0}


def test_the_counters_are_read_while_the_run_goes_on(monkeypatch):
    counter = EnergyCounter("cpu", iter(range(10**9)).__next__, hours=1.0)
    monkeypatch.setattr(resources, "find_counters", lambda: [counter])
    monkeypatch.setattr(resources, "_SECONDS", 0.0)
    with Meter() as meter:
        while meter._counts[0] < 3:  # ends by the thread of the meter alone
            torch.zeros(1)


def test_energy_is_unknown_without_a_counter_and_of_a_part_of_a_run(monkeypatch):
    with Meter() as meter:
        assert "energy_wh" not in meter.read()
    counter = EnergyCounter("cpu", lambda: 7, hours=1.0)
    monkeypatch.setattr(resources, "find_counters", lambda: [counter])
    with Meter() as meter:
        assert "energy_wh" not in meter.read(whole=False)


def test_a_gpu_is_asked_by_its_own_name_for_its_energy_in_millijoules(monkeypatch):
    asked = []
    fake = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: asked.append(name) or 7,
        nvmlDeviceGetTotalEnergyConsumption={7: 4321}.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)  # of which one process uses one
    properties = SimpleNamespace(uuid="aa-bb")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    [counter] = find_counters()
    assert (counter.part, counter.read(), counter.hours * 3600) == ("gpu", 4321, 1e-3)
    assert asked == ["GPU-aa-bb"]


def test_without_nvidias_package_no_gpu_is_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert "gpu" not in {counter.part for counter in find_counters()}


def test_the_peak_of_the_memory_counts_what_was_given_back():
    with Meter() as meter:
        before = meter.read()["memory_mb"]
        np.ones(40_000_000).sum()
        assert meter.read()["memory_mb"] >= before + 250
