"""Write a model card beside a run's weights, or push both: ``python scripts/publish.py RUN``."""

import argparse
from pathlib import Path

import yaml

from chaii.config.errors import ConfigError, one_line_errors

HUB = Path(__file__).parents[1] / "conf/corpora/hub"
PUBLISHED = ["README.md", "*.json", "*.safetensors", "*.model", "*.txt"]  # and nothing else


def main() -> None:
    """Choose a fold, write its card, and upload the folder if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run with finished folds")
    parser.add_argument("--fold", help="default: the one with the best Jaccard")
    parser.add_argument("--licence", help="of the weights, as the Hub names it: apache-2.0")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload to this model of the Hub")
    parser.add_argument("--private", action="store_true", help="if the model is new: hide it")
    parser.add_argument("--runs", type=Path, default=Path("data/runs"))
    arguments = parser.parse_args()
    with one_line_errors():
        from chaii.evaluation.model_card import choose_fold, render_card
        from chaii.files import write_whole
        from chaii.run_folder import find_runs

        folds = {run.fold: run for run in find_runs(arguments.runs, arguments.run)}
        if arguments.fold not in (None, *folds):
            raise ConfigError(f"fold={arguments.fold}: must be one of {', '.join(folds)}")
        run = folds[arguments.fold] if arguments.fold else choose_fold([*folds.values()])
        names = {f.stem: yaml.safe_load(f.read_text("utf-8"))["path"] for f in HUB.glob("*.yaml")}
        place = arguments.push or "path/to/this/folder"
        card = render_card(run, repository=place, licence=arguments.licence, hub_names=names)
        with write_whole(run.card) as building:
            building.write_text(card, encoding="utf-8")
        print(f"{run.card}: the card of fold {run.fold}")
        if arguments.push:
            print(push(run.model, arguments.push, private=arguments.private))


def push(folder: Path, repository: str, *, private: bool) -> str:
    """Upload weights, tokenizer and card; returns the address."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HTTPError  # of the library that it uses

    if get_token() is None:
        raise ConfigError("--push: needs a token; `hf auth login` stores one, or set HF_TOKEN")
    try:
        address = HfApi().create_repo(repository, private=private, exist_ok=True)
        HfApi().upload_folder(repo_id=repository, folder_path=folder, allow_patterns=PUBLISHED)
    except HTTPError as error:
        raise OSError(f"{repository}: cannot be uploaded: {error}") from error
    return str(address)


if __name__ == "__main__":
    main()
