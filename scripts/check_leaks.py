"""Find training texts among held-out ones: ``scripts/check_leaks.py experiment=winner_119``.

Checks all corpora of a training configuration against each of its folds and, with --test, against
a file to be answered. Writes every pair as CSV.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
from datasets import Dataset, concatenate_datasets

from chaii.config.checks import check_train
from chaii.config.compose import compose_config
from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.config.errors import one_line_errors
from chaii.config.schema import TrainConfig
from chaii.corpus.leakage import count_leaks, find_leaks
from chaii.corpus.readers import read_corpus
from chaii.corpus.training_data import read_corpora, split_examples


def main() -> None:
    """Compare, print the counts, write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="as for train.py: experiment=winner_119")
    parser.add_argument("--test", help="file to be answered, beside the folds")
    parser.add_argument("--format", default="chaii_csv", choices=[f.value for f in CorpusFormat])
    parser.add_argument("--csv", type=Path, default="data/leaks.csv", help="is written")
    arguments = parser.parse_intermixed_args()
    with one_line_errors():
        conf = Path(__file__).parents[1] / "conf"
        config = check_train(compose_config(conf, "train", arguments.overrides))
        corpora = read_corpora(config)
        against = {}
        for fold in map(str, range(config.folds.num_folds)):
            against[f"fold {fold}"] = find_leaks(*split(replace(config, fold=fold), corpora))
        if arguments.test:
            source = CorpusConfig(CorpusFormat(arguments.format), arguments.test)
            train, _ = split(replace(config, fold="all"), corpora)
            against["test"] = find_leaks(train, read_corpus("test", source)[0])
        for name, leaks in against.items():
            table = count_leaks(leaks).to_markdown(index=False, tablefmt="github")
            print(f"\n{name}:", "none" if leaks.empty else f"\n\n{table}")
        pairs = pd.concat(against, names=["against"]).reset_index("against")
        sizes = {name: pairs[name].map(len) for name in ("train_rows", "held_out_rows")}
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        pairs.assign(**sizes).to_csv(arguments.csv, index=False)
        print(f"\n{arguments.csv}: {len(pairs):,} pairs")


def split(config: TrainConfig, corpora: dict[str, Dataset]) -> tuple[Dataset, Dataset | None]:
    """The examples to train on, and those held out."""
    rows, held_out = split_examples(config, corpora)
    return concatenate_datasets([corpora[name].select(rows[name]) for name in rows]), held_out


if __name__ == "__main__":
    main()
