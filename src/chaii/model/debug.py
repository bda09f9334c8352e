"""Looks at a training before it is paid for: one batch as text, and one batch learned by heart."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from transformers import PreTrainedModel

from chaii.config.schema import TrainConfig
from chaii.model.collate import Batch, PlanDataset, collate, takes_type_ids
from chaii.recipe.token_store import Stores

_NEAR_ZERO = 0.1  # a loss of one batch that has been learned
_SHOWN = 10  # first and last tokens of a window


def describe_batch(
    plan: pd.DataFrame, stores: Stores, model: Any, tokenizer: Any, *, config: TrainConfig
) -> str:
    """Describe the first batch of a plan as the model is given it, cutout included."""
    size = config.trainer.per_device_train_batch_size
    dataset = PlanDataset(plan, stores, cutout_config=config.recipe.cutout, seed=config.seed)
    features = [dataset[number] for number in range(min(size, len(dataset)))]
    batch = collate(features, template=dataset.template, type_ids=takes_type_ids(model))
    padding = 1 - float(batch["attention_mask"].float().mean())
    tensors = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in batch.items())
    lines = [f"the first batch: {tensors}", f"{padding:.1%} of its tokens are padding"]
    for number, row in enumerate(plan.head(size).itertuples()):
        place = f"stage {row.stage}, corpus {row.corpus}, row {row.example}"
        lines += [f"\nwindow {number}: {place}", *_describe_window(batch, number, tokenizer)]
    return "\n".join(lines)


def _describe_window(batch: Batch, number: int, tokenizer: Any) -> list[str]:
    """Tell the tokens, the padding and the answers of a window, as its labels place them."""
    given = int(batch["attention_mask"][number].sum())
    padding = batch["attention_mask"].shape[1] - given
    ids = batch["input_ids"][number, :given].tolist()
    tokens = tokenizer.convert_ids_to_tokens(ids)
    lines = [f"  {given} tokens, {padding} of padding"]
    lines.append(f"  {' '.join(tokens[:_SHOWN])} ... {' '.join(tokens[-_SHOWN:])}")
    starts, ends = (batch[f"{side}_positions"][number] for side in ("start", "end"))
    for start, end in zip(sorted(starts.tolist()), sorted(ends.tolist()), strict=False):
        if start >= 0:
            text = tokenizer.decode(ids[start : end + 1])
            lines.append(f"  label: tokens {start} to {end}: {text}")
    return lines


def repeat_batch(plan: pd.DataFrame, *, size: int, steps: int) -> pd.DataFrame:
    """Repeat the first `size` windows with an answer, so that each of `steps` steps holds them.

    >>> plan = pd.DataFrame({"example": [0, 1, 2], "start_token": [-1, 5, 7]})
    >>> repeat_batch(plan, size=2, steps=2)["example"].tolist()
    [1, 2, 1, 2]
    """
    answered = plan[plan["start_token"] >= 0].head(size)
    return pd.concat([answered] * steps, ignore_index=True)


def describe_overfit(
    history: Sequence[Mapping[str, Any]], model: PreTrainedModel, *, config: TrainConfig
) -> str:
    """Tell that one batch was learned, by the logged losses.

    Raises:
        ValueError: it was not; the message names what to look at.
    """
    losses = [line["loss"] for line in history if line.get("loss") is not None]
    fell = f"the loss of one batch went from {losses[0]:.3g} to {min(losses):.3g}"
    if min(losses) <= _NEAR_ZERO:
        return f"{fell} in {len(losses)} steps: the model learns"
    weights = list(model.parameters())
    frozen = sum(not weight.requires_grad for weight in weights)
    raise ValueError(
        f"debug=overfit: {fell} in {len(losses)} steps, it must reach {_NEAR_ZERO}; look at the "
        f"labels (debug=shapes shows them), at backbone.learning_rate="
        f"{config.backbone.learning_rate:g}, and at frozen layers ({frozen} of {len(weights)} "
        "weights get no gradient)"
    )
