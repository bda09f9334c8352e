"""Compose a configuration with Hydra, for a script's command line or from Python."""

import functools
import os
import re
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from io import TextIOWrapper
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

import chaii.config.environment  # noqa: F401 # finds git before a configuration can set PATH
from chaii.config.ensemble import EnsembleConfig
from chaii.config.errors import TRACEBACKS, Terminated, one_line_errors
from chaii.config.schema import TrainConfig
from chaii.config.search import SearchScriptConfig
from chaii.config.study import AblateConfig
from chaii.config.workers import FAILED, FailedJob, prepare_worker, register_resolvers, submitting

Job = Callable[[DictConfig], None]


def register_schemas() -> None:
    """Make the schemas known to Hydra, under the names that conf/*.yaml start from."""
    register_resolvers()
    schemas = {"train": TrainConfig, "ensemble": EnsembleConfig, "study": AblateConfig}
    for name, schema in (schemas | {"search": SearchScriptConfig}).items():
        ConfigStore.instance().store(name=f"{name}_schema", node=schema)


def compose_config(conf: Path, name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose ``<conf>/<name>.yaml`` with overrides as a command line has them.

    Raises:
        HydraException, OmegaConfBaseException: an override or a file that does not fit.
    """
    register_schemas()
    with hydra.initialize_config_dir(str(conf.resolve()), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides))


def read_overrides(parser: ArgumentParser, *, help: str) -> tuple[Namespace, list[str]]:
    """Read the command line of a script that Hydra does not run, but whose settings it composes.

    Overrides may stand anywhere, and ``--config-dir`` adds a folder of settings, as in the others.
    """
    parser.add_argument("overrides", nargs="*", help=help)
    parser.add_argument("--config-dir", help="a folder of further settings, laid out as conf/")
    arguments = parser.parse_intermixed_args()
    folder = arguments.config_dir
    more = [f"hydra.searchpath=[{Path(folder).resolve()}]"] if folder else []
    return arguments, [*map(quote_override, arguments.overrides), *more]


def hydra_script(config_name: str) -> Callable[[Job], Callable[[], None]]:
    """Decorate a script's ``main``: it gets what Hydra composes from ``conf/<config_name>.yaml``.

    An error is one line on stderr and exit status 1. In a sweep (``-m``) the other jobs still run,
    and the last line names those that failed, whichever launcher runs them.
    """

    def decorate(job: Job) -> Callable[[], None]:
        swept: set[str] = set()

        @functools.wraps(job)  # Hydra finds conf/ beside the file of the wrapped function
        def attempt(config: DictConfig) -> FailedJob | None:
            hydra_config = HydraConfig.get()
            if hydra_config.mode is not RunMode.MULTIRUN:
                with one_line_errors():
                    job(config)
                return None
            if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # one that fails would not stop the others
                raise SystemExit("error: -m: a sweep is one process; start torchrun for each run")
            given = list(hydra_config.overrides.task)
            try:
                with one_line_errors(tracebacks=TRACEBACKS):  # not a worker's, where `main` set it
                    prepare_worker(hydra_config)
                    job(name_sweep_run(config, given, swept=swept))
            except SystemExit as end:
                if not isinstance(end.code, str):
                    raise
                print(f"{' '.join(given)}: {end.code}", file=sys.stderr)
                return FailedJob(" ".join(given))
            return None

        def main() -> None:
            if int(os.environ.get("RANK", 0)):  # beside another process that torchrun started
                sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            register_schemas()
            signal.signal(signal.SIGTERM, _terminate)
            sys.argv[1:] = map(quote_override, sys.argv[1:])
            FAILED.clear()
            if isinstance(sys.stdout, TextIOWrapper):  # a locale may lack letters of our texts
                sys.stdout.reconfigure(errors="backslashreplace")
            os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises instead of printing
            run = hydra.main(version_base="1.3", config_path="../conf", config_name=config_name)
            with one_line_errors(), submitting():
                texts = [text for text in sys.argv[1:] if "=" in text and text[0] != "-"]
                given = OverridesParser.create().parse_overrides(texts)
                swept.update(one.key_or_group for one in given if one.is_sweep_override())
                run(attempt)()
            if FAILED:
                raise SystemExit(f"error: {len(FAILED)} jobs failed: {'; '.join(FAILED)}")

        return main

    return decorate


def load_libraries() -> None:
    """Load transformers, which takes seconds, without its own messages and progress bars."""
    print("loading torch and transformers ...", flush=True)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def quote_override(argument: str) -> str:
    """Quote the value of an override that Hydra takes only in quotes: one with other letters.

    >>> print(quote_override("paths.output=/data/परीक्षा"))
    paths.output="/data/परीक्षा"
    >>> quote_override("seed=1,2")
    'seed=1,2'
    """
    key, equals, value = argument.partition("=")
    if not equals or value.isascii() or re.search(r"[\"'{}\[\],$]", value):
        return argument
    return f'{key}="{value}"'


def name_sweep_run(
    config: DictConfig, overrides: Sequence[str], *, swept: AbstractSet[str]
) -> DictConfig:
    """Add each setting that a sweep varies to the name of the run, so that each run has its own.

    The fold is part of a run's path already, and an experiment has its own name.

    >>> config = DictConfig({"name": "demo"})
    >>> name_sweep_run(config, ["seed=2", "fold=0", "max_examples=9"], swept={"seed", "fold"})
    {'name': 'demo_seed2'}
    """
    values = dict(override.lstrip("+").split("=", 1) for override in overrides if "=" in override)
    leaves = [key.rpartition(".")[2] for key in swept]
    parts = [config.name] if "name" in config else []
    for key in sorted(swept - {"fold", "experiment", "name"} & values.keys()):
        leaf = key.rpartition(".")[2]
        label = leaf if leaves.count(leaf) == 1 else key
        parts.append(label + re.sub(r"[^\w.+-]+", "_", values[key]))
    named = config.copy()
    if parts:
        named.name = "_".join(parts)
    return named


def _terminate(*_: object) -> None:
    raise Terminated
