"""``scripts/inspect_recipe.py`` tells what a recipe costs, and its numbers are right."""

import math
import re
import subprocess
import sys
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
)  # windows
MILLIONS = 303


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("inspected")


@pytest.fixture(scope="module")
def printed(output):
    """What the script prints, in its parts: corpora, leaks, counts, mix, hours."""
    overrides = [*FEW, f"paths.output={output}", f"backbone.encoder_millions={MILLIONS}"]
    command = [sys.executable, "scripts/inspect_recipe.py", *overrides]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split("\n\n")


@pytest.fixture(scope="module")
def prepared(output, compose_config):
    return prepare_fold(check_train(compose_config("train", *FEW, f"paths.output={output}")))


@pytest.fixture(scope="module")
def plan(prepared):
    return prepared.make_plan(prepared.config.seed)


def read_numbers(text):
    """The lines of a printed table that end in numbers, by the word before them."""
    lines = re.findall(r"(stage \d|\S+) +((?:[\d.,]+%? *)+)$", text, flags=re.MULTILINE)
    return {
        label: [
            float(n.rstrip("%").replace(",", "")) / (100 if n.endswith("%") else 1)
            for n in numbers.split()
        ]
        for label, numbers in lines
    }


def padded_lengths(plan):
    """Tokens that each window takes up in its batch of 8."""
    lengths = plan["length"].tolist()
    return [max(lengths[i // 8 * 8 : i // 8 * 8 + 8]) for i in range(len(lengths))]


def test_each_stage_is_counted(printed, plan):
    table = read_numbers(printed[2])
    padded = pd.Series(padded_lengths(plan))
    parts = {f"stage {stage}": plan["stage"] == stage for stage in range(3)}
    assert set(table) == {*parts, "all"}
    for name, mine in (parts | {"all": plan["stage"] >= 0}).items():
        rows = plan[mine]
        windows, _, tokens, padding, negatives = table[name]
        assert windows == len(rows)
        assert tokens == rows["length"].sum()
        assert padding == pytest.approx(1 - tokens / padded[mine].sum(), abs=6e-4)
        assert negatives == pytest.approx((rows["start_token"] < 0).mean(), abs=6e-4)
    steps = [numbers[1] for numbers in table.values()]
    assert steps[-1] == sum(steps[:-1]) == math.ceil(len(plan) / 16)


def test_corpora_and_languages_are_mixed_as_printed(printed, plan, prepared):
    table = read_numbers(printed[3])
    of_window = [
        prepared.corpora[corpus][int(example)]["language"]
        for corpus, example in zip(plan["corpus"], plan["example"], strict=True)
    ]
    mix = plan.assign(language=of_window)
    names = {name: mix["corpus"] == name for name in prepared.corpora}
    names |= {name: mix["language"] == name for name in set(of_window)}
    assert set(table) == set(names)
    for name, mine in names.items():
        shares = [mine[mix["stage"] == stage].mean() for stage in range(3)]
        assert table[name] == pytest.approx([*shares, mine.mean()], abs=6e-4)


def test_hours_follow_from_all_tokens_computed(printed, plan):
    expected = estimate_hours(sum(padded_lengths(plan)), encoder_millions=MILLIONS)
    line = next(line for line in printed[4].splitlines() if line.startswith("hours: "))
    hours = dict(part.split() for part in line.removeprefix("hours: ").split(", "))
    assert {gpu: float(value) for gpu, value in hours.items()} == {
        gpu: pytest.approx(value, rel=0.06) for gpu, value in expected.items()
    }


def test_the_picture_lies_where_the_script_says(printed, output):
    path = Path(printed[-1].strip().rpartition("picture: ")[2])
    assert path.parent == output
    assert path.read_bytes().startswith(b"\x89PNG")
