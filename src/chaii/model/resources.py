"""What a run takes besides time: peak memory, and energy where the machine tells it."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, Self

import torch

from chaii.model.processes import join_processes

_PROCESS, _POWERCAP = Path("/proc/self"), Path("/sys/class/powercap")  # Linux alone has them
_SECONDS = 60.0  # between two readings: a processor's counter starts again after some minutes
_JOULES = 3600.0  # of a watt-hour


class EnergyCounter(NamedTuple):
    """A counter of the machine: what it measures, and how it is read."""

    part: str  # cpu or gpu
    read: Callable[[], int]
    joules: float  # of one count
    turns: int = 2**64  # the count at which it starts again at 0


class Meter:
    """Measures peak memory and energy while it is entered."""

    def __init__(self) -> None:
        self._counters, self._stop = find_counters(), Event()
        self._joules = {counter.part: 0.0 for counter in self._counters}

    def __enter__(self) -> Self:
        with suppress(OSError):  # the peak of what this process did before is forgotten
            (_PROCESS / "clear_refs").write_text("5", encoding="utf-8")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._counts = [counter.read() for counter in self._counters]
        if self._counters:
            Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS):
            self._update()

    def _update(self) -> None:
        """Add the energy since the last reading."""
        counts = [counter.read() for counter in self._counters]
        for counter, before, now in zip(self._counters, self._counts, counts, strict=True):
            self._joules[counter.part] += (now - before) % counter.turns * counter.joules
        self._counts = counts

    def read(self, *, whole: bool = True) -> dict[str, Any]:
        """Tell the peak memory of this process and of its GPU in MB, and the energy in watt-hours.

        The energy is that of all processors of the machine, whoever uses them, and of the GPUs that
        are trained on; that of a run whose beginning another process did, not `whole`, is unknown.
        What the machine does not tell is absent.
        """
        self._update()
        found: dict[str, Any] = {}
        with suppress(OSError):
            status = (_PROCESS / "status").read_text(encoding="utf-8")
            if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                found["memory_mb"] = round(int(peak[1]) / 1000)
        if torch.cuda.is_available():
            found["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
        if whole and self._joules:
            hours = {part: round(joules / _JOULES, 3) for part, joules in self._joules.items()}
            found["energy_wh"] = hours
        return found


def find_counters() -> list[EnergyCounter]:
    """Find the counters that may be read: of processors (RAPL) and of NVIDIA's GPUs (NVML)."""
    counters = []
    for zone in sorted(_POWERCAP.glob("intel-rapl:?")):  # a package; its parts have longer names
        with suppress(OSError, ValueError):  # on most machines only root may read them
            read = partial(_read_number, zone / "energy_uj")
            read()
            turns = _read_number(zone / "max_energy_range_uj") + 1
            counters.append(EnergyCounter("cpu", read, joules=1e-6, turns=turns))
    if torch.cuda.is_available():
        import pynvml

        with suppress(pynvml.NVMLError):  # a GPU that does not count
            pynvml.nvmlInit()
            for gpu in range(min(torch.cuda.device_count(), join_processes().num_processes)):
                name = f"GPU-{torch.cuda.get_device_properties(gpu).uuid}"
                device = pynvml.nvmlDeviceGetHandleByUUID(name)
                read = partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, device)
                read()
                counters.append(EnergyCounter("gpu", read, joules=1e-3))
    return counters


def _read_number(file: Path) -> int:
    return int(file.read_text(encoding="utf-8"))
