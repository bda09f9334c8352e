"""scripts/app.py: its errors, and in headless Chromium the page itself.

The tests in Chromium are slow and need Gradio (the extra [app]), `pip install playwright` and
Debian's package chromium.
"""

import importlib.util
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chaii.ensemble.answerer import load_answerer
from chaii.ensemble.page import write_examples

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OPTIONS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
HINDI, CONTEXT = next(write_examples())
MARKUP = "<img src=x onerror=window.hit=1>"
HOSTILE = f"{MARKUP}<script>window.hit=1</script>${{window.hit=1}}{{{{hit}}}} [a](javascript:hit)"
WATCH = """
import runpy, sys

def watch(event, args):
    if event in {"socket.getaddrinfo", "socket.connect"}:
        place = args[0] if event == "socket.getaddrinfo" else args[1][0]
        print(event, place, file=sys.stderr, flush=True)

sys.addaudithook(watch)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def pretend_gradio(monkeypatch, found):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "gradio" else find_spec(name)
    )


def test_without_gradio_one_line_tells_what_to_install(run_script, monkeypatch):
    pretend_gradio(monkeypatch, None)
    status, _, errors = run_script("app")
    assert status == 1
    assert errors == "error: gradio: is not installed; run: pip install -e '.[app]'"


def test_without_a_run_one_line_tells_how_to_get_one(run_script, monkeypatch, tmp_path):
    pretend_gradio(monkeypatch, True)
    status, _, errors = run_script("app", "--runs", tmp_path)
    assert status == 1
    assert errors == f"error: {tmp_path}: holds no finished run yet; make demo trains some"


@pytest.fixture(scope="module")
def runs(train_demo, tmp_path_factory):
    """Runs of three backbones, and one that has markup as its name."""
    output = tmp_path_factory.mktemp("app")
    for backbone in ("muril", "xlmr", "rembert"):
        train_demo(output, f"experiment=demo_{backbone}")
    shutil.copytree(output / "runs/demo_muril", output / "runs" / MARKUP)
    return output / "runs"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """What the server writes to its standard error: each connection that it opens, too."""
    return tmp_path_factory.mktemp("log") / "stderr.txt"


@pytest.fixture(scope="module")
def address(runs, log):
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install -e '.[app]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", WATCH, ROOT / "scripts/app.py", "--runs", runs, "--port", port]
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as server,
    ):
        line = server.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), log.read_text(encoding="utf-8")
        yield line.split()[0]
        server.terminate()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(address, browser):
    """Open the page; at the end, every request of the browser went to the server alone."""
    asked = []

    def open_at(width, **looks):
        page = browser.new_page(viewport={"width": width, "height": 900}, **looks)
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(urlsplit(request.url)))
        page.goto(address)
        page.get_by_label("Question").wait_for()
        return page

    yield open_at
    assert {url.netloc for url in asked if url.scheme != "data"} == {urlsplit(address).netloc}


def ask(page, run, question, context):
    page.get_by_label("Run or ensemble").click()
    page.get_by_role("option", name=run, exact=True).click()
    page.get_by_label("Question").fill(question)
    page.get_by_label("Context").fill(context)
    page.get_by_role("button", name="Answer", exact=True).click()
    page.locator(".chaii .context").first.wait_for()


def read_best(page):
    return "".join(page.locator("mark.best:visible").all_inner_texts())


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_a_question_is_answered_in_its_context(width, scheme, open_page, runs, tmp_path):
    page = open_page(width, color_scheme=scheme)
    ask(page, "demo_muril", HINDI, CONTEXT)
    best, *_ = load_answerer("demo_muril", runs=runs).compare(HINDI, CONTEXT, top_k=3)[0]
    assert read_best(page) == best["answer"] != ""
    assert f"{100 * best['score']:.0f}" in page.locator(".chaii .score").first.inner_text()
    assert page.locator(".chaii .answers li").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=tmp_path / f"{width}.png", full_page=True)


@pytest.mark.slow
def test_an_example_is_answered_by_an_ensemble(open_page, runs):
    page = open_page(1280)
    page.get_by_label("Run or ensemble").click()
    page.get_by_role("option", name="demo", exact=True).click()
    page.get_by_role("button", name=HINDI).click()
    page.locator(".chaii .context").first.wait_for()
    assert page.get_by_label("Context").input_value() == CONTEXT
    [answer], own = load_answerer("demo", runs=runs).compare(HINDI, CONTEXT, top_k=3)
    assert read_best(page).split() == answer["answer"].split()
    page.get_by_role("tab", name="Backbones").click()
    assert page.locator(".chaii .name:visible").all_inner_texts() == list(own)
    texts = page.locator(".chaii .text > bdi:visible").all_inner_texts()
    assert [" ".join(text.split()) for text in texts] == [
        " ".join(one["answer"].split()) for one in own.values()
    ]


@pytest.mark.slow
def test_text_never_becomes_markup(open_page):
    page = open_page(1280)
    ask(page, MARKUP, HOSTILE, f"{HOSTILE} {CONTEXT} {HOSTILE}")
    context = page.locator(".chaii .context:visible")
    context.evaluate("part => part.querySelectorAll('sup').forEach(number => number.remove())")
    assert context.text_content().count(HOSTILE) == 2
    page.get_by_role("tab", name="Backbones").click()
    page.wait_for_timeout(500)  # an image would be asked for by now
    assert page.evaluate("window.hit") is None
    assert page.locator(".chaii :is(img, script, a)").count() == 0


@pytest.mark.slow
def test_the_server_connects_to_itself_alone(open_page, log):
    page = open_page(1280)
    ask(page, "demo_muril", HINDI, CONTEXT)
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    asked = {line[1] for line in lines if line[:1] and line[0].startswith("socket.")}
    assert asked
    assert asked <= {"127.0.0.1", "localhost", "None"}
