"""The loss of a batch of windows."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from chaii.model.collate import Batch


def span_loss(output: Any, batch: Batch) -> torch.Tensor:
    """Average the cross-entropy of the answer's first and last token over the windows, by weight.

    Only real tokens take part; the library's own loss depends on how a batch is padded. Where a
    window has several answers, the loss is -log of the sum of their tokens' probabilities.

    Args:
        output: of a model, with ``start_logits`` and ``end_logits``, ``(windows, tokens)``.
    """
    padding = ~batch["attention_mask"].bool()
    losses = []
    for side in ("start", "end"):
        logits = output[f"{side}_logits"].float().masked_fill(padding, -torch.inf)
        positions = batch[f"{side}_positions"]
        if positions.shape[1] == 1:
            losses.append(cross_entropy(logits, positions[:, 0], reduction="none"))
            continue
        chances = logits.log_softmax(dim=1).gather(1, positions.clamp(min=0))
        losses.append(-chances.masked_fill(positions < 0, -torch.inf).logsumexp(dim=1))
    return (torch.stack(losses) * batch["weights"]).mean()
