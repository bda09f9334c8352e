"""The loss of a batch of windows."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div

from chaii.config.schema import DistillConfig
from chaii.model.collate import Batch


def span_loss(output: Any, batch: Batch, distill: DistillConfig | None = None) -> torch.Tensor:
    """Average the cross-entropy of the answer's first and last token over the windows, by weight.

    Only real tokens take part; the library's own loss depends on how a batch is padded. Where a
    window has several answers, the loss is -log of the sum of their tokens' probabilities. In a
    batch that holds what teachers say, each window's loss is a mean of that and of
    `teacher_loss`, by ``distill.weight``.

    Args:
        output: of a model, with ``start_logits`` and ``end_logits``, ``(windows, tokens)``.
    """
    padding = ~batch["attention_mask"].bool()
    losses = []
    for side in ("start", "end"):
        logits = output[f"{side}_logits"].float().masked_fill(padding, -torch.inf)
        positions = batch[f"{side}_positions"]
        if positions.shape[1] == 1:
            loss = cross_entropy(logits, positions[:, 0], reduction="none")
        else:
            chances = logits.log_softmax(dim=1).gather(1, positions.clamp(min=0))
            loss = -chances.masked_fill(positions < 0, -torch.inf).logsumexp(dim=1)
        if distill and f"{side}_teacher" in batch:
            soft = teacher_loss(logits, batch[f"{side}_teacher"], distill.temperature)
            loss = (1 - distill.weight) * loss + distill.weight * soft
        losses.append(loss)
    return (torch.stack(losses) * batch["weights"]).mean()


def teacher_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Divergence of a student from its teacher in each window, ``(windows,)``.

    It is the Kullback-Leibler divergence of two distributions over the context tokens and [CLS],
    each of logits divided by the temperature, times its square: so the gradient keeps its size.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network (2015).

    Args:
        logits: of the student, ``(windows, tokens)``.
        teacher: logarithms of probabilities, ``(windows, tokens)``; -inf at all other tokens.
    """
    others = teacher.isneginf()
    ours = (logits / temperature).masked_fill(others, -torch.inf).log_softmax(dim=1)
    theirs = (teacher / temperature).log_softmax(dim=1)
    terms = kl_div(ours, theirs, reduction="none", log_target=True).masked_fill(others, 0)
    return temperature**2 * terms.sum(dim=1)
