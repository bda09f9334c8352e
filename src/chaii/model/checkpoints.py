"""Checkpoints: when they are written, and which are whole.

One that a killed process left half-written or half-deleted is never resumed from.
"""

import json
import shutil
import signal
import threading
from pathlib import Path
from typing import Any, Self

from transformers import TrainerCallback

from chaii.files import save_json
from chaii.model.processes import anywhere

_SEAL = "complete.json"


def seal_checkpoint(folder: Path, *, seconds: float) -> None:
    """Note the files of a checkpoint that is complete, and the seconds of training until it."""
    save_json(folder / _SEAL, {"files": _list_files(folder), "seconds": seconds})


def find_checkpoint(folder: Path) -> Path | None:
    """Find the newest complete checkpoint; newer ones that are not complete are set aside."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
    for path in sorted(found, key=read_step, reverse=True):
        if _read_seal(path).get("files") == _list_files(path):
            return path
        aside = path.with_name(f"incomplete-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    return None


def read_step(checkpoint: Path) -> int:
    """Optimiser step at which a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def read_seconds(folder: Path) -> float:
    """Seconds of training until the newest complete checkpoint; 0 without one."""
    checkpoint = find_checkpoint(folder)
    return float(_read_seal(checkpoint)["seconds"]) if checkpoint else 0.0


def drop_checkpoints_after(folder: Path, step: int) -> None:
    """Remove the checkpoints that were written later than optimiser step `step`."""
    for checkpoint in folder.glob("checkpoint-*"):
        if read_step(checkpoint) > step:
            shutil.rmtree(checkpoint)


class SafeStop(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """After SIGTERM, the step is finished and a checkpoint written; then the training stops.

    The library's own just-in-time checkpoint may be taken between a step's gradients and its
    update, so that a resumed step draws its dropout anew; this one never is. Before every
    checkpoint the loss is logged, so that the first loss after it is the same where it is resumed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handler: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may take signals
            self._handler = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop where any process was asked to; log before each checkpoint and at the last step."""
        self.requested = anywhere(self.requested)
        if self.requested:
            control.should_save = control.should_training_stop = True
        is_last = state.global_step >= state.max_steps
        control.should_log = control.should_log or control.should_save or is_last

    def _request(self, *_: Any) -> None:
        self.requested = True


def _list_files(folder: Path) -> dict[str, int]:
    """Size of each file of a checkpoint, by its name."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != _SEAL)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _read_seal(folder: Path) -> dict[str, Any]:
    file = folder / _SEAL
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
