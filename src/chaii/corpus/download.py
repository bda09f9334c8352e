"""Fetch corpora from where they are published to where `conf/corpora` looks for them."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.fetch import DownloadError, Lock, fetch_file

_BY_HAND = "placed by hand, not checked"
_HUB = re.compile(
    r"hf://datasets/(?P<repository>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<path>.+)"
)


def download_corpus(name: str, corpus: CorpusConfig, lock: Lock) -> Iterator[tuple[Path, str]]:
    """Fetch what `corpus.download` lists; yields each file or folder and how it came there.

    An address is a file (``https://…``; a zip file is unpacked), files of a Hub dataset
    (``hf://datasets/<owner>/<name>[@<revision>]/<path or pattern>``) or all files of a Kaggle
    competition (``kaggle:<name>``). They go to the folder that `corpus.path` begins with. A corpus
    whose files were placed there by hand is left alone; one of format hub that lists nothing is
    fetched by its reader into the cache of `datasets`, where `hub.revision` alone vouches for it.

    Raises:
        DownloadError: no network, no access, a content other than the recorded one, or files
            that `corpus.path` does not match.
    """
    try:
        if corpus.format is CorpusFormat.hub and not corpus.download:
            yield from _cache_hub(name, corpus)
        elif not any(map(lock.holds, corpus.download)) and match_files(corpus):
            yield from ((file, _BY_HAND) for file in match_files(corpus))
        else:
            for address in corpus.download:
                yield _fetch(address, find_folder(corpus), lock)
            if corpus.download and not match_files(corpus):
                raise DownloadError(f"nothing of the download matches path '{corpus.path}'")
    except DownloadError as error:
        raise DownloadError(f"{name}: {error}") from error
    except OSError as error:
        raise DownloadError(f"{name}: {_explain(error)}; {advise(corpus)}") from error


def advise(corpus: CorpusConfig) -> str:
    """How to place a corpus by hand, in one clause."""
    files = [address for address in corpus.download if address.startswith("http")]
    what = " and ".join(files) or f"the files of {corpus.homepage}"
    return f"to place it by hand, put {what} into {find_folder(corpus)}/"


def find_folder(corpus: CorpusConfig) -> Path:
    """Where a corpus belongs: the folder above the first part of its path that holds a wildcard.

    >>> find_folder(CorpusConfig(path="data/raw/MLQA_V1/*/*-hi.json")).as_posix()
    'data/raw/MLQA_V1'
    """
    parts = Path(_pattern_of(corpus)).parts
    wild = next((i for i, part in enumerate(parts) if re.search(r"[*?[]", part)), len(parts) - 1)
    return Path(*parts[:wild])


def match_files(corpus: CorpusConfig) -> list[Path]:
    """What lies now where the corpus belongs."""
    folder = find_folder(corpus)
    return sorted(folder.glob(Path(_pattern_of(corpus)).relative_to(folder).as_posix()))


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack what is not there yet; a top folder named as `folder` is `folder` itself.

    Raises:
        DownloadError: no zip file, or a member that would lie outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            places = {member: _place(member, archive, folder) for member in file.infolist()}
            for member, target in places.items():
                if target is not None:
                    _unpack_member(file, member, target)
    except zipfile.BadZipFile as error:
        raise DownloadError(f"{archive}: {error}; delete it to fetch it again") from error


def _place(member: zipfile.ZipInfo, archive: Path, folder: Path) -> Path | None:
    """Where a member goes; None for folders and the litter of a Mac."""
    place = PurePosixPath(member.filename.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or ":" in member.filename:
        raise DownloadError(f"{archive}: member '{member.filename}' would leave the folder")
    inside = place.parts[1:] if place.parts[:1] == (folder.name,) else place.parts
    if member.is_dir() or not inside or place.parts[0] == "__MACOSX":
        return None
    return folder.joinpath(*inside)


def _unpack_member(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    if target.is_file() and target.stat().st_size == member.file_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(target.name + ".part")
    with file.open(member) as source, building.open("wb") as sink:
        shutil.copyfileobj(source, sink)  # a link becomes a file with its text, never followed
    building.replace(target)


def _fetch(address: str, folder: Path, lock: Lock) -> tuple[Path, str]:
    if address.startswith("kaggle:"):
        return folder, _fetch_kaggle(address, folder, lock)
    if address.startswith("hf:"):
        return folder, _fetch_hub(address, folder, lock)
    path = folder / PurePosixPath(address).name
    done = fetch_file(address, path, lock)
    if path.suffix == ".zip":
        unpack_zip(path, folder)
    return path, done


def _fetch_kaggle(address: str, folder: Path, lock: Lock) -> str:
    """Kaggle's own command knows the account and shows progress."""
    competition = address.removeprefix("kaggle:")
    archive = folder / f"{competition}.zip"
    done = "there already" if archive.is_file() else "downloaded"
    if not archive.is_file():
        if shutil.which("kaggle") is None:
            raise FileNotFoundError("no `kaggle` command (pip install kaggle, then set its token)")
        folder.mkdir(parents=True, exist_ok=True)
        command = ["kaggle", "competitions", "download", "-c", competition, "-p", str(folder)]
        if subprocess.run(command, check=False).returncode or not archive.is_file():
            raise ConnectionError(f"`{' '.join(command)}` failed")
    lock.record(archive, address)
    unpack_zip(archive, folder)
    return done


def _fetch_hub(address: str, folder: Path, lock: Lock) -> str:
    """The Hub's own client resumes, shows progress and keeps what is there."""
    from huggingface_hub import snapshot_download

    parts = _HUB.fullmatch(address)
    if parts is None:
        raise DownloadError(f"'{address}' is not hf://datasets/<owner>/<name>[@<revision>]/<path>")
    snapshot_download(
        parts["repository"],
        repo_type="dataset",
        revision=parts["revision"],
        allow_patterns=parts["path"],
        local_dir=folder,
    )
    for file in sorted(folder.glob(parts["path"])):
        lock.record(file, address)
    return "downloaded, or there already"


def _cache_hub(name: str, corpus: CorpusConfig) -> Iterator[tuple[Path, str]]:
    from chaii.corpus.files import CorpusError
    from chaii.corpus.hub import find_hub_files

    try:
        yield from ((file, "in the cache of datasets") for file in find_hub_files(name, corpus))
    except CorpusError as error:
        raise DownloadError(str(error).removeprefix(f"corpus {name}: ")) from error


def _pattern_of(corpus: CorpusConfig) -> str:
    return f"{corpus.path}/[!.]*" if corpus.format is CorpusFormat.hub else corpus.path


def _explain(error: OSError) -> str:
    if isinstance(error, HTTPError):
        return f"{error.url}: the server answers {error.code} {error.reason}"
    return str(error).partition("\n")[0]
