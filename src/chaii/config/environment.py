"""The environment of a run: versions, commit and changes, seed, hardware, command."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess  # nosec B404 # runs `git diff` alone
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("chaii", "torch", "transformers", "tokenizers", "datasets", "numpy", "pandas")
_GIT = shutil.which("git")  # found on import, before a configuration can set PATH
_ENVIRON = dict(os.environ)  # nor can it set what git reads or the system loads
_GIT_DIFF = (  # no program is started that a repository's settings name
    *(_GIT or "", "--no-optional-locks", "-c", "core.fsmonitor=false", "diff", "--no-color"),
    *("--no-ext-diff", "--no-textconv", "HEAD", "--", ":/src", ":/conf", ":/scripts"),
)
_QUIET = ("hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=none")


def describe_environment(seed: int) -> dict[str, Any]:
    """Versions, commit, seed and hardware, as they are now."""
    import torch

    package = Path(__file__).parents[1]
    source = b"".join(path.read_bytes() for path in sorted(package.rglob("*.py")))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
        "commit": read_commit(package),
        "source": hashlib.blake2b(source, digest_size=10).hexdigest(),  # tells uncommitted changes
        "seed": seed,
        "hardware": {"cpu": _cpu_name(), "cores": os.cpu_count(), "gpus": gpus},
        "threads": torch.get_num_threads(),
    }


def read_commit(folder: Path) -> str | None:
    """The commit that is checked out around `folder`; None outside a repository.

    The files under ``.git`` are read: a ``git`` found through PATH may be any program.
    """
    roots = [parent / ".git" for parent in folder.resolve().parents]
    git = next((path for path in roots if path.exists()), None)
    if git is None:
        return None
    if git.is_file():  # a linked worktree: "gitdir: <folder>"
        git = Path(git.parent, git.read_text(encoding="utf-8").split(maxsplit=1)[1].strip())
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref: "):
        return head
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    reference = head.removeprefix("ref: ")
    if (shared / reference).is_file():
        return (shared / reference).read_text(encoding="utf-8").strip()
    packed = shared / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {reference}")), None)


@cache
def read_changes(folder: Path) -> str | None:
    """Read how code and settings around `folder` differ from the commit, as a patch.

    What git does not track is left out. The first answer in a process stays: its code does too.
    None outside a repository, or where there is no git.
    """
    if _GIT is None or read_commit(folder) is None:
        return None
    try:
        done = subprocess.run(  # nosec B603 # a list, no shell
            _GIT_DIFF, cwd=folder, env=_ENVIRON, capture_output=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def describe_command(folder: Path) -> str:
    """Write the command that trains the run of a folder again, with its settings and threads.

    The command is to be given where the run was trained, for its paths may be relative.
    """
    import torch

    processes = os.environ.get("WORLD_SIZE", "1")  # set by torchrun
    start = ["chaii"]
    if processes != "1":
        start = ["torchrun", "--standalone", f"--nproc_per_node={processes}", "-m", "chaii"]
    stored = "--config-dir", str(folder), "--config-name", "config"
    threads = f"trainer.num_threads={torch.get_num_threads()}"
    return shlex.join([*start, "train", *stored, "overwrite=true", threads, *_QUIET])


def _cpu_name() -> str:
    """Model name of the processor, as far as the system tells it."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
