"""Look at a recipe before paying for a GPU: ``python scripts/inspect_recipe.py recipe=demo``."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from chaii.config import register_schemas
from chaii.config_rules import check_train, one_line_errors

register_schemas()


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(config: DictConfig) -> None:
    """Print the plan's table, mix and hours; write its picture beside the runs."""
    with one_line_errors():
        checked = check_train(config)
        from chaii.fold import prepare_fold
        from chaii.plots import draw_plan
        from chaii.recipe.summary import estimate_hours, summarise_languages, summarise_plan

        prepared = prepare_fold(checked)
        plan = prepared.make_plan(checked.seed)
        batches = {
            "batch_size": checked.trainer.batch_size,
            "windows_per_step": checked.backbone.windows_per_step,
        }
        table = summarise_plan(plan, **batches)
        print(table.to_string(float_format="{:.3f}".format, na_rep="-"))
        languages = {name: list(rows["language"]) for name, rows in prepared.corpora.items()}
        print(summarise_languages(plan, languages).to_string(float_format="{:.3f}".format))
        if checked.backbone.encoder_millions:
            tokens = table.loc["all", "tokens"] / (1 - table.loc["all", "padding"])
            hours = estimate_hours(tokens, encoder_millions=checked.backbone.encoder_millions)
            print("hours: " + ", ".join(f"{gpu} {value:.1f}" for gpu, value in hours.items()))

        figure = draw_plan(plan, windows_a_step=batches["windows_per_step"])
        path = Path(checked.paths.output) / f"plan_{checked.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        print(path)


if __name__ == "__main__":
    main()
