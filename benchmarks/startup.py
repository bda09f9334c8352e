"""Row 9: how long scripts/train.py takes to show its help, and to name a wrong setting.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import Line, parse_arguments, report, tell

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"
CASES = {  # arguments, exit status, what must be told, most seconds
    "help": (["--help"], 0, "backbone", 2.0),
    "a wrong value": (["fold=99"], 1, "fold=99", 3.0),
    "a wrong key": (["trainer.batch_sizes=4"], 1, "batch_sizes", 3.0),
}


def run_script(arguments: list[str], status: int, told: str) -> float:
    """Seconds until the script ends.

    Raises:
        ValueError: it ended otherwise than it should.
    """
    began = time.perf_counter()
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != status or told not in done.stdout + done.stderr:
        raise ValueError(f"train.py {' '.join(arguments)} ended with {done.returncode}")
    return seconds


def main() -> None:
    quick = parse_arguments(__doc__).quick
    lines = []
    for what, (arguments, status, told, most) in CASES.items():
        seconds = [run_script(arguments, status, told) for _ in range(1 if quick else 5)]
        middle = statistics.median(seconds)
        note = f"`train.py {' '.join(arguments)}`"
        fields = {"unit": "s", "at_most": most, "samples": {"ours": seconds}, "note": note}
        lines.append(Line(what, tell(seconds), "", middle, **fields))
    report(9, "Start-up", lines, name="startup", quick=quick)


if __name__ == "__main__":
    main()
