"""Settings as a flat table of full keys: their old names, and what differs between two of them."""

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

_NO_RESULT = re.compile(  # settings that no result depends on
    r"overwrite|verify|on_warning|paths\..*|backbone\.licence"
    r"|corpora\.\w+\.(homepage|licence|description|download.*)"
    r"|trainer\.(restarts|num_workers|num_threads|logging_steps|tracker|predict_batch_size)"
)
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

_EXPORT = "write an export by scripts/export.py, read it by Reader(..., precision='onnx_int8')"
_WAY_OUT = {("precision", "int8"): _EXPORT}  # by setting and value that is gone: what to do instead


def flatten_settings(config: Any, *, inside: str = "") -> dict[str, Any]:
    """Every setting of a plain configuration under its full key.

    >>> flatten_settings({"recipe": {"stages": [{"shuffle": True}], "mixed": False}})
    {'recipe.stages[0].shuffle': True, 'recipe.mixed': False}
    """
    if isinstance(config, dict) and config:
        dot = "." if inside else ""
        parts = {f"{inside}{dot}{name}": value for name, value in config.items()}
    elif isinstance(config, list) and config:
        parts = {f"{inside}[{number}]": value for number, value in enumerate(config)}
    else:
        return {inside: config}
    flat = (flatten_settings(part, inside=name).items() for name, part in parts.items())
    return dict(chain.from_iterable(flat))


def describe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each setting that differs and that a result depends on: ``key=old (now new)``.

    A path inside a folder of `paths` is the same where that folder has moved.
    """
    changes = list_changes(_comparable(old), _comparable(new))
    return [f"{key}={before} (now {after})" for key, before, after in changes]


def list_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List key, old and new value of what differs; None where there is no such key."""
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [(key, old.get(key), new.get(key)) for key in keys]


def digest_settings(config: Mapping[str, Any]) -> str:
    """Digest the settings that a result depends on, without the run's own: name, fold and seed.

    What is off (false, 0, None, empty) does not count, so that a new setting changes no old digest,
    nor does a folder outside of `paths`, which is the machine's.
    """
    settings = {
        key: value
        for key, value in _comparable(config).items()
        if value and key not in ("name", "fold", "seed") and not Path(str(value)).is_absolute()
    }
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a result depends on, with paths inside the folders of `paths`."""
    folders = sorted(config.get("paths", {}).items(), key=lambda item: -len(item[1]))
    settings = flatten_settings(config)
    for key, value in settings.items():
        inside = [name for name, path in folders if str(value).startswith(f"{path}/")]
        if isinstance(value, str) and inside:
            rest = value.removeprefix(config["paths"][inside[0]])
            settings[key] = f"${{paths.{inside[0]}}}{rest}"
    return {key: value for key, value in settings.items() if not _NO_RESULT.fullmatch(key)}


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


def find_way_out(key: str, value: str) -> str | None:
    """Tell what to do instead of setting a value that is gone; None for any other value.

    >>> find_way_out("trainer.precision", "fp8")
    """
    return _WAY_OUT.get((key.rpartition(".")[2], value))


def list_renamed(config: Any) -> list[str]:
    """Tell ``old is now new`` for every setting of a plain configuration that has a new name."""
    keys = flatten_settings(config)
    return [f"{key} is now {new}" for key in keys if (new := find_renamed(key))]
