"""``scripts/publish.py``: a card beside the weights, and both in a stand-in for the Hub."""

import base64
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import ModelCard, constants

from chaii import Reader


class StandIn(BaseHTTPRequestHandler):
    """As much of the Hub's interface as an upload asks for; it keeps what it is sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, self.headers["Authorization"]))
        if self.path == "/api/repos/create":
            self.server.created = made = json.loads(body)
            answer = {"url": f"{self.server.address}/{made['organization']}/{made['name']}"}
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            whole = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            answer = {"files": [{"path": file["path"], **whole} for file in files]}
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[line["value"]["path"]] = content
            commit = f"{self.server.address}/{self.path.split('/', 3)[3]}"
            answer = {"commitUrl": commit, "commitOid": "1"}
        else:
            answer = {}
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def do_GET(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the Hub, to which the library sends what it uploads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.calls, server.files, server.status = [], {}, 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield server
    server.shutdown()


@pytest.fixture
def publish(demo_run, run_script, tmp_path):
    """Call the script on a copy of a run; returns its status, its error and the model's folder."""
    shutil.copytree(demo_run.path, tmp_path / "runs/demo_muril/fold0")

    def call(*arguments):
        given = "demo_muril", "--runs", tmp_path / "runs", *arguments
        status, _, errors = run_script("publish", *given)
        assert errors.count("\n") == 0
        return status, errors, tmp_path / "runs/demo_muril/fold0/model"

    return call


def test_weights_tokenizer_and_card_are_pushed(hub, publish, tmp_path):
    _, _, model = publish()
    (model / "evil.py").write_text("", encoding="utf-8")
    assert publish("--push", "me/demo", "--private")[:2] == (0, "")
    assert hub.created == {"organization": "me", "name": "demo", "visibility": "private"}
    assert {caller for _, caller in hub.calls} == {"Bearer hf_secret"}
    assert hub.files == {
        path.name: path.read_bytes() for path in model.iterdir() if path.name != "evil.py"
    }
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    for name, content in hub.files.items():
        (fetched / name).write_bytes(content)
    assert 'Reader.from_pretrained("me/demo")' in (fetched / "README.md").read_text("utf-8")
    asked = {"question": "नदी कहाँ है?", "context": "नदी पटना में है।"}
    assert Reader(fetched)(**asked) == Reader(model)(**asked)


def test_without_push_nothing_is_sent_and_no_token_needed(hub, publish, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    status, errors, model = publish("--licence", "mit")
    assert (status, errors, hub.calls) == (0, "", [])
    assert ModelCard.load(model / "README.md").data.license == "mit"


def test_a_push_needs_a_token(hub, publish, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    status, errors, _ = publish("--push", "me/demo")
    assert (status, hub.calls) == (1, [])
    assert errors.startswith("error: --push: needs a token; `hf auth login` stores one")


@pytest.mark.parametrize("repository", ["me/demo", "a/b/c"])
def test_a_refused_push_is_one_line(repository, hub, publish):
    hub.status = 403
    status, errors, _ = publish("--push", repository)
    assert status == 1
    assert errors.startswith("error: ")
    assert repository in errors
    assert hub.files == {}


@pytest.mark.usefixtures("hub")
def test_an_unreachable_hub_is_one_line(publish, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    status, errors, _ = publish("--push", "me/demo")
    assert status == 1
    assert errors.startswith("error: me/demo: cannot be uploaded: ")


def test_a_fold_that_there_is_not_is_told(publish):
    assert publish("--fold", "7")[1] == "error: fold=7: must be one of 0"
