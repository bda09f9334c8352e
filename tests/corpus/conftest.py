"""A server on this machine that downloads are tried against, started for each test."""

import hashlib
import io
import re
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chaii.corpus.fetch import Lock


class Server(ThreadingHTTPServer):
    """Serves `files`; the other attributes set how, `breaks_after` as a list of bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.breaks_after = {}, [], []
        self.ranges, self.etags, self.lengths = True, True, True
        self.content_type = "application/octet-stream"

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.requests.append(asked)
        body = self.server.files.get(self.path[1:])
        if body is None:
            self.send_error(404)
            return
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        offset = 0
        if asked and self.server.ranges and self.headers.get("If-Range") == etag:
            offset = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if offset and offset >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if offset else 200)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(body) - offset))
        self.send_header("Content-Type", self.server.content_type)
        if self.server.etags:
            self.send_header("ETag", etag)
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        end = offset + self.server.breaks_after.pop() if self.server.breaks_after else None
        with suppress(ConnectionError):  # a client may hang up
            self.wfile.write(body[offset:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def lock(tmp_path):
    return Lock(tmp_path)


@pytest.fixture(scope="session")
def make_zip():
    """Bytes of a zip file, from name -> text."""

    def make(members):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        return buffer.getvalue()

    return make
