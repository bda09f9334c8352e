"""Put the table of all results into benchmarks/README.md: ``python benchmarks/table.py``."""

import json
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def describe_line(row: str, line: dict) -> dict[str, str]:
    """A result in words."""
    unit = "" if line["unit"] == "x" else f" {line['unit']}"
    factor = "x" if line["unit"] == "x" else ""
    bounds = {"at least": line["at_least"], "at most": line["at_most"]}
    mark = ", ".join(f"{word} {value:g}{factor}" for word, value in bounds.items() if value)
    met = {None: "", True: "met", False: "**not met**"}[line["met"]]
    return {
        "row": row,
        "what": line["what"],
        "ours": line["ours"],
        "standard": line["standard"],
        "figure": f"{line['value']:.3g}{factor}{unit}",
        "mark": f"{mark}: {met}" if mark else "",
        "note": line["note"],
    }


def describe_machine(environment: dict) -> str:
    """Hardware and versions in a line."""
    hardware = environment["hardware"]
    parts = [f"{hardware['cpu']}, {hardware['cores']} cores", *hardware["gpus"]]
    parts.append(f"Python {environment['python']}")
    parts += [f"{name} {version}" for name, version in environment["versions"].items()]
    commit = (environment["commit"] or "")[:7]
    return ", ".join([*parts, f"commit {commit}{'+' * environment['uncommitted_changes']}"])


def main() -> None:
    """Read all results, write the table between the markers."""
    results = [json.loads(file.read_text()) for file in HERE.glob("results/*.json")]
    results = [result for result in results if "lines" in result]
    results.sort(key=lambda result: (result["row"], result["command"]))
    lines = [
        describe_line(f"{result['row']} {result['title']}", line)
        for result in results
        for line in result["lines"]
    ]
    machines: dict[str, list[str]] = {}
    for result in results:
        script = result["command"].removeprefix("python benchmarks/")
        machines.setdefault(describe_machine(result["environment"]), []).append(script)
    table = pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)
    told = "\n".join(f"- {', '.join(names)}: {machine}" for machine, names in machines.items())
    page = HERE / "README.md"
    head, tail = page.read_text().split(BEGIN)[0], page.read_text().split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{table}\n\n{told}\n{END}{tail}")


if __name__ == "__main__":
    main()
