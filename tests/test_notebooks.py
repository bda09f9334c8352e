"""The notebooks run as on Kaggle: own kernel, no network, attached folders read-only."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from chaii.demo.corpora import write_demo_corpora
from chaii.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
COMPETITION = "chaii-hindi-and-tamil-question-answering"
QUICK = "trainer.max_steps=3 trainer.logging_steps=1 trainer.num_evaluations=1 max_examples=60"
DEAD_PROXY = "http://127.0.0.1:9"


def read_notebook(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def execute(name, attached, working, **settings):
    """Execute a notebook and return it; raises at the first cell that fails."""
    notebook = read_notebook(name)
    own_kernel = KernelSpecManager(
        kernel_dirs=[]
    )  # the kernel of this interpreter, not an installed one
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=own_kernel)
    client = NotebookClient(
        notebook, km=manager, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    client.execute(
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("CHAII_")},
            **dict.fromkeys(("http_proxy", "https_proxy"), DEAD_PROXY),
            "CHAII_INPUT": str(attached),
            "CHAII_OUTPUT": str(working),
            "HF_HOME": str(working / "hub"),
            # root writes bytecode even to a read-only folder
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            **settings,
        }
    )
    return notebook


def list_tree(folder):
    """Return name, size and modification time of everything in a folder."""
    return {
        path.relative_to(folder): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def take_write_permission(folder):
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)


@pytest.fixture(scope="module")
def attached(tmp_path_factory):
    """Replace /kaggle/input by a folder with the repository and the competition's test file."""
    folder = tmp_path_factory.mktemp("kaggle") / "input"
    for part in ("conf", "src"):
        shutil.copytree(
            ROOT / part,
            folder / "repository" / part,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    demo = tmp_path_factory.mktemp("corpora") / "demo"
    write_demo_corpora(demo)
    (folder / COMPETITION).mkdir()
    shutil.copy(demo / "chaii" / "test.csv", folder / COMPETITION)
    return folder


@pytest.fixture(scope="module")
def trained(attached, tmp_path_factory):
    """Execute the training notebook; return it with its working folder."""
    working = tmp_path_factory.mktemp("training")
    settings = {"CHAII_EXPERIMENT": "demo_muril", "CHAII_FOLD": "1", "CHAII_OVERRIDES": QUICK}
    return execute("kaggle_train", attached, working, **settings), working


@pytest.fixture(scope="module")
def submitted(attached, trained, tmp_path_factory):
    """Execute the submission notebook; return it, its folder, its input before and after."""
    working = tmp_path_factory.mktemp("submitting")
    shutil.copytree(trained[1] / "runs", attached / "chaii-runs")
    take_write_permission(attached)
    before = list_tree(attached)
    members = "ensemble.members=[demo_muril]"
    notebook = execute("kaggle_submit", attached, working, CHAII_OVERRIDES=members)
    return notebook, working, before, list_tree(attached)


@pytest.fixture(scope="module")
def written(attached, submitted):
    """Execute the write-up of what was trained and submitted."""
    overrides = f"paths=kaggle paths.runs={attached}/chaii-runs ensemble.members=[demo_muril]"
    name = "name=submission"
    settings = {"CHAII_OVERRIDES": f"{overrides} {name}", "CHAII_COMPARED": "hindi_scratch"}
    return execute("writeup", attached, submitted[1], **settings)


def outputs(notebook, kind):
    """List all outputs of a MIME type."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    data = [output.get("data", {}) for cell in cells for output in cell.outputs]
    return [shown[kind] for shown in data if kind in shown]


def test_training_notebook_leaves_a_finished_run(trained):
    assert RunFolder(trained[1] / "runs", "demo_muril", "1").is_finished


def test_training_notebook_shows_the_scores(trained):
    tables = outputs(trained[0], "text/html")
    assert any("jaccard" in table and "tamil" in table for table in tables)


def test_submission_answers_exactly_the_test_rows(attached, submitted):
    asked = pd.read_csv(attached / COMPETITION / "test.csv")
    answered = pd.read_csv(submitted[1] / "submission.csv", keep_default_na=False)
    assert list(answered.columns) == ["id", "PredictionString"]
    assert list(answered["id"]) == list(asked["id"])


def test_submission_notebook_shows_the_number_of_rows(submitted):
    streams = [o.text for c in submitted[0].cells for o in c.get("outputs", []) if "text" in o]
    assert re.search(r"submission\.csv: 40 rows", "".join(streams))


def test_submission_notebook_leaves_its_input_as_it_was(submitted):
    _, _, before, after = submitted
    assert after == before


def test_writeup_shows_tables(written):
    assert len(outputs(written, "text/html")) >= 3


def test_writeup_shows_pictures(written):
    # one of corpora, three of runs, two comparisons, three studies
    assert len(outputs(written, "image/png")) == 9


@pytest.mark.parametrize("name", ["kaggle_train", "kaggle_submit"])
def test_kaggle_notebooks_are_stored_without_outputs(name):
    cells = [cell for cell in read_notebook(name).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_writeup_is_stored_with_its_pictures():
    # one of corpora, three of runs, three comparisons, three studies
    assert len(outputs(read_notebook("writeup"), "image/png")) == 10


def test_writeup_colours_windows_answers_and_masked_tokens():
    pages = "".join(outputs(read_notebook("writeup"), "text/html"))
    assert all(f"background:{colour}" in pages for colour in ("#dbe8f4", "#9fd8b4", "#444"))


def test_stored_outputs_hold_no_warning_and_little_data():
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert path.stat().st_size < 3e6
        for cell in read_notebook(path.stem).cells:
            streams = [
                output for output in cell.get("outputs", []) if output.output_type == "stream"
            ]
            assert not [output for output in streams if "Warning" in output.text], path.stem


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_name_no_folder_of_the_machine_they_were_made_on(path):
    assert not re.search(r"/(?:home|tmp|work|root|Users)/", path.read_text(encoding="utf-8"))
