"""The corpora that `conf/corpora` describes: for scripts one by one, for readers as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from chaii.config.compose import register_schemas
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.schema import PathsConfig

_INTRODUCTION = """\
# Corpora

Nothing here is in git. Corpora lie under `data/raw/` (or in another folder, named by `CHAII_DATA`),
laid out as the table says; each is described by one file in `conf/corpora/`, and this page is
written from those files by `python scripts/download.py --readme`.

```sh
python scripts/download.py                  # what there is
python scripts/download.py squad xquad_hi   # fetch these two
python scripts/download.py all              # fetch everything
```

What breaks off goes on where it was. The size and sha256 of a file are recorded at its first
download in `data/raw/download.lock.json`; from then on another content is an error. Files placed by
hand are used as they are. Kaggle asks for an account: `pip install kaggle`, place its token, accept
the competition's rules. `hub/squad` and its like under `conf/corpora/hub/` are the same corpora as
the Hugging Face Hub has them.
"""

_GUIDE = """\
A corpus in one of these formats (the chaii CSV, SQuAD-style JSON, the lines of TyDi QA and of
Natural Questions, a data set of the Hub) needs one YAML file and no code:

```yaml
# conf/corpora/my_corpus.yaml
# @package corpora.my_corpus
format: squad_json
path: ${paths.input}/my_corpus/*.json
language: tamil
description: what it is
homepage: where others find it
licence: and on what terms
download: [https://example.org/my_corpus.json] # or nothing
```

Every row is checked when it is read: an answer that is not at its offset is repaired or dropped,
counted and shown in a table; contexts keep every code point. What is made from corpora lies beside
them: `data/tokens/` (token stores), `data/runs/` (run folders), `data/predictions/` (cached
logits).
"""


def load_catalogue(
    conf: Path, names: Sequence[str] = (), *, overrides: Sequence[str] = ()
) -> tuple[PathsConfig, dict[str, CorpusConfig]]:
    """The paths and the named corpora, ready to be read.

    A name is that of a file under conf/corpora: ``squad``, ``hub/squad``. Where none is given,
    all published corpora in their official form are returned.

    `overrides` are Hydra's: ``paths=kaggle``, ``corpora.squad.max_examples=100``.

    Raises:
        ValueError: there is no such corpus, or an override that does not fit.
    """
    known = _find_names(conf / "corpora")
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"unknown corpus {', '.join(unknown)} (conf/corpora holds {known})")
    if twice := {name for name in names if f"hub/{name}" in names}:
        raise ValueError(f"{sorted(twice)} and from hub/: name either")
    register_schemas()
    chosen = names or [name for name in known if "/" not in name]
    groups = [f"+corpora=[{','.join(chosen)}]"]
    if not any(override.startswith("paths=") for override in overrides):
        groups.append("+paths=local")
    given = ["+" + text if text.startswith("paths=") else text for text in overrides]
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            config = compose("train_schema", overrides=[*groups, *given])
        paths, corpora = map(OmegaConf.to_object, (config.paths, config.corpora))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"{error.__cause__ or error}".partition("\n")[0]) from error
    assert isinstance(paths, PathsConfig)
    assert isinstance(corpora, dict)
    return paths, {
        str(name): corpus
        for name, corpus in corpora.items()
        if names or corpus.homepage.startswith("http")  # the demo's are generated
    }


def render_readme(corpora: Mapping[str, CorpusConfig], root: Path) -> str:
    """The text of ``data/README.md``; `root` is the folder that corpora are placed in."""
    lines = ["| corpus | what it is | file | where it comes from | licence |", "|" + " --- |" * 5]
    for name, corpus in sorted(corpora.items()):
        on_hub = corpus.format is CorpusFormat.hub
        place = corpus.path if on_hub else Path(corpus.path).relative_to(root).as_posix()
        file = f"`{place}`" + (" on the Hub" if on_hub else "")
        source = f"[{_name_source(corpus)}]({corpus.homepage})"
        lines.append(f"| {name} | {corpus.description} | {file} | {source} | {corpus.licence} |")
    return "\n".join([_INTRODUCTION, *lines, "", _GUIDE])


def describe_corpus(name: str, corpus: CorpusConfig) -> str:
    """What a corpus is, its licence, where it comes from and where it belongs, in two lines."""
    return (
        f"{name}: {corpus.description}\n"
        f"  {corpus.licence}; from {corpus.homepage}; belongs at {corpus.path}"
    )


def _find_names(folder: Path) -> list[str]:
    files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return sorted(path.with_suffix("").as_posix() for path in files)


def _name_source(corpus: CorpusConfig) -> str:
    """Who publishes it, and how it is had."""
    if any(address.startswith("kaggle:") for address in corpus.download):
        return "Kaggle, account needed"
    hosts = [urlsplit(address).hostname or "" for address in corpus.download]
    return " and ".join(dict.fromkeys(hosts)) or "to be placed by hand"
