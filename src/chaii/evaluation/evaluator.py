"""Answer held-out examples with a model, and score the answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset
from transformers import PreTrainedModel

from chaii.config.schema import TrainConfig
from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.decode import decode_answers
from chaii.evaluation.metrics import METRICS, score_answers, score_rows
from chaii.model.predict import predict_logits
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction


class Evaluator:
    """Answers the held-out examples with a model, and scores the answers."""

    def __init__(self, config: TrainConfig, examples: Dataset, tokenizer: Any) -> None:
        self._trainer = config.trainer
        self._examples = examples
        self._golds = list(examples["answer_text"]), list(examples["language"])
        self._store = open_store(examples, tokenizer, Path(config.paths.tokens))
        self._windows = slide(
            self._store,
            max_length=config.recipe.predict_max_length,
            doc_stride=config.recipe.predict_doc_stride,
        )

    def score(self, model: PreTrainedModel) -> dict[str, float]:
        """Jaccard, exact match and F1 over all held-out rows."""
        answers = self._answer(self._predict(model))
        scores = score_answers(list(answers["prediction"]), *self._golds)
        return {name: float(scores[name]) for name in METRICS}

    def finish(self, model: PreTrainedModel, folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
        """Store the logits in `folder`; return all scores and the table of held-out answers."""
        prediction = self._predict(model)
        prediction.save(folder)
        answers = self._answer(prediction).drop(columns="id")
        predictions = list(answers["prediction"])
        oof = pd.DataFrame({name: self._examples[name] for name in ("id", "corpus", "language")})
        oof = pd.concat([oof.assign(gold=self._golds[0]), answers], axis=1)
        oof["jaccard"] = score_rows(predictions, *self._golds)["jaccard"]
        return score_answers(predictions, *self._golds), oof

    def _predict(self, model: PreTrainedModel) -> Prediction:
        logits = predict_logits(
            model,
            self._windows,
            self._store,
            batch_size=self._trainer.predict_batch_size,
            precision=self._trainer.precision,
        )
        return Prediction(self._examples, self._windows, *logits)

    def _answer(self, prediction: Prediction) -> pd.DataFrame:
        logits = read_context_logits(
            prediction, self._store, max_answer_tokens=self._trainer.max_answer_tokens
        )
        return decode_answers(logits)


def format_scores(scores: Mapping[str, Any]) -> str:
    """A table of the scores: all rows, then each language."""
    rows = {"all": scores, **scores["language"]}
    table = pd.DataFrame(rows, index=[*METRICS, "rows"]).T.astype({"rows": int})
    return str(table.to_string(float_format="{:.4f}".format))
