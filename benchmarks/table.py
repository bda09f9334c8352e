"""Write the tables of all results into benchmarks/README.md: ``python benchmarks/table.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from chaii.evaluation.leaderboard import escape_markdown

HERE = Path(__file__).parent
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def describe_line(line: dict[str, Any], notes: list[str]) -> dict[str, str]:
    """Make a table row of one result; its note is given by the number it has in `notes`."""
    factor = "x" if line["unit"] == "x" else ""
    unit = factor or f" {line['unit']}"
    bounds = {"at least": line["at_least"], "at most": line["at_most"]}
    goal = ", ".join(f"{word} {value:g}{factor}" for word, value in bounds.items() if value)
    met = {None: "", True: "met", False: "**not met**"}[line["met"]]
    return {
        "what": line["what"],
        "ours": line["ours"],
        "standard": line["standard"],
        "figure": f"{line['value']:.3g}{unit}",
        "goal": f"{goal}: {met}" if goal else "",
        "note": str(notes.index(line["note"]) + 1) if line["note"] else "",
    }


def describe_machine(environment: dict[str, Any]) -> str:
    """Describe hardware, versions and commit in one line."""
    hardware = environment["hardware"]
    parts = [f"{hardware['cpu']}, {hardware['cores']} cores", *hardware["gpus"]]
    parts = [escape_markdown(part) for part in parts]  # a machine may be that of others
    parts.append(f"Python {environment['python']}")
    parts += [f"{name} {version}" for name, version in environment["versions"].items()]
    commit = (environment["commit"] or "")[:7]
    changes = " with changes" if environment.get("uncommitted_changes") else ""
    return ", ".join([*parts, f"commit {commit}{changes}"])


def describe_result(result: dict[str, Any]) -> str:
    """Make the section of one script: its picture, its table and its notes."""
    head = f"### {result['row']} {result['title']}\n\n`{result['command']}`"
    if "table" in result:
        table = pd.DataFrame(result["table"]).to_markdown(index=False, tablefmt="github")
        return f"{head}\n\n![{result['title']}]({result['picture']})\n\n{table}\n\n{result['note']}"
    notes = list(dict.fromkeys(line["note"] for line in result["lines"] if line["note"]))
    rows = pd.DataFrame([describe_line(line, notes) for line in result["lines"]])
    filled = rows.loc[:, (rows != "").any()]
    table = filled.to_markdown(index=False, tablefmt="github", disable_numparse=True)
    listed = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))
    return f"{head}\n\n{table}\n\n{listed}".rstrip()


def main() -> None:
    """Read all results; write the sections between the markers."""
    files = HERE.glob("results/*.json")
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    results = [result for result in results if "row" in result]
    results.sort(key=lambda result: (result["row"], result["command"]))
    machines: dict[str, list[str]] = {}
    for result in results:
        script = result["command"].removeprefix("python benchmarks/")
        machines.setdefault(describe_machine(result["environment"]), []).append(script)
    used = "\n".join(f"- {', '.join(names)}: {machine}" for machine, names in machines.items())
    sections = [*map(describe_result, results), f"### Machines\n\n{used}"]
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    body = "\n\n".join(sections)
    page.write_text(f"{head}{BEGIN}\n\n{body}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
