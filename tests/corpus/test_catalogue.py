"""The catalogue describes every shipped corpus, and the script fetches it."""

import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from chaii.config.corpora import CorpusFormat
from chaii.corpus.catalogue import load_catalogue, render_readme
from chaii.corpus.download import find_folder

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
CATALOGUE = load_catalogue(CONF, overrides=["paths.input=raw"])[1]


@pytest.mark.parametrize("name", CATALOGUE)
def test_what_a_shipped_corpus_downloads_is_what_it_reads(name):
    corpus = CATALOGUE[name]
    pattern = PurePosixPath(corpus.path).relative_to(find_folder(corpus)).as_posix()
    for address in corpus.download:
        if address.startswith("https:") and not address.endswith(".zip"):
            assert PurePosixPath(PurePosixPath(address).name).match(pattern)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_shipped_corpus_is_described(name):
    assert all((CATALOGUE[name].description, CATALOGUE[name].homepage, CATALOGUE[name].licence))


def test_the_page_about_the_corpora_is_the_generated_one():
    corpora = load_catalogue(CONF, overrides=["paths.input=data/raw"])[1]
    committed = (ROOT / "data/README.md").read_text(encoding="utf-8")
    assert committed == render_readme(corpora, Path("data/raw"))


def test_a_corpus_is_fetched_in_one_of_its_forms():
    with pytest.raises(ValueError, match="name either"):
        load_catalogue(CONF, ["squad", "hub/squad"])


def test_a_corpus_of_the_hub_is_named_with_its_folder():
    _, corpora = load_catalogue(CONF, ["hub/squad"])
    assert corpora["squad"].format is CorpusFormat.hub


MISTAKES = {
    "corpus": ("squat", "conf/ has no corpora/squat.yaml"),
    "key": ("corpora.squad.limt=1", "limt"),
    "group": ("paths=nowhere", "nowhere"),
}


@pytest.mark.parametrize(("word", "named"), MISTAKES.values(), ids=MISTAKES)
def test_the_script_names_a_mistake_in_one_line(word, named):
    command = [sys.executable, ROOT / "scripts/download.py", "squad", word]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_script_goes_on_after_a_failure_and_ends_with_status_1(server, tmp_path):
    server.files["xquad.hi.json"] = b"{}"
    sources = "corpora"
    command = [
        *(sys.executable, ROOT / "scripts/download.py", "squad", "xquad_hi", "--insecure"),
        f"paths.input={tmp_path}",
        f"{sources}.squad.download=[{server.url('gone.json')}]",
        f"{sources}.xquad_hi.download=[{server.url('xquad.hi.json')}]",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{tmp_path}/xquad/xquad.hi.json: downloaded" in done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "squad: " in errors[0]
    assert "gone.json: the server answers 404" in errors[0]
