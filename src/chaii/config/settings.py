"""Settings as a flat table of full keys, and what differs between two of them."""

import re
from collections.abc import Mapping
from typing import Any

_NO_RESULT = re.compile(  # settings that no result depends on
    r"overwrite|paths\..*|corpora\.\w+\.(homepage|licence|description|download.*)"
    r"|trainer\.(restarts|num_workers|num_threads|logging_steps|predict_batch_size)"
)


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
    return {
        key: leaf
        for name, part in parts.items()
        for key, leaf in flatten_settings(part, inside=name).items()
    }


def describe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each setting that differs and that a result depends on: ``key=old (now new)``.

    A path inside a folder of `paths` is the same where that folder has moved.
    """
    before, after = _comparable(old), _comparable(new)
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return [f"{key}={before.get(key)} (now {after.get(key)})" for key in keys]


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
