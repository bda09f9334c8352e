"""Fixtures shared by all rooms: real data where it is at hand, tiny tokenizers of each family."""

import contextlib
import gc
import importlib
import io
import os
import runpy
import signal
import sys

os.environ["HF_HUB_OFFLINE"] = "1"  # before the libraries read it
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side: one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from unittest import mock

import pytest
from datasets import Dataset
from hydra._internal.hydra import Hydra

from chaii.config import compose
from chaii.config.checks import check_ensemble, check_train
from chaii.config.schema import ScratchConfig, TokenizerKind
from chaii.corpus.table import EXAMPLE_FEATURES
from chaii.demo import corpora
from chaii.evaluation.bootstrap import bootstrap_interval
from chaii.model.backbone import train_tokenizer

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that no worker has one left at the end."""
    items.sort(key=lambda item: (item.path.name != "test_demo.py", item.path.parent != TESTS))


def pytest_collection_finish():
    """Leave what the libraries made while they were imported out of every garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def demo_is_generated_once():
    """Most tests write the demo's corpora to a folder of their own, all with one seed."""
    generate, made = corpora.generate_files, {}

    def generate_once(rng):
        seed = rng.bit_generator.seed_seq.entropy
        return made[seed] if seed in made else made.setdefault(seed, generate(rng))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "generate_files", generate_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def configurations_are_composed_once():
    """Leave out Hydra's first composition of a script's configuration: it reads `hydra.mode`."""
    read_mode = Hydra.get_mode

    def read_given_mode(self, config_name, overrides):
        is_given = any("hydra.mode" in override for override in overrides)
        return read_mode(self, config_name, overrides) if is_given else None  # -m decides

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", read_given_mode)
        yield


@pytest.fixture(scope="session")
def run_script():
    """Call a script as the command line does: returns its status, what it prints, its errors."""

    def start(script):
        runpy.run_path(str(TESTS.parent / f"scripts/{script}.py"), run_name="__main__")

    def run(script, *arguments, place=TESTS.parent, start=start):
        handler, status, last = signal.getsignal(signal.SIGTERM), 0, ""
        printed, errors = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(place),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(errors),
        ):
            patch.setattr(sys, "argv", [script, *map(str, arguments)])
            patch.setenv("HYDRA_FULL_ERROR", "1")  # set by the scripts: not to outlive the test
            try:
                start(script)
            except SystemExit as end:
                is_text = isinstance(end.code, str)
                status, last = (1, end.code) if is_text else (end.code or 0, "")
            finally:
                signal.signal(signal.SIGTERM, handler)
        return status, printed.getvalue(), errors.getvalue() + last

    return run


@pytest.fixture(scope="session")
def chaii_data() -> Path:
    """Folder of real corpora, named by CHAII_DATA."""
    folder = os.environ.get("CHAII_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("CHAII_DATA does not name a folder with real corpora")
    return Path(folder)


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Import a script of benchmarks/ by its name, with a working folder of its own."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ):  # some set variables for their process
        yield importlib.import_module


@pytest.fixture(scope="session")
def make_examples():
    """Build an Example dataset from (question, context, answer, start) rows."""

    def make(rows, *, corpus="toy", language="hindi"):
        columns = {
            "id": [f"{corpus}-{i}" for i in range(len(rows))],
            "corpus": [corpus] * len(rows),
            "article": [f"article-{i}" for i in range(len(rows))],
            "language": [language] * len(rows),
            "question": [row[0] for row in rows],
            "context": [row[1] for row in rows],
            "answer_text": [[row[2]] if row[2] is not None else [] for row in rows],
            "answer_start": [[row[3]] if row[2] is not None else [] for row in rows],
        }
        return Dataset.from_dict(columns, features=EXAMPLE_FEATURES)

    return make


SENTENCES = [
    "गंगा नदी की लंबाई २५२५ किलोमीटर है। यह भारत की सबसे लंबी नदी है।",
    "सन् 1912 ई. में पटना राजधानी बना; तब जनसंख्या कम थी…",
    "தமிழ்நாட்டின் தலைநகரம் சென்னை ஆகும். காவிரி ஆறு 800 கி.மீ. நீளமானது.",
    "கி.மு. 300 ஆண்டில் இந்த நகரம் உருவானது, என்று கூறுவர்.",
    "The river rises in the hills, and runs 320 km to the sea. It's long!",
    "క్ష్మా నది పొడవు 500 కిలోమీటర్లు. అది చాలా పెద్దది.",
]


@pytest.fixture(scope="session")
def tokenizers():
    """A tiny tokenizer of each family, trained on a few sentences."""
    texts = [sentence for sentence in SENTENCES for _ in range(3)]
    return {
        kind.value: train_tokenizer(ScratchConfig("bert", kind, 400), texts)
        for kind in TokenizerKind
    }


CONF = TESTS.parent / "conf"
FAST = ("max_examples=40", "trainer.max_steps=8", "trainer.num_evaluations=2")


def _compose_config(name, *overrides):
    return compose.compose_config(CONF, name, overrides)


@pytest.fixture(scope="session")
def compose_config():
    """Compose a configuration, as a script would get it: `compose_config(name, *overrides)`."""
    return _compose_config


@pytest.fixture(scope="session")
def train_demo():
    """Train a fold of the demo on a few rows, all in one folder; returns the run."""

    def train(output, *overrides):
        from chaii.train import train_fold

        config = _compose_config("train", *FAST, f"paths.output={output}", *overrides)
        return train_fold(check_train(config))

    return train


@pytest.fixture(scope="session")
def demo_run(train_demo, tmp_path_factory):
    """A finished fold of the demo."""
    return train_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def few_rounds():
    """Draw a tenth of the rounds of the bootstrap that a search of methods asks for."""

    def draw(values, *, rounds=2000, **options):
        return bootstrap_interval(values, rounds=rounds // 10, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chaii.ensemble.selection.bootstrap_interval", draw)
        yield


@pytest.fixture(scope="session")
def ensemble_config():
    """Configuration of the demo's ensemble in one folder."""

    def configure(output, *overrides):
        paths = [f"paths.output={output}", f"paths.submissions={output}/submissions"]
        return check_ensemble(_compose_config("ensemble", *paths, *overrides))

    return configure


@pytest.fixture(scope="session")
def ensemble_demo(ensemble_config):
    """Ensemble the demo's runs in one folder; returns the submission's path."""

    def ensemble(output, *overrides):
        from chaii.ensemble.pipeline import make_submission

        return make_submission(ensemble_config(output, *overrides))

    return ensemble
