"""The benchmarks of training and inference refuse to compare what is not the same."""

import numpy as np
import pytest
import torch

from chaii.config.schema import TrainerConfig


@pytest.fixture
def prepare(load):
    """The same windows for every way to train."""
    made, ways = load("made"), load("train_ways")

    def run(**options):
        return ways.prepare_work(
            made.make_examples(6, words=60),
            made.make_tokenizer(),
            max_length=64,
            doc_stride=16,
            batches=2,
            trainer=TrainerConfig(per_device_train_batch_size=4),
            **options,
        )

    return run


def test_all_ways_train_on_the_same_windows(prepare):
    work = prepare()
    assert len(work.plan) == len(work.padded) == len(work.dynamic) == 8


def test_other_labels_are_refused(prepare, load, monkeypatch):
    ways = load("train_ways")
    make = ways.make_plan
    shift = {"start_token": lambda plan: plan["start_token"] + (plan["start_token"] > 0)}
    monkeypatch.setattr(ways, "make_plan", lambda *a, **kw: make(*a, **kw).assign(**shift))
    with pytest.raises(ValueError, match="windows of example"):
        prepare()


def test_our_loss_is_the_librarys_and_another_is_refused(prepare, load, monkeypatch):
    ways, model = load("train_ways"), load("large").build_large(tiny=True)
    work = prepare()
    assert ways.check_loss(work, model) < 1e-5
    monkeypatch.setattr(ways, "span_loss", lambda *_: torch.tensor(0.5))
    with pytest.raises(ValueError, match="losses differ by"):
        ways.check_loss(work, model)


def test_answers_are_those_of_the_written_out_pipeline(load, monkeypatch):
    infer, standard, made = load("infer"), load("infer_gpu"), load("made")
    exact = torch.autocast("cpu", enabled=False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: exact)
    tokenizer, model = made.make_tokenizer(), load("large").build_large(tiny=True).eval()
    model.qa_outputs.weight.data.mul_(10)
    examples = made.make_examples(10, words=300)
    ours = infer.answer_ours(model, tokenizer, examples)
    theirs = standard.answer_standard(model, tokenizer, examples, batch_size=3)
    assert infer.share_equal(ours, theirs) == 1
    assert len({tuple(answer) for answer in ours}) > 5


def test_arithmetic_is_counted_as_torch_counts_it(load):
    from torch.utils.flop_counter import FlopCounterMode

    model = load("large").build_large(tiny=True).eval()
    model.set_attn_implementation("eager")  # the counter does not know the fused kernel
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.base_model(input_ids=torch.from_numpy(np.full((3, 20), 9)))
    assert load("matmul").count_flops(model.config, [20, 20, 20]) == counter.get_total_flops()
