"""The command ``chaii``: ``chaii VERB ...`` does what ``python scripts/VERB.py ...`` does."""

import argparse
import ast
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_HERE = Path(__file__).resolve()
_PLACES = _HERE.parent / "scripts", _HERE.parents[2] / "scripts"  # installed; in a clone


def main() -> None:
    """Run the script that the first word names; without one, list them all."""
    place = next(filter(Path.is_dir, _PLACES))
    scripts = {path.stem: path for path in sorted(place.glob("*.py"))}
    parser = argparse.ArgumentParser(
        prog="chaii",
        description="Run one of the scripts; `chaii VERB --help` shows its arguments.",
        usage="chaii VERB ...",
        epilog="\n".join(f"  {verb:17} {_summarise(path)}" for verb, path in scripts.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=scripts, metavar="VERB", help="one of these:")
    verb = parser.parse_args(sys.argv[1:2] or ["--help"]).verb
    sys.argv = [f"chaii {verb}", *sys.argv[2:]]
    spec = spec_from_file_location("__main__", scripts[verb])  # it may ask for its __name__
    assert spec
    assert spec.loader
    spec.loader.exec_module(module_from_spec(spec))


def _summarise(script: Path) -> str:
    """Take the first sentence of a script's docstring, without its example."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].partition(": ``")[0].replace("``", "").rstrip(".")


if __name__ == "__main__":
    main()
