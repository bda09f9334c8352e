"""Look at a recipe before paying for a GPU: ``scripts/inspect_recipe.py experiment=winner_119``."""

from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from chaii.config.checks import check_train
from chaii.config.compose import hydra_script


@hydra_script("train")
def main(config: DictConfig) -> None:
    """Print the plan's table, mix and hours; write its picture beside the runs."""
    checked = check_train(config)
    from chaii.evaluation.plots import draw_plan
    from chaii.recipe import plan_summary as summary
    from chaii.train import prepare_fold

    prepared = prepare_fold(checked)
    plan = prepared.make_plan(checked.seed)
    backbone, batch_size = checked.backbone, checked.trainer.per_device_train_batch_size
    step = backbone.effective_batch_size
    table = summary.summarise_plan(plan, batch_size=batch_size, effective_batch_size=step)
    counts = table[["windows", "steps", "tokens", "padding", "negatives"]]
    print(f"\n{checked.name}, {backbone.name}: batches of {batch_size}, {step} windows a step")
    formats = dict.fromkeys(["windows", "steps", "tokens"], "{:,}".format)
    print(counts.to_string(formatters=formats, float_format="{:.1%}".format))
    print("padding: share of the tokens computed; negatives: share of windows without answer")

    languages = {name: list(part["language"]) for name, part in prepared.corpora.items()}
    corpora = table.drop(columns=list(counts)).fillna(0)
    mix = {"corpus": corpora.T, "language": summary.summarise_languages(plan, languages).T}
    print("\nshare of windows")
    print(pd.concat(mix).to_string(float_format="{:.1%}".format))

    tokens = counts.loc["all", "tokens"] / (1 - counts.loc["all", "padding"])
    print("\n" + summary.format_hours(tokens, encoder_millions=backbone.encoder_millions))

    print("\nbefore sampling")
    stores, rows = prepared.stores, prepared.rows
    parts = summary.summarise_sources(checked.recipe, stores, rows=rows, plan=plan)
    formats = dict.fromkeys(["windows", "negatives"], "{:,}".format)
    print(parts.to_string(index=False, formatters=formats, float_format="{:.1%}".format))

    path = Path(checked.paths.output, f"plan_{checked.name}.png")
    draw_plan(plan, effective_batch_size=step).savefig(path)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
