"""What a plan costs, against a count by hand."""

import numpy as np
import pandas as pd
import pytest

from chaii.config.schema import RecipeConfig, SourceConfig, StageConfig
from chaii.recipe.plan import make_plan
from chaii.recipe.plan_summary import (
    estimate_hours,
    padding_share,
    summarise_languages,
    summarise_plan,
    summarise_sources,
)
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide


@pytest.fixture(params=["in order", "mixed"])
def plan(request):
    """Three stages of two corpora; no stage ends where a batch of 4 or a step of 8 does."""
    generator = np.random.default_rng(0)
    stage = np.repeat([0, 1, 2], [101, 54, 30])
    corpus = np.where(stage == 2, "near", generator.choice(["near", "far"], len(stage)))
    table = pd.DataFrame(
        {
            "example": generator.integers(0, 10, len(stage)),
            "start_token": np.where(generator.random(len(stage)) < 0.3, -1, 7),
            "length": generator.integers(5, 100, len(stage)),
            "stage": stage,
            "corpus": pd.Categorical(corpus, categories=["far", "near"]),
        }
    )
    if request.param == "mixed":
        table = table.sample(frac=1, random_state=1, ignore_index=True)
    return table


def pad(lengths, batch_size):
    """Tokens that each window takes up once its batch is padded, a batch at a time."""
    taken = []
    for first in range(0, len(lengths), batch_size):
        batch = lengths[first : first + batch_size]
        taken += [max(batch)] * len(batch)
    return taken


@pytest.mark.parametrize("batch_size", [1, 4, 7, 200])
def test_padding_is_what_batches_are_filled_with(plan, batch_size):
    lengths = plan["length"].tolist()
    expected = 1 - sum(lengths) / sum(pad(lengths, batch_size))
    assert padding_share(plan["length"].to_numpy(), batch_size=batch_size) == pytest.approx(
        expected
    )


def test_windows_of_one_length_need_no_padding():
    assert padding_share(np.full(10, 64), batch_size=4) == 0


def test_each_stage_is_counted(plan):
    table = summarise_plan(plan, batch_size=4, effective_batch_size=8)
    padded = np.array(pad(plan["length"].tolist(), 4))
    for name, mine in [(f"stage {s}", plan["stage"] == s) for s in range(3)] + [
        ("all", plan["stage"] >= 0)
    ]:
        rows, line = plan[mine], table.loc[name]
        assert line["windows"] == len(rows)
        assert line["tokens"] == rows["length"].sum()
        assert line["negatives"] == pytest.approx(sum(rows["start_token"] == -1) / len(rows))
        assert line["padding"] == pytest.approx(1 - rows["length"].sum() / padded[mine].sum())
        for corpus in ("far", "near"):
            share = sum(rows["corpus"] == corpus) / len(rows)
            assert line[corpus] == pytest.approx(share)


def test_the_steps_of_the_stages_add_up(plan):
    steps = summarise_plan(plan, batch_size=4, effective_batch_size=8)["steps"]
    assert steps["all"] == -(-len(plan) // 8)
    assert steps.drop("all").sum() == steps["all"]


def test_languages_are_those_of_the_examples(plan):
    languages = {"near": ["hindi"] * 4 + ["tamil"] * 6, "far": ["english"] * 10}
    table = summarise_languages(plan, languages)
    assert table.index.tolist() == ["stage 0", "stage 1", "stage 2", "all"]
    assert table.columns.tolist() == ["english", "hindi", "tamil"]
    np.testing.assert_allclose(table.sum(axis="columns"), 1)
    assert table.loc["stage 2", "english"] == 0
    hindi = (plan["corpus"] == "near") & (plan["example"] < 4)
    assert table.loc["all", "hindi"] == pytest.approx(hindi.mean())
    assert table.loc["stage 1", "hindi"] == pytest.approx(hindi[plan["stage"] == 1].mean())


def test_hours_grow_with_tokens_and_parameters():
    one = estimate_hours(10**9, encoder_millions=100)
    two = estimate_hours(2 * 10**9, encoder_millions=300)
    assert {gpu: pytest.approx(6 * hours) for gpu, hours in one.items()} == two
    assert list(one.values()) == sorted(one.values(), reverse=True)  # the slowest GPU first
    flops = {"T4 (fp16)": 65e12, "A100 (bf16)": 312e12, "H100 or H200 (bf16)": 989e12}
    for gpu, peak in flops.items():  # 6 operations per parameter and token, at 40 % of the peak
        assert one[gpu] == pytest.approx(6 * 100e6 * 10**9 / (0.4 * peak) / 3600)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_sources_tell_windows_before_sampling_and_the_share_kept(
    share, tokenizers, make_examples, tmp_path
):
    context = "गंगा नदी की लंबाई है। " * 200
    answers = ["लंबाई", "गंगा"]  # the second is at the first token of windows
    rows = [
        (f"कितनी {i}?", context + str(i), answers[i % 2], context.index(answers[i % 2]))
        for i in range(30)
    ]
    store = open_store(make_examples(rows), tokenizers["wordpiece"], tmp_path)
    source = SourceConfig("toy", 64, 16, negatives=share)
    recipe = RecipeConfig(stages=[StageConfig([source])])
    arguments = {"stores": {"toy": store}, "rows": {"toy": np.arange(30)}}
    plan = make_plan(recipe, **arguments, effective_batch_size=8, seed=0)
    line = summarise_sources(recipe, **arguments, plan=plan).iloc[0]
    windows = slide(store, max_length=64, doc_stride=16)
    assert line["windows"] == len(windows)
    assert line["negatives"] == (windows["start_token"] < 0).sum()
    assert line["kept"] == pytest.approx(share, abs=0.01)
