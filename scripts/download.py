"""Fetch corpora: ``python scripts/download.py squad xquad_hi``, or ``all``; no name lists them."""

import argparse
import sys
from pathlib import Path

from chaii.config.compose import read_overrides
from chaii.config.errors import one_line_errors
from chaii.corpus.catalogue import describe_corpus, load_catalogue, render_readme
from chaii.corpus.download import download_corpus, match_files
from chaii.corpus.fetch import DownloadError, Lock

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"


def main() -> None:
    """List, fetch, or write the page about the corpora."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--insecure", action="store_true", help="fetch other than https, too")
    parser.add_argument("--readme", action="store_true", help="write data/README.md")
    arguments, words = read_overrides(parser, help="corpora, or all; and settings: paths=kaggle")
    names = [word for word in words if "=" not in word and word != "all"]
    overrides = [word for word in words if "=" in word]
    with one_line_errors():
        if arguments.readme:
            overrides.append("paths.input=data/raw")
        paths, corpora = load_catalogue(CONF, names, overrides=overrides)
        if arguments.readme:
            page = render_readme(corpora, Path(paths.input))
            (ROOT / "data/README.md").write_text(page, encoding="utf-8")
        elif names or "all" in words:
            fetch(corpora, Lock(Path(paths.input)), insecure=arguments.insecure)
        else:
            for name, corpus in corpora.items():
                found = f"{len(match_files(corpus))} files there"
                print(describe_corpus(name, corpus), found, sep="; ")


def fetch(corpora, lock: Lock, *, insecure: bool) -> None:
    """Fetch each, continue after a failure, and end with status 1 if there was one."""
    failed = []
    for name, corpus in corpora.items():
        print(describe_corpus(name, corpus))
        try:
            for path, done in download_corpus(name, corpus, lock, insecure=insecure):
                print(f"  {path}: {done}")
        except DownloadError as error:
            print(f"error: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
