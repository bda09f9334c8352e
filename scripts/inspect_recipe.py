"""Look at a recipe before paying for a GPU: ``scripts/inspect_recipe.py experiment=winner_119``."""

from pathlib import Path

from omegaconf import DictConfig

from chaii.config.checks import check_train
from chaii.config.compose import hydra_script


@hydra_script("train")
def main(config: DictConfig) -> None:
    """Print the plan's size, mix and hours as tables; draw it beside the runs."""
    checked = check_train(config)
    from chaii.evaluation.plots import draw_plan
    from chaii.recipe import plan_summary as summary
    from chaii.train import prepare_fold

    prepared = prepare_fold(checked)
    plan = prepared.make_plan(checked.seed)
    backbone, batch_size = checked.backbone, checked.trainer.per_device_train_batch_size
    step = backbone.effective_batch_size
    table = summary.summarise_plan(plan, batch_size=batch_size, effective_batch_size=step)
    print(f"\n{checked.name}, {backbone.name}: batches of {batch_size}, {step} windows per step")
    print("(padding: share of the computed tokens; negatives, corpora: shares of the windows)\n")
    print(summary.format_summary(table, title="plan"))
    languages = {name: list(part["language"]) for name, part in prepared.corpora.items()}
    mix = summary.summarise_languages(plan, languages)
    print("\n" + summary.format_summary(mix, title="language"))

    tokens = table.loc["all", "tokens"] / (1 - table.loc["all", "padding"])
    print("\n" + summary.format_hours(tokens, encoder_millions=backbone.encoder_millions))

    stores, rows = prepared.stores, prepared.rows
    sources = summary.summarise_sources(checked.recipe, stores, rows=rows, plan=plan)
    print("\nSources before sampling\n")
    print(sources.to_markdown(index=False, tablefmt="github", intfmt=",", floatfmt=".1%"))

    print()
    prepared.check(plan)
    path = Path(checked.paths.output, f"plan_{checked.name}.png")
    draw_plan(plan, effective_batch_size=step).savefig(path)
    print(f"\npicture: {path}")


if __name__ == "__main__":
    main()
