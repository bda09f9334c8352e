"""Other interpreters: a virtual environment of its own, and a script that answers requests in it.

Requests and replies are lines of JSON on the script's standard input and output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from made import FOLDER


def make_venv(name: str, *packages: str) -> str:
    """Make a virtual environment with this torch, if there is none; return its interpreter."""
    venv = FOLDER / name
    python, ready = venv / "bin/python", venv / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        wanted = [f"torch=={torch.__version__.split('+')[0]}", *packages]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
        ready.touch()
    return str(python)


class Worker:
    """A script of this folder in another interpreter."""

    def __init__(self, python: str, script: str, *arguments: Any) -> None:
        command: Sequence[str] = [python, str(Path(__file__).with_name(script))]
        self._script = script
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and return the reply."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._script}: ended with {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """Stop the interpreter."""
        self._process.terminate()
        self._process.wait()
