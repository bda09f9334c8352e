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


class EnergyCounter(NamedTuple):
    """A counter of the machine: what it measures, and how it is read."""

    part: str  # cpu or gpu
    read: Callable[[], Any]  # an integer, or its text
    hours: float  # watt-hours of one count
    turns: int = 2**64  # the count at which it starts again at 0


class Meter:
    """Measures peak memory and energy while it is entered."""

    def __init__(self) -> None:
        self._counters, self._stop = find_counters(), Event()
        self._used = {counter.part: 0.0 for counter in self._counters}

    def __enter__(self) -> Self:
        with suppress(OSError):  # the peak of what this process did before is forgotten
            (_PROCESS / "clear_refs").write_text("5", encoding="utf-8")
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._counts = [int(counter.read()) for counter in self._counters]
        if self._counters:
            Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS):
            self._update()

    def _update(self) -> None:
        before, self._counts = self._counts, [int(counter.read()) for counter in self._counters]
        for counter, old, new in zip(self._counters, before, self._counts, strict=True):
            self._used[counter.part] += (new - old) % counter.turns * counter.hours

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
        if whole and self._used:
            found["energy_wh"] = {part: round(used, 3) for part, used in self._used.items()}
        return found


def find_counters() -> list[EnergyCounter]:
    """Find the counters that may be read: of processors (RAPL) and of NVIDIA's GPUs (NVML)."""
    counters = []
    for zone in sorted(_POWERCAP.glob("intel-rapl:?")):  # a package; its parts have longer names
        with suppress(OSError, ValueError):  # on most machines only root may read them
            read = partial((zone / "energy_uj").read_text, "utf-8")
            read()
            most = int((zone / "max_energy_range_uj").read_text("utf-8"))
            counters.append(EnergyCounter("cpu", read, hours=1e-6 / 3600, turns=most + 1))
    if torch.cuda.is_available():
        try:
            import pynvml
        except ImportError:  # a notebook that trains from the source alone
            return counters
        with suppress(pynvml.NVMLError):  # a GPU that does not count
            pynvml.nvmlInit()
            for gpu in range(min(torch.cuda.device_count(), join_processes().num_processes)):
                name = f"GPU-{torch.cuda.get_device_properties(gpu).uuid}"
                device = pynvml.nvmlDeviceGetHandleByUUID(name)
                read = partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, device)
                read()
                counters.append(EnergyCounter("gpu", read, hours=1e-3 / 3600))
    return counters
