"""One file over https: resumed, recorded, never half."""

import gzip
import hashlib
import io
import json
import zipfile

import pytest

from chaii.corpus.fetch import DownloadError, fetch_file

BODY = json.dumps(["x" * 1_280_000]).encode()  # more than one chunk


@pytest.fixture
def server(server):
    server.files["a.json"] = BODY
    return server


def read_lock(lock):
    return json.loads(lock.path.read_text())


def begin(path, server, *, body=BODY, size=1000):
    """As an interrupted download leaves it."""
    path.with_name("a.json.part").write_bytes(body[:size])
    path.with_name("a.json.part.tag").write_text(f'"{hashlib.md5(body).hexdigest()}"')
    return server.url("a.json"), path


def test_the_first_download_is_recorded(server, lock, tmp_path):
    fetch_file(server.url("a.json"), tmp_path / "new/a.json", lock, insecure=True)
    digest = hashlib.sha256(BODY).hexdigest()
    entry = {"address": server.url("a.json"), "bytes": len(BODY), "sha256": digest}
    assert read_lock(lock) == {"new/a.json": entry}


def test_a_finished_file_is_not_fetched_again(server, lock, tmp_path):
    done = [
        fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True) for _ in range(2)
    ]
    assert done == ["downloaded", "there already"]
    assert len(server.requests) == 1


def test_nothing_is_left_beside_a_finished_file(server, lock, tmp_path):
    fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "download.lock.json"]


def test_a_partial_file_is_gone_on_with(server, lock, tmp_path):
    address, path = begin(tmp_path / "a.json", server)
    fetch_file(address, path, lock, insecure=True)
    assert path.read_bytes() == BODY
    assert server.requests == ["bytes=1000-"]


def test_a_complete_partial_file_only_gets_its_name(server, lock, tmp_path):
    address, path = begin(tmp_path / "a.json", server, size=len(BODY))
    fetch_file(address, path, lock, insecure=True)
    assert path.read_bytes() == BODY


def test_a_server_without_ranges_starts_over(server, lock, tmp_path):
    server.ranges = False
    address, path = begin(tmp_path / "a.json", server)
    fetch_file(address, path, lock, insecure=True)
    assert path.read_bytes() == BODY


def test_a_file_that_changed_meanwhile_starts_over(server, lock, tmp_path):
    address, path = begin(tmp_path / "a.json", server, body=BODY[::-1])
    fetch_file(address, path, lock, insecure=True)
    assert path.read_bytes() == BODY


def test_a_partial_file_of_unknown_version_starts_over(server, lock, tmp_path):
    address, path = begin(tmp_path / "a.json", server, body=b"x" * 1000)
    path.with_name("a.json.part.tag").unlink()
    fetch_file(address, path, lock, insecure=True)
    assert path.read_bytes() == BODY


def test_a_broken_connection_is_taken_up_again(server, lock, tmp_path):
    server.breaks_after = [500_000, 400_000]
    fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True)
    assert (tmp_path / "a.json").read_bytes() == BODY
    assert server.requests == [None, "bytes=400000-", "bytes=900000-"]


def test_what_came_before_the_connection_was_lost_is_kept(server, lock, tmp_path):
    server.breaks_after = [0, 0, 0, 0, 400_000]
    with pytest.raises(ConnectionError):
        fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True)
    assert (tmp_path / "a.json.part").read_bytes() == BODY[:400_000]


def test_a_changed_file_on_the_server_names_both_digests(server, lock, tmp_path):
    path = tmp_path / "a.json"
    fetch_file(server.url("a.json"), path, lock, insecure=True)
    path.unlink()
    server.files["a.json"] = b'["other"]'
    digests = [hashlib.sha256(body).hexdigest() for body in (BODY, b'["other"]')]
    with pytest.raises(DownloadError, match=f"a.json: expected .*{digests[0]}.*{digests[1]}"):
        fetch_file(server.url("a.json"), path, lock, insecure=True)
    assert not path.exists()


def test_a_changed_file_on_disk_is_an_error(server, lock, tmp_path):
    fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True)
    (tmp_path / "a.json").write_bytes(BODY[::-1])
    with pytest.raises(DownloadError, match=r"a\.json: expected"):
        fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True)


def test_a_web_page_is_no_corpus(server, lock, tmp_path):
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="sent a web page"):
        fetch_file(server.url("a.json"), tmp_path / "a.json", lock, insecure=True)
    assert not list(tmp_path.iterdir())


PACKED = gzip.compress(BODY)
ARCHIVE = io.BytesIO()
with zipfile.ZipFile(ARCHIVE, "w") as archive:
    archive.writestr("a.json", "{}" * 99)
FAULTY = {  # file: (its body, the fault)
    "empty.json": (b"", "it is empty"),
    "cut.json": (BODY[:-9], "Unterminated string"),
    "page.json": (b"\n<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
    "page.csv": (b"<html>Sign in</html>", "it is a web page"),
    "cut.jsonl": (b'{"a": 1}\n{"a"', "delimiter"),
    "cut.jsonl.gz": (PACKED[:-20], "ended before"),
    "damaged.jsonl.gz": (PACKED[:-8] + b"12345678", "CRC"),
    "cut.zip": (ARCHIVE.getvalue()[:60], "not a zip file"),
    "page.parquet": (b"Sign in", "no Parquet file"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_body_that_is_not_of_its_format_is_not_recorded(server, lock, tmp_path, name):
    body, fault = FAULTY[name]
    server.files[name], server.lengths = body, False
    with pytest.raises(DownloadError, match=f"{name}: not a whole file of its format: .*{fault}"):
        fetch_file(server.url(name), tmp_path / name, lock, insecure=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["http://x.org/a.json", "file:///etc/passwd", "a.json"])
def test_only_https_is_fetched(lock, tmp_path, address):
    with pytest.raises(DownloadError, match="only https is fetched; --insecure allows"):
        fetch_file(address, tmp_path / "a.json", lock)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a.json": {"bytes": 1}}', '{"a": 1}'])
def test_a_broken_lock_is_named(lock, content):
    lock.path.write_text(content)
    with pytest.raises(DownloadError, match=r"download\.lock\.json: not a lock file"):
        lock.holds("https://x.org/a.json")
