"""Settings that had another name once: an old file or command is told the new one."""

import re
from typing import Any

from chaii.config.settings import flatten_settings

RENAMED = {  # a pattern of the old key, and what takes its place; applied in this order
    r"backbone.windows_per_step": "backbone.effective_batch_size",
    r"backbone.warmup": "backbone.warmup_ratio",
    r"trainer.batch_size": "trainer.per_device_train_batch_size",
    r"trainer.evaluations": "trainer.num_evaluations",
    r"trainer.workers": "trainer.num_workers",
    r"trainer.threads": "trainer.num_threads",
    r"trainer.scheduler": "trainer.lr_scheduler_type",
    r"trainer.log_every": "trainer.logging_steps",
    r"recipe.predict_stride": "recipe.predict_doc_stride",
    r"recipe.stages.(\d+).ingredients": r"recipe.stages.\1.sources",
    r"recipe.stages.(\d+).sources.(\d+).stride": r"recipe.stages.\1.sources.\2.doc_stride",
    r"recipe.stages.(\d+).sources.(\d+).limit": r"recipe.stages.\1.sources.\2.max_examples",
    r"corpora.sources": "corpora",
    r"corpora.limit": "max_examples",
    r"corpora.(\w+).limit": r"corpora.\1.max_examples",
    r"corpora.(\w+).source": r"corpora.\1.homepage",
    r"folds.validated": "folds.validation_corpora",
    r"folds.count": "folds.num_folds",
    r"blend": "ensemble",
    r"budget": "time_budget",
    r"method.voice": "method.group",
}


def find_renamed(key: str) -> str | None:
    """Give the new name of an old key, or of a key inside an old group; None for any other.

    A key without its group, as an error inside a list has it, is looked up by its last part.

    >>> find_renamed("corpora.sources.squad.limit")
    'corpora.squad.max_examples'
    >>> find_renamed("recipe.stages[0].ingredients[1].stride")
    'recipe.stages.0.sources.1.doc_stride'
    >>> find_renamed("stride")
    'doc_stride'
    """
    renamed = old_key = key.replace("[", ".").replace("]", "")
    for old, new in RENAMED.items():
        renamed = re.sub(rf"^{old}(?=\.|$)", new, renamed)
        if old.rpartition(".")[2] == key != old:
            renamed = new.rpartition(".")[2]
    return renamed if renamed != old_key else None


def list_renamed(config: Any) -> list[str]:
    """Tell ``old is now new`` for every setting of a plain configuration that has a new name."""
    keys = flatten_settings(config)
    return [f"{key} is now {new}" for key in keys if (new := find_renamed(key))]
