"""Several processes that train one model, as torchrun starts them; one of them leads."""

import atexit
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import distributed

_Value = TypeVar("_Value")
_PATIENCE = timedelta(days=2)  # the leading process prepares and scores while the others wait


def join_processes() -> PartialState:
    """Meet the processes that torchrun started; without torchrun there is this one alone."""
    processes = PartialState(cpu=not torch.cuda.is_available())
    if processes.num_processes > 1:
        _line()  # from the beginning: one that waits in it is told when another ends
    return processes


def share(value: _Value | None = None) -> _Value:
    """Return in every process what the leading one passes; the others wait for it.

    Raises:
        SystemExit: the leading process has ended with an error, which it tells itself.
    """
    shared: list[Any] = [value]
    if join_processes().num_processes > 1:
        try:
            distributed.broadcast_object_list(shared, group=_line())
        except RuntimeError as error:
            raise SystemExit(1) from error
    result: _Value = shared[0]
    return result


def once(job: Callable[[], _Value]) -> _Value:
    """Do `job` in the leading process; return its result in every process."""
    return share(job() if join_processes().is_main_process else None)


def anywhere(flag: bool) -> bool:
    """Whether `flag` holds in any process."""
    if join_processes().num_processes == 1:
        return flag
    votes = torch.tensor(int(flag))
    distributed.all_reduce(votes, distributed.ReduceOp.MAX, group=_line())
    return bool(votes)


@cache
def _line() -> Any:
    """Open a line between the processes that a GPU's time limits do not hold for."""
    atexit.register(distributed.destroy_process_group)  # its threads must end before Python does
    return distributed.new_group(backend="gloo", timeout=_PATIENCE)
