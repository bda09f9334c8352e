"""The loss: real tokens alone, several answers by the sum of their probabilities, weights."""

import pytest
import torch
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from chaii.config.schema import DistillConfig
from chaii.model.loss import span_loss, teacher_loss


@pytest.mark.parametrize("padding", [0, 7])
def test_padding_does_not_change_the_loss(padding):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 9, generator=generator)
    wide = torch.cat([logits, torch.randn(2, 3, padding, generator=generator) + 5], dim=2)
    mask = torch.cat([torch.ones(3, 9), torch.zeros(3, padding)], dim=1).long()
    positions = torch.tensor([[0, 4, 8], [1, 4, 8]])
    start, end = positions[:, :, None]
    batch = {"attention_mask": mask, "start_positions": start, "end_positions": end}
    batch["weights"] = torch.ones(3)
    output = make_output(wide)
    chances = logits.log_softmax(dim=2)
    expected = -sum(chances[side, row, positions[side, row]] for side in (0, 1) for row in range(3))
    torch.testing.assert_close(span_loss(output, batch), expected / 6)


def make_output(logits):
    return QuestionAnsweringModelOutput(start_logits=logits[0], end_logits=logits[1])


def test_several_answers_count_by_the_sum_of_their_probabilities():
    logits = torch.randn(2, 2, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    batch = {
        "attention_mask": torch.ones(2, 9).long(),
        "start_positions": torch.tensor([[1, 4, 7], [3, -1, -1]]),
        "end_positions": torch.tensor([[2, 8], [5, -1]]),
        "weights": torch.ones(2),
    }
    loss = span_loss(make_output(logits), batch)
    start, end = logits.softmax(dim=2)
    chances = [start[0, [1, 4, 7]].sum(), start[1, 3], end[0, [2, 8]].sum(), end[1, 5]]
    torch.testing.assert_close(loss, -torch.stack(chances).log().mean())
    loss.backward()
    assert logits.grad.isfinite().all()


def test_one_answer_in_several_columns_gives_the_loss_of_one():
    logits = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[0], [4], [8]])
    mask = torch.ones(3, 9).long()
    wide = torch.cat([positions, torch.full((3, 2), -1)], dim=1)
    batch = {"attention_mask": mask, "weights": torch.ones(3)}
    losses = [
        span_loss(make_output(logits), batch | {"start_positions": p, "end_positions": p})
        for p in (positions, wide)
    ]
    torch.testing.assert_close(losses[0], losses[1], atol=0, rtol=1e-6)


def test_a_window_counts_by_its_weight():
    logits = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0))
    positions = torch.tensor([[0], [4], [8]])
    labels = {"start_positions": positions, "end_positions": positions}
    batch = labels | {"attention_mask": torch.ones(3, 9).long(), "weights": torch.ones(3)}
    two = {name: part[:2] for name, part in batch.items()}
    expected = span_loss(make_output(logits[:, :2]), two)
    batch["weights"] = torch.tensor([1.5, 1.5, 0.0])
    torch.testing.assert_close(span_loss(make_output(logits), batch), expected)


@pytest.fixture
def taught():
    """Two windows and their teacher: [CLS] and the tokens from 4 on take part."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 9, generator=generator, requires_grad=True)
    teacher = 3 * torch.randn(2, 2, 9, generator=generator)
    teacher[:, :, 1:4] = teacher[:, 1, 6:] = -torch.inf
    batch = {
        "attention_mask": torch.tensor([[1] * 9, [1] * 6 + [0] * 3]),
        "start_positions": torch.tensor([[5], [0]]),
        "end_positions": torch.tensor([[7], [0]]),
        "weights": torch.ones(2),
        "start_teacher": teacher[0],
        "end_teacher": teacher[1],
    }
    return logits, batch


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_teachers_loss_is_the_divergence_of_both_at_the_temperature(temperature, taught):
    logits, batch = taught
    expected = 0.0
    for window, places in enumerate([[0, 4, 5, 6, 7, 8], [0, 4, 5]]):
        for side, name in enumerate(("start_teacher", "end_teacher")):
            ours = (logits[side, window, places] / temperature).softmax(dim=0)
            theirs = (batch[name][window, places] / temperature).softmax(dim=0)
            expected += temperature**2 * (theirs * (theirs / ours).log()).sum() / 4
    loss = span_loss(make_output(logits), batch, DistillConfig([], temperature, 1.0))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, :, 1:4] == 0).all()


def test_the_weight_divides_the_loss_between_labels_and_teacher(taught):
    logits, batch = taught
    labels, half, teacher = (
        span_loss(make_output(logits), batch, DistillConfig([], 2.0, weight))
        for weight in (0.0, 0.25, 1.0)
    )
    torch.testing.assert_close(labels, span_loss(make_output(logits), batch))
    torch.testing.assert_close(half, 0.75 * labels + 0.25 * teacher)
    assert labels != teacher


def test_a_window_counts_by_its_weight_for_its_teacher_too(taught):
    logits, batch = taught
    distill = DistillConfig([], 2.0, 0.5)
    both = batch | {"weights": torch.tensor([2.0, 0.0])}
    first = {name: part[:1] for name, part in batch.items()}
    expected = span_loss(make_output(logits[:, :1]), first, distill)
    torch.testing.assert_close(span_loss(make_output(logits), both, distill), expected)


def test_a_student_equal_to_its_teacher_has_no_loss():
    teacher = torch.tensor([[0.7, 0.0, 0.3, 0.0]]).log().clamp(min=-60000)
    teacher[:, 1] = -torch.inf
    assert teacher_loss(teacher.clamp(min=-60000) + 5, teacher, 2.0).abs() < 1e-6
