"""Row 9: the seconds of scripts/train.py to its help, and to the error of a wrong setting.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import Line, format_range, parse_arguments, report

SCRIPT = Path(__file__).parents[1] / "scripts" / "train.py"
CASES = {  # arguments, exit status, text of the output, most seconds
    "help": (["--help"], 0, "backbone", 2.0),
    "a wrong value": (["fold=99"], 1, "fold=99", 3.0),
    "a wrong key": (["trainer.batch_sizes=4"], 1, "batch_sizes", 3.0),
}


def run_script(arguments: list[str], status: int, text: str) -> float:
    """Return the seconds until the script ends.

    Raises:
        ValueError: It ended with another status or without the text.
    """
    began = time.perf_counter()
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode != status or text not in done.stdout + done.stderr:
        raise ValueError(f"train.py {' '.join(arguments)} ended with {done.returncode}")
    return seconds


def main() -> None:
    quick = parse_arguments(__doc__).quick
    lines = []
    for what, (arguments, status, text, most) in CASES.items():
        seconds = [run_script(arguments, status, text) for _ in range(1 if quick else 5)]
        middle = statistics.median(seconds)
        note = f"`train.py {' '.join(arguments)}`"
        fields = {"unit": "s", "at_most": most, "samples": {"ours": seconds}, "note": note}
        lines.append(Line(what, format_range(seconds), "", middle, **fields))
    report(9, "Start-up", lines, name="startup", quick=quick)


if __name__ == "__main__":
    main()
