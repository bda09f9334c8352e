"""Keep the rows of a corpus most like another: ``python scripts/filter_questions.py``.

Writes the file that the corpus names as keep_ids, and a report beside it. By default it chooses as
many rows of Natural Questions as the winner kept, those most like TyDi's English questions.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from chaii.config.checks import count
from chaii.config.compose import read_overrides
from chaii.config.corpora import CorpusConfig
from chaii.config.errors import ConfigError, one_line_errors
from chaii.corpus.catalogue import load_catalogue
from chaii.corpus.question_filter import compare_questions, count_kept, format_similarity
from chaii.corpus.readers import read_corpus
from chaii.corpus.records import KEPT_IDS

CONF = Path(__file__).parents[1] / "conf"


def main() -> None:
    """Read two corpora, compare their questions, write the ids and the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="natural_questions", help="the corpus to filter")
    parser.add_argument("--like", default="tydi_goldp_english", help="the corpus to compare with")
    parser.add_argument("--keep", type=float, default=10_700, help="a share, or a number of rows")
    parser.add_argument("--seed", type=count, default=2021)
    arguments, overrides = read_overrides(parser, help="settings: paths=kaggle")
    with one_line_errors():
        name, like = arguments.corpus, arguments.like
        paths, corpora = load_catalogue(CONF, [name, like], overrides=overrides)
        target = corpora[name].keep_ids
        if target is None:
            raise ConfigError(f"corpora.{name}.keep_ids: must name a file")
        cache = Path(paths.tokens) / "corpora"
        ids, candidates = read_questions(name, corpora[name], cache)
        kept = count_kept(len(ids), arguments.keep)
        _, targets = read_questions(like, corpora[like], cache)
        similarity = compare_questions(targets, candidates, seed=arguments.seed)
        report = format_similarity(candidates, similarity, kept)
        rows = similarity.rank()[:kept]
        scores = (f"{score:.6f}" for score in similarity.scores[rows])
        KEPT_IDS.write(Path(target), zip((ids[row] for row in rows), scores, strict=True))
        Path(target).with_suffix(".md").write_text(report, encoding="utf-8")
        print(report)


def read_questions(name: str, corpus: CorpusConfig, cache: Path) -> tuple[list[str], list[str]]:
    """Ids and questions of the rows that have an answer."""
    examples, _ = read_corpus(name, replace(corpus, keep_ids=None), cache=cache)
    answered = [row for row, starts in enumerate(examples["answer_start"][:]) if starts]
    chosen = examples.select(answered)
    return chosen["id"][:], chosen["question"][:]


if __name__ == "__main__":
    main()
