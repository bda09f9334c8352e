"""The corpora that `conf/corpora` describes: their settings, and the page about them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from omegaconf import OmegaConf

from chaii.config.compose import compose_config
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.schema import PathsConfig


def load_catalogue(
    conf: Path, names: Sequence[str] = (), *, overrides: Sequence[str] = ()
) -> tuple[PathsConfig, dict[str, CorpusConfig]]:
    """The paths and the named corpora, ready to be read.

    A name is that of a file under conf/corpora: ``squad``, ``hub/squad``. Where none is given,
    all published corpora in their official form are returned.

    `overrides` are Hydra's: ``paths=kaggle``, ``corpora.squad.max_examples=100``.

    Raises:
        ValueError: a corpus is named in two forms.
        HydraException, OmegaConfBaseException: no such corpus, or an override that does not fit.
    """
    if twice := {name for name in names if f"hub/{name}" in names}:
        raise ValueError(f"{sorted(twice)} and from hub/: name either")
    chosen = names or sorted(path.stem for path in (conf / "corpora").glob("*.yaml"))
    groups = [f"+corpora=[{','.join(chosen)}]"]
    if not any(override.startswith("paths=") for override in overrides):
        groups.append("+paths=local")
    given = ["+" + text if text.startswith("paths=") else text for text in overrides]
    config = compose_config(conf, "train_schema", [*groups, *given])
    paths, corpora = map(OmegaConf.to_object, (config.paths, config.corpora))
    assert isinstance(paths, PathsConfig)
    assert isinstance(corpora, dict)
    return paths, {
        str(name): corpus
        for name, corpus in corpora.items()
        if names or corpus.homepage.startswith("http")  # the demo's are generated
    }


def render_readme(corpora: Mapping[str, CorpusConfig], root: Path) -> str:
    """The text of ``data/README.md``; `root` is the folder that corpora are placed in."""
    rows = []
    for name, corpus in sorted(corpora.items()):
        on_hub = corpus.format is CorpusFormat.hub
        place = corpus.path if on_hub else Path(corpus.path).relative_to(root).as_posix()
        hosts = [urlsplit(address).hostname or "" for address in corpus.download]
        source = " and ".join(dict.fromkeys(hosts)) or "to be placed by hand"
        if any(address.startswith("kaggle:") for address in corpus.download):
            source = "Kaggle, account needed"
        file = f"`{place}`" + (" on the Hub" if on_hub else "")
        link = f"[{source}]({corpus.homepage})"
        rows.append((name, corpus.description, file, link, corpus.licence))
    lines = [("corpus", "description", "file", "source", "licence"), ("---",) * 5, *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    text = Path(__file__).with_name("data_readme.md").read_text(encoding="utf-8")
    return text.replace("{table}", table)


def describe_corpus(name: str, corpus: CorpusConfig) -> str:
    """Describe a corpus, its licence, its source and where it belongs, in two lines."""
    place = f"{corpus.licence}; from {corpus.homepage}; belongs at {corpus.path}"
    return f"{name}: {corpus.description}\n  {place}"
