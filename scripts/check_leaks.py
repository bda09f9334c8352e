"""Find training texts among held-out ones: ``scripts/check_leaks.py experiment=winner_119``.

Checks all corpora of a training configuration against each of its folds and, with --test, against
a file to be answered: ``--test PATH format=squad_json language=hindi``. Writes the pairs as CSV.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from chaii.config.checks import check_train
from chaii.config.compose import compose_config, read_overrides
from chaii.config.corpora import CorpusConfig
from chaii.config.errors import one_line_errors
from chaii.corpus.leakage import count_leaks, find_leaks, list_pairs
from chaii.corpus.readers import read_corpus
from chaii.corpus.training_data import join_rows, read_corpora, split_examples

CONF = Path(__file__).parents[1] / "conf"


def main() -> None:
    """Compare, print the counts, write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test", nargs="+", help="file to be answered: PATH [SETTING=VALUE ...]")
    parser.add_argument("--csv", type=Path, default="data/leaks.csv", help="is written")
    arguments, overrides = read_overrides(parser, help="as for train.py: experiment=winner_119")
    with one_line_errors():
        config = check_train(compose_config(CONF, "train", overrides))
        corpora = read_corpora(config)
        against = {}
        for fold in map(str, range(config.folds.num_folds)):
            rows, held_out = split_examples(replace(config, fold=fold), corpora)
            against[f"fold {fold}"] = find_leaks(join_rows(corpora, rows), held_out)
        if arguments.test:
            path, *settings = arguments.test
            given = OmegaConf.from_dotlist(["format=chaii_csv", *settings])
            source = OmegaConf.to_object(OmegaConf.merge(CorpusConfig, {"path": path}, given))
            rows, _ = split_examples(replace(config, fold="all"), corpora)
            against["test"] = find_leaks(join_rows(corpora, rows), read_corpus("test", source)[0])
        for name, leaks in against.items():
            table = count_leaks(leaks).to_markdown(index=False, tablefmt="github")
            print(f"\n{name}:", "none" if leaks.empty else f"\n\n{table}")
        pairs = pd.concat(against, names=["against"]).reset_index("against")
        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        list_pairs(pairs).to_csv(arguments.csv, index=False)
        print(f"\n{arguments.csv}: {len(pairs):,} pairs")


if __name__ == "__main__":
    main()
