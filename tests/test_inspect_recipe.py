"""``scripts/inspect_recipe.py`` tells what a recipe costs, and its numbers are right."""

import math
import re
from pathlib import Path

import pandas as pd
import pytest

from chaii.config.checks import check_train
from chaii.recipe.plan_summary import estimate_hours
from chaii.train import prepare_fold

ROOT = Path(__file__).parents[1]
FEW = (
    "max_examples=40",
    "backbone.effective_batch_size=16",
    "trainer.per_device_train_batch_size=8",
)
MILLIONS = 303


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("inspected")


@pytest.fixture(scope="module")
def printed(output, run_script):
    """The paragraphs that the script prints."""
    overrides = [*FEW, f"paths.output={output}", f"backbone.encoder_millions={MILLIONS}"]
    status, printed, errors = run_script("inspect_recipe", *overrides)
    assert status == 0, errors
    return printed.split("\n\n")


@pytest.fixture(scope="module")
def prepared(output, compose_config):
    return prepare_fold(check_train(compose_config("train", *FEW, f"paths.output={output}")))


@pytest.fixture(scope="module")
def plan(prepared):
    return prepared.make_plan(prepared.config.seed)


def read_table(printed, title):
    """The numbers of the printed table of this title, by stage and then by row."""
    lines = next(part for part in printed if part.startswith(f"| {title} ")).splitlines()
    (_, *stages), _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    numbers = {name: [read_number(cell) for cell in cells] for name, *cells in rows}
    return pd.DataFrame(numbers, index=stages)


def read_number(cell):
    plain = float(cell.rstrip("%").replace(",", ""))
    return plain / 100 if cell.endswith("%") else plain


def padded_lengths(plan):
    """Tokens that each window takes up in its batch of 8."""
    lengths = plan["length"].tolist()
    return [max(lengths[i // 8 * 8 : i // 8 * 8 + 8]) for i in range(len(lengths))]


def test_each_stage_is_counted(printed, plan):
    table = read_table(printed, "plan")
    padded = pd.Series(padded_lengths(plan))
    parts = {f"stage {stage}": plan["stage"] == stage for stage in range(3)}
    assert table.index.tolist() == [*parts, "all"]
    for name, mine in (parts | {"all": plan["stage"] >= 0}).items():
        rows, line = plan[mine], table.loc[name]
        assert line["windows"] == len(rows)
        assert line["tokens"] == rows["length"].sum()
        assert line["padding"] == pytest.approx(1 - line["tokens"] / padded[mine].sum(), abs=6e-4)
        assert line["negatives"] == pytest.approx((rows["start_token"] < 0).mean(), abs=6e-4)
    steps = table["steps"]
    assert steps["all"] == steps.drop("all").sum() == math.ceil(len(plan) / 16)


def test_corpora_and_languages_are_mixed_as_printed(printed, plan, prepared):
    of_window = [
        prepared.corpora[corpus][int(example)]["language"]
        for corpus, example in zip(plan["corpus"], plan["example"], strict=True)
    ]
    mix = plan.assign(language=of_window)
    for title, column in (("plan", "corpus"), ("language", "language")):
        table = read_table(printed, title)
        for name in mix[column].unique():
            mine = mix[column] == name
            shares = [mine[mix["stage"] == stage].mean() for stage in range(3)]
            assert table[name].tolist() == pytest.approx([*shares, mine.mean()], abs=6e-4)


def test_hours_follow_from_all_tokens_computed(printed, plan):
    expected = estimate_hours(sum(padded_lengths(plan)), encoder_millions=MILLIONS)
    sentence = next(part for part in printed if part.startswith("Estimated hours"))
    for gpu, hours in expected.items():
        shown = re.search(rf"{re.escape(gpu)} ([\d.e-]+\d)", sentence)[1]
        assert float(shown) == pytest.approx(hours, rel=0.06)


def test_every_line_fits_a_terminal(printed):
    plan = next(i for i, part in enumerate(printed) if part.startswith("| plan"))
    lines = [line for part in printed[plan:-1] for line in part.splitlines()]
    assert max(map(len, lines)) < 110


def test_what_is_wrong_with_the_data_is_told(output, run_script, printed):
    overrides = [*FEW, f"paths.output={output}", "trainer.max_answer_tokens=1"]
    status, again, errors = run_script("inspect_recipe", *overrides)
    assert status == 0, errors
    assert "warning: demo_chaii: " in again
    assert "warning: " not in "".join(printed)


def test_the_picture_is_where_the_script_says(printed, output):
    path = Path(printed[-1].strip().rpartition("picture: ")[2])
    assert path.parent == output
    assert path.read_bytes().startswith(b"\x89PNG")
