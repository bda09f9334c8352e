"""Where the time of a training goes, by torch's profiler."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler import record_function
from torch.optim.optimizer import register_optimizer_step_post_hook

from chaii.files import write_whole


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Name a part of the training in a trace; while one is recorded, a GPU's work is waited for."""
    with record_function(name):
        yield
        _wait()


def _wait(*_: Any) -> None:
    is_recorded = torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
    if is_recorded and torch.cuda.is_available():
        torch.cuda.synchronize()


def profile_training(train: Callable[[], object], trace: Path) -> str:
    """Call `train` under torch's profiler, write the trace, and tell the share of each phase.

    Data is what the training waits for; a GPU's work counts for the phase that asked for it.
    """
    hook = register_optimizer_step_post_hook(_wait)
    try:
        with torch.profiler.profile() as profiler:
            train()
    finally:
        hook.remove()
    with write_whole(trace) as building:
        profiler.export_chrome_trace(str(building))
    took: Counter[str] = Counter()
    for event in profiler.key_averages():
        took[event.key.partition("#")[0]] += event.cpu_time_total / 1e6
    seconds = {
        "data": took["enumerate(DataLoader)"],
        "forward": took["forward"],
        "backward": took["forward and backward"] - took["forward"],
        "optimiser": took["Optimizer.step"],
    }
    whole = sum(seconds.values())
    shares = ", ".join(f"{name} {part / whole:.1%}" for name, part in seconds.items())
    return f"{shares} of {whole:.2f} s; {trace} opens in ui.perfetto.dev"
