"""Errors as one line: what is wrong with a setting or a file, and the rule it breaks."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from difflib import get_close_matches

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from safetensors import SafetensorError
from yaml import MarkedYAMLError

from chaii.config.settings import find_renamed, find_way_out

EXPECTED = (
    ValueError,
    OSError,
    ArithmeticError,
    HydraException,
    OmegaConfBaseException,
    MarkedYAMLError,
    SafetensorError,
    BrokenExecutor,
)  # what a setting, a file, a collapsed training or a killed worker raises; others are our faults
_SHOWN = 5  # items of a list in an error
TRACEBACKS = "HYDRA_FULL_ERROR" in os.environ


class ConfigError(ValueError):
    """A setting that cannot work; the message names the key, the value and the rule."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


@contextmanager
def one_line_errors(*, tracebacks: bool = TRACEBACKS) -> Iterator[None]:
    """Turn each of the `EXPECTED` errors into one line and exit status 1.

    Ctrl-C gives exit status 130, SIGTERM 143, an output that nobody reads 141. With `tracebacks`,
    by default where the environment variable HYDRA_FULL_ERROR is set, the traceback is printed too.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Terminated:
        raise SystemExit(143) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except EXPECTED as error:
        if tracebacks:
            raise
        raise SystemExit(f"error: {describe_error(error)}") from error


def list_first(items: Sequence[str], *, separator: str = ", ") -> str:
    """Join the first items of a list, and count the others.

    >>> list_first(["fold", "name", "seed", "a", "b", "c", "d"])
    'fold, name, seed, a, b and 2 more'
    """
    more = len(items) - _SHOWN
    return separator.join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def describe_error(error: BaseException) -> str:
    """Describe one of the `EXPECTED` errors in one line.

    >>> describe_error(FileNotFoundError(2, "No such file or directory", "data/raw"))
    'data/raw: No such file or directory'
    """
    cause = error.__cause__ or error.__context__
    if isinstance(error, MissingConfigException):
        return _describe_missing(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: no override of the form key=value; quote special characters"
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        place = str(error).partition("'")[2].partition("'")[0]
        in_file = f"{place}.yaml: " if str(error).startswith("In ") else ""
        return in_file + _describe_setting(cause)
    if isinstance(error, OmegaConfBaseException):
        return _describe_setting(error)
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}: {error.problem}"
    if isinstance(error, UnicodeDecodeError):  # of a YAML file, whose name Hydra does not tell
        before = error.object[max(0, error.start - 40) : error.end]
        return f"{before!r}: must be UTF-8; save the file so"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or error}"
    return " ".join(str(error).split())


def _describe_missing(error: MissingConfigException) -> str:
    """Name a group's option, or a file, that Hydra does not find, and one that is meant perhaps."""
    option = str(error.missing_cfg_file)
    group, _, name = option.rpartition("/")
    if group == "hydra/launcher" and name.startswith(("joblib", "submitit_")):
        return f"{group}={name}: is not installed; run: pip install -e '.[cluster]'"
    meant = get_close_matches(name, error.options or (), n=1)
    known = f"one of {', '.join(error.options)}" if error.options else ""
    hint = f"is {meant[0]} meant?" if meant else known
    return f"{group or 'config'}={name}: conf/ has no {option}.yaml" + (f"; {hint}" if hint else "")


def _describe_setting(error: OmegaConfBaseException) -> str:
    """Name a setting and its fault; of one that does not exist, its new name or a like one."""
    fault = str(error).partition("\n")[0]
    invalid = re.match(r"Invalid value '(.*?)'", fault)
    if invalid and (way := find_way_out(error.full_key or "", invalid[1])):
        return f"{error.full_key}={invalid[1]}: is gone; {way}"
    if not isinstance(error, ConfigAttributeError | ConfigKeyError):
        return f"{error.full_key}: {fault}" if error.full_key else fault
    key, siblings = str(error.full_key), []
    if new := find_renamed(key):
        return f"{key}: has a new name, {new}"
    if error.object_type is dict:
        return f"{key}: not set yet; +{key}=... adds it"
    if error.parent_node is not None:
        siblings = [str(name) for name in error.parent_node]
    meant = get_close_matches(key.rpartition(".")[2], siblings, n=1)
    return f"{key}: no such setting" + (f"; is {meant[0]} meant?" if meant else "")
