"""Count the modules of the package that a row passes through, in training and to the submission.

Trains one fold of the demo on a few rows, then answers the demo's test file with it. Lists the
modules of which a function is called. Imports, and the generator of the corpora, are not counted.

    python benchmarks/modules.py
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import chaii
from chaii.config.checks import check_ensemble, check_train
from chaii.config.compose import compose_config
from chaii.demo.corpora import write_demo_corpora
from chaii.ensemble.pipeline import make_submission
from chaii.train import train_fold

CONF = Path(__file__).parents[1] / "conf"
HOME = Path(chaii.__file__).parent
SHORT = ["max_examples=60", "trainer.max_steps=4", "trainer.num_evaluations=1"]


def list_modules(work: Callable[[], Any]) -> list[str]:
    """Call `work`; return the modules it enters, in the order of their first call."""
    entered: dict[str, None] = {}

    def enter(frame: FrameType, event: str, _: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and file.is_relative_to(HOME):
            entered.setdefault(str(file.relative_to(HOME)))

    for module in (sys, threading):
        module.setprofile(enter)
    try:
        work()
    finally:
        for module in (sys, threading):
            module.setprofile(None)
    return [module for module in entered if not module.startswith("demo/")]


def main() -> None:
    with tempfile.TemporaryDirectory() as output:
        paths = [f"paths.output={output}", f"paths.submissions={output}/submissions"]
        train = check_train(compose_config(CONF, "train", [*paths, *SHORT]))
        members = "ensemble.members=[demo_muril]"
        ensemble = check_ensemble(compose_config(CONF, "ensemble", [*paths, members]))
        write_demo_corpora(Path(train.paths.demo))
        trained = list_modules(partial(train_fold, train))
        answered = list_modules(partial(make_submission, ensemble))
    for what, modules in (("a fold", trained), ("a submission", answered)):
        print(f"\n{what}, {len(modules)} modules:", *modules)
    print(f"\nboth: {len({*trained, *answered})} modules")


if __name__ == "__main__":
    main()
