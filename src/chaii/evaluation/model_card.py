"""The card of published weights: metadata that the Hub reads, scores, and how to use them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chaii.config.checks import check_train
from chaii.config.schema import TrainConfig
from chaii.evaluation.error_report import LANGUAGE_CODES
from chaii.evaluation.leaderboard import describe_run, escape_markdown, render_table
from chaii.files import reading
from chaii.run_folder import RunFolder

_METRICS = {"jaccard": "jaccard", "exact": "exact_match", "f1": "f1"}  # ours, and the Hub's names
_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def choose_fold(runs: Sequence[RunFolder]) -> RunFolder:
    """Choose the fold with the best Jaccard; one that held out rows goes before one that did not.

    Raises:
        ValueError: the metrics of a fold cannot be read.
    """
    return max(runs, key=lambda run: next((part["jaccard"] for part in _read_scores(run)), -1.0))


def render_card(
    run: RunFolder, *, repository: str, licence: str | None, hub_names: Mapping[str, str]
) -> str:
    """Render the card of a fold: Markdown after the metadata, which are YAML.

    All names in the run folder are escaped, since others may have made it.

    Args:
        run: a finished fold.
        repository: where the weights can be loaded from: a name on the Hub or a folder.
        licence: of the weights, as the Hub names it; None: that of the backbone.
        hub_names: data sets on the Hub, by the names of the corpora.

    Raises:
        ValueError: a file of the run folder cannot be read or lacks a value.
    """
    from huggingface_hub import ModelCard, ModelCardData

    with reading(run.config):
        config = check_train(run.read_config())
    scores = list(_read_scores(run))
    used = {source.corpus for stage in config.recipe.stages for source in stage.sources}
    corpora = {name: corpus for name, corpus in config.corpora.items() if name in used}
    spoken = {part["language"] for part in scores[1:]}
    for corpus in corpora.values():
        spoken |= {*corpus.languages, corpus.language}
    base = _find_base(config)
    shown = pd.DataFrame(scores).map(lambda it: f"{it:.3f}" if isinstance(it, float) else str(it))
    data = ModelCardData(
        language=sorted(LANGUAGE_CODES[name] for name in spoken if name in LANGUAGE_CODES) or None,
        license=_clean(licence or config.backbone.licence) or None,
        library_name="transformers",
        pipeline_tag="question-answering",
        tags=["extractive-question-answering", "chaii"],
        datasets=sorted(hub_names[name] for name in corpora if name in hub_names) or None,
        base_model=base,
        metrics=list(_METRICS.values()),
        model_name=_clean(config.name),
        eval_results=_list_results(scores, config, hub_names) or None,
    )
    sources = [(name, of.licence, of.homepage) for name, of in sorted(corpora.items())]
    table = pd.DataFrame(sources, columns=["corpus", "licence", "source"])
    card = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        title=escape_markdown(config.name),
        base=escape_markdown(base or ""),
        scratch=config.backbone.scratch is not None,
        teachers=escape_markdown(", ".join(config.distill.teachers)),
        licence=escape_markdown(data.license or ""),
        repository=repository,
        config=config,
        fold=escape_markdown(run.fold),
        corpora=render_table(table),
        scores=render_table(shown) if scores else "",
        line=render_table(pd.DataFrame([describe_run(run.root, run.name)])) if scores else "",
    )
    return str(card)


def _read_scores(run: RunFolder) -> Iterator[dict[str, Any]]:
    """Read the scores of all held-out rows, then of each language; a fold may have none."""
    metrics = run.read_metrics()
    if not metrics.get("rows"):
        return
    with reading(run.metrics):
        parts = {"all": metrics, **metrics.get("language", {})}
        for language, part in parts.items():
            if lacking := [name for name in ("rows", *_METRICS) if name not in part]:
                raise ValueError(f"lacks {', '.join(lacking)}")
            scores = {name: float(part[name]) for name in _METRICS}
            for name, score in scores.items():
                if not 0 <= score <= 1:
                    raise ValueError(f"{name}={score}: must be from 0 to 1")
            yield {"language": language, "rows": int(part["rows"]), **scores}


def _list_results(
    scores: Sequence[Mapping[str, Any]], config: TrainConfig, hub_names: Mapping[str, str]
) -> list[Any]:
    """List the scores as the Hub's model index has them."""
    from huggingface_hub import EvalResult

    corpora = [_clean(name) for name in config.folds.validation_corpora]
    return [
        EvalResult(
            task_type="question-answering",
            dataset_type=hub_names.get(corpora[0], corpora[0]),
            dataset_name=f"{', '.join(corpora)}, held-out rows",
            dataset_config=None if part is scores[0] else _clean(part["language"]),
            metric_type=theirs,
            metric_value=round(part[ours], 4),
        )
        for part in scores
        for ours, theirs in _METRICS.items()
    ]


def _find_base(config: TrainConfig) -> str | None:
    """Find the Hub's name of the weights that were fine-tuned; None for a folder or scratch."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    base = config.backbone.pretrained
    try:
        validate_repo_id(base or "")
    except HFValidationError:
        return None
    return base


def _clean(text: str) -> str:
    return " ".join(text.split())
