"""Answer held-out examples with a model, and score the answers."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel

from chaii.config.schema import TrainConfig
from chaii.decoding.context_logits import read_context_logits
from chaii.decoding.decode import decode_answers
from chaii.evaluation.metrics import METRICS, score_answers
from chaii.evaluation.oof_table import make_oof_table, write_oof_table
from chaii.model.predict import predict_logits
from chaii.recipe.token_store import open_store
from chaii.recipe.windows import slide
from chaii.run_folder import Prediction, RunFolder


class Evaluator:
    """Scores models on the same held-out examples, whose windows it cuts once."""

    def __init__(self, config: TrainConfig, examples: Dataset, tokenizer: Any) -> None:
        self._trainer = config.trainer
        self._examples = examples
        tokens = Path(config.paths.tokens)
        self._store = open_store(examples, tokenizer, tokens, verify=config.verify)
        length, stride = config.recipe.predict_max_length, config.recipe.predict_doc_stride
        self._windows = slide(self._store, max_length=length, doc_stride=stride)

    def score(self, model: PreTrainedModel) -> dict[str, float]:
        """Jaccard, exact match and F1 of all examples, and the Jaccard of each language."""
        scores = self.evaluate(model)
        languages = scores["language"].items()
        by_language = {f"jaccard_{name}": part["jaccard"] for name, part in languages}
        return {name: scores[name] for name in METRICS} | by_language

    def evaluate(self, model: PreTrainedModel, *, run: RunFolder | None = None) -> dict[str, Any]:
        """Predict, decode and score all examples; the scores are those of `score_answers`.

        With `run`, the logits and the out-of-fold table are written into its folder.
        """
        inputs, trainer = (model, self._windows, self._store), self._trainer
        size, precision = trainer.predict_batch_size, trainer.precision
        logits = predict_logits(*inputs, batch_size=size, precision=precision)
        prediction = Prediction(self._examples, self._windows, *logits)
        most = self._trainer.max_answer_tokens
        of_contexts = read_context_logits(prediction, self._store, max_answer_tokens=most)
        answers = decode_answers(of_contexts)
        if run:
            Prediction.write(run.logits, self._examples, self._windows, [logits])
            write_oof_table(run.oof, make_oof_table(self._examples, answers))
        golds, languages = self._examples["answer_text"][:], self._examples["language"][:]
        return score_answers(answers["prediction"].to_list(), golds, languages)
