"""Corpora come whole to where their readers look, by whatever way they are published."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.download import download_corpus, match_files, unpack_zip
from chaii.corpus.fetch import DownloadError

SQUAD = CorpusFormat.squad_json


def test_an_archive_is_unpacked_where_the_corpus_looks(server, lock, tmp_path, make_zip):
    members = {"V1/": "", "V1/dev/x-hi.json": "{}", "V1/test/x-hi.json": "{}", "__MACOSX/V1": "?"}
    server.files["V1.zip"] = make_zip(members)
    corpus = CorpusConfig(SQUAD, f"{tmp_path}/V1/*/*-hi.json", download=[server.url("V1.zip")])
    list(download_corpus("toy", corpus, lock, insecure=True))
    assert match_files(corpus) == [tmp_path / "V1/dev/x-hi.json", tmp_path / "V1/test/x-hi.json"]


def test_a_member_that_is_lost_is_unpacked_again(tmp_path, make_zip):
    archive = tmp_path / "a.zip"
    archive.write_bytes(make_zip({"b.json": "whole"}))
    (tmp_path / "b.json").write_text("wh")
    unpack_zip(archive, tmp_path)
    assert (tmp_path / "b.json").read_text() == "whole"


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_an_archive_cannot_write_outside_its_folder(name, tmp_path, make_zip):
    archive = tmp_path / "a.zip"
    archive.write_bytes(make_zip({"good": "1", name: "2"}))
    with pytest.raises(DownloadError, match="would leave the folder"):
        unpack_zip(archive, tmp_path / "in")
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_a_broken_archive_is_one_error(tmp_path, make_zip):
    (tmp_path / "a.zip").write_bytes(make_zip({"b": "c"})[:40])
    with pytest.raises(DownloadError, match=r"a\.zip: .*delete it"):
        unpack_zip(tmp_path / "a.zip", tmp_path)


def test_a_hub_corpus_that_lists_no_address_is_fetched_by_its_reader(lock, tmp_path, monkeypatch):
    found = tmp_path / "train.arrow"
    monkeypatch.setattr("chaii.corpus.hub.find_hub_files", lambda *_: [found])
    corpus = CorpusConfig(CorpusFormat.hub, "some/data")
    done = list(download_corpus("toy", corpus, lock, insecure=True))
    assert done == [(found, "in the cache of datasets")]


def test_files_placed_by_hand_are_left_alone(server, lock, tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    corpus = CorpusConfig(SQUAD, f"{tmp_path}/*.json", download=[server.url("a.json")])
    done = list(download_corpus("toy", corpus, lock, insecure=True))
    assert done == [(tmp_path / "mine.json", "placed by hand, not checked")]
    assert not server.requests


def test_a_download_that_the_path_does_not_match_is_an_error(server, lock, tmp_path):
    server.files["a.json"] = b"{}"
    corpus = CorpusConfig(SQUAD, f"{tmp_path}/b*.json", download=[server.url("a.json")])
    with pytest.raises(DownloadError, match=r"toy: nothing .* matches path '.*b\*\.json'"):
        list(download_corpus("toy", corpus, lock, insecure=True))


@pytest.mark.parametrize("gone", ["http://127.0.0.1:9/a.json", "http://nowhere.invalid/a.json"])
def test_without_a_network_one_line_explains_how_to_place_the_file(gone, lock, tmp_path):
    corpus = CorpusConfig(SQUAD, f"{tmp_path}/in/*.json", download=[gone])
    with pytest.raises(DownloadError) as caught:
        list(download_corpus("toy", corpus, lock, insecure=True))
    message = str(caught.value)
    assert message.startswith("toy: no network")
    assert message.endswith(f"put {gone} into {tmp_path}/in/")
    assert "\n" not in message


def test_a_missing_file_names_its_address(server, lock, tmp_path):
    corpus = CorpusConfig(SQUAD, f"{tmp_path}/*.json", download=[server.url("gone.json")])
    with pytest.raises(DownloadError, match=r"gone\.json: the server answers 404"):
        list(download_corpus("toy", corpus, lock, insecure=True))


FAKE_KAGGLE = """#!{python}
import shutil, sys
folder, name = (sys.argv[sys.argv.index(flag) + 1] for flag in ("-p", "-c"))
shutil.copy({archive!r}, folder + "/" + name + ".zip")
"""


def test_kaggle_files_come_by_its_own_command(lock, tmp_path, monkeypatch, make_zip):
    archive, command = tmp_path / "source.zip", tmp_path / "bin/kaggle"
    archive.write_bytes(make_zip({"train.csv": "a", "test.csv": "b"}))
    command.parent.mkdir()
    command.write_text(FAKE_KAGGLE.format(python=sys.executable, archive=str(archive)))
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    path = f"{tmp_path}/raw/train*.csv"
    corpus = CorpusConfig(CorpusFormat.chaii_csv, path, download=["kaggle:contest"])
    list(download_corpus("chaii", corpus, lock))
    assert (tmp_path / "raw/test.csv").read_text() == "b"
    assert list(json.loads(lock.path.read_text())) == ["raw/contest.zip"]


def test_without_the_kaggle_command_is_one_error(lock, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    corpus = CorpusConfig(CorpusFormat.chaii_csv, f"{tmp_path}/*.csv", download=["kaggle:contest"])
    with pytest.raises(DownloadError, match="chaii: no `kaggle` command"):
        list(download_corpus("chaii", corpus, lock))


def test_hub_files_are_fetched_by_the_hubs_client(lock, tmp_path, monkeypatch):
    asked = {}

    def snapshot_download(repository, **settings):
        asked.update(settings, repository=repository)
        file = Path(settings["local_dir"], "hi/train.parquet")
        file.parent.mkdir(parents=True)
        file.write_text("PAR1rows")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    address = "hf://datasets/some/data@abc/hi/*.parquet"
    corpus = CorpusConfig(CorpusFormat.hub, f"{tmp_path}/hub", download=[address])
    list(download_corpus("toy", corpus, lock, insecure=True))
    assert (asked["repository"], asked["revision"]) == ("some/data", "abc")
    assert list(json.loads(lock.path.read_text())) == ["hub/hi/train.parquet"]
