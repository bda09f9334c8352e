"""Fetch corpora from where they are published to where `conf/corpora` expects them."""

import re
import shutil
import subprocess  # nosec B404 # runs the `kaggle` command alone
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from chaii.config.corpora import CorpusConfig, CorpusFormat
from chaii.corpus.fetch import DownloadError, Lock, check_content, fetch_file
from chaii.corpus.records import CorpusError
from chaii.files import write_whole

_BY_HAND = "placed by hand, not checked"
_HUB = re.compile(
    r"hf://datasets/(?P<repository>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?/(?P<path>.+)"
)


def download_corpus(
    name: str, corpus: CorpusConfig, lock: Lock, *, insecure: bool = False
) -> Iterator[tuple[Path, str]]:
    """Fetch the addresses of `corpus.download`; yield each file or folder and how it came there.

    An address is a file (``https://…``; a zip file is unpacked), files of a Hub dataset
    (``hf://datasets/<owner>/<name>[@<revision>]/<path or pattern>``) or all files of a Kaggle
    competition (``kaggle:<name>``). They go to the folder that `corpus.path` begins with. A corpus
    whose files were placed there by hand is left alone; one of format hub without addresses is
    fetched by its reader into the cache of `datasets`, where `hub.revision` alone pins it.
    Addresses of other kinds (``http://…``) are fetched only if `insecure`.

    Raises:
        DownloadError: no network, no access, a content that is damaged or not the recorded one, or
            files that `corpus.path` does not match.
    """
    folder = find_folder(corpus)
    try:
        if corpus.format is CorpusFormat.hub and not corpus.download:
            from chaii.corpus.hub import find_hub_files  # `datasets` takes a second to import

            files = find_hub_files(name, corpus)
            yield from ((file, "in the cache of datasets") for file in files)
        elif not any(map(lock.holds, corpus.download)) and match_files(corpus):
            yield from ((file, _BY_HAND) for file in match_files(corpus))
        else:
            for address in corpus.download:
                if address.startswith("kaggle:"):
                    yield folder, fetch_kaggle(address, folder, lock)
                elif address.startswith("hf:"):
                    yield folder, fetch_hub(address, folder, lock)
                else:
                    path = folder / PurePosixPath(address).name
                    yield path, fetch_file(address, path, lock, insecure=insecure)
                    if path.suffix == ".zip":
                        unpack_zip(path, folder)
            if corpus.download and not match_files(corpus):
                raise DownloadError(f"nothing of the download matches path '{corpus.path}'")
    except (CorpusError, DownloadError) as error:
        raise DownloadError(f"{name}: {str(error).removeprefix(f'corpus {name}: ')}") from error
    except OSError as error:
        why = str(error).partition("\n")[0]
        raise DownloadError(f"{name}: {why}; {advise(corpus)}") from error


def advise(corpus: CorpusConfig) -> str:
    """How to place a corpus by hand, in one clause."""
    files = [address for address in corpus.download if address.startswith("http")]
    what = " and ".join(files) or f"the files of {corpus.homepage}"
    return f"to place it by hand, put {what} into {find_folder(corpus)}/"


def find_folder(corpus: CorpusConfig) -> Path:
    """Where a corpus belongs: the folder above the first part of its path with a wildcard.

    >>> find_folder(CorpusConfig(path="data/raw/MLQA_V1/*/*-hi.json")).as_posix()
    'data/raw/MLQA_V1'
    """
    parts = Path(_pattern_of(corpus)).parts
    wild = next((i for i, part in enumerate(parts) if re.search(r"[*?[]", part)), len(parts) - 1)
    return Path(*parts[:wild])


def match_files(corpus: CorpusConfig) -> list[Path]:
    """The files that are now where the corpus belongs."""
    folder = find_folder(corpus)
    return sorted(folder.glob(Path(_pattern_of(corpus)).relative_to(folder).as_posix()))


def unpack_zip(archive: Path, folder: Path) -> None:
    """Unpack the members that are not there yet; a top folder named as `folder` is `folder` itself.

    Folders and the files that macOS adds are left out.

    Raises:
        DownloadError: no zip file, or a member that would be outside the folder.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            targets = {}
            for member in file.infolist():
                place = PurePosixPath(member.filename.replace("\\", "/"))
                if place.is_absolute() or ".." in place.parts or ":" in member.filename:
                    rule = f"member '{member.filename}' would leave the folder"
                    raise DownloadError(f"{archive}: {rule}")
                inside = place.parts[1:] if place.parts[:1] == (folder.name,) else place.parts
                if not member.is_dir() and inside and place.parts[0] != "__MACOSX":
                    targets[member] = folder.joinpath(*inside)
            for member, target in targets.items():
                if target.is_file() and target.stat().st_size == member.file_size:
                    continue
                with (
                    file.open(member) as source,  # a link becomes a file with its text
                    write_whole(target) as building,
                    building.open("wb") as sink,
                ):
                    shutil.copyfileobj(source, sink)
    except zipfile.BadZipFile as error:
        raise DownloadError(f"{archive}: {error}; delete it to fetch it again") from error


def fetch_kaggle(address: str, folder: Path, lock: Lock) -> str:
    """Fetch a competition by Kaggle's own command, which knows the account; return what was done.

    Raises:
        DownloadError: the archive is not the recorded one, or no zip file.
        OSError: there is no such command, or it failed.
    """
    competition = address.removeprefix("kaggle:")
    archive = folder / f"{competition}.zip"
    done = "there already" if archive.is_file() else "downloaded"
    if not archive.is_file():
        if shutil.which("kaggle") is None:
            raise FileNotFoundError("no `kaggle` command (pip install kaggle, then set its token)")
        folder.mkdir(parents=True, exist_ok=True)
        command = ["kaggle", "competitions", "download", "-c", competition, "-p", str(folder)]
        status = subprocess.run(command, check=False).returncode  # nosec B603 # a list, no shell
        if status or not archive.is_file():
            raise ConnectionError(f"`{' '.join(command)}` failed")
    if not lock.check(archive):
        check_content(archive, archive.name)
        lock.record(archive, address)
    unpack_zip(archive, folder)
    return done


def fetch_hub(address: str, folder: Path, lock: Lock) -> str:
    """Fetch files by the Hub's own client, which resumes and keeps existing ones.

    Raises:
        DownloadError: the address is malformed, or a file is not the recorded one.
        OSError: they cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    parts = _HUB.fullmatch(address)
    if parts is None:
        raise DownloadError(f"'{address}' is not hf://datasets/<owner>/<name>[@<revision>]/<path>")
    options = {"revision": parts["revision"], "allow_patterns": parts["path"]}
    snapshot_download(parts["repository"], repo_type="dataset", local_dir=folder, **options)
    for file in sorted(folder.glob(parts["path"])):
        check_content(file, file.name)
        lock.record(file, address)
    return "downloaded, or there already"


def _pattern_of(corpus: CorpusConfig) -> str:
    return f"{corpus.path}/[!.]*" if corpus.format is CorpusFormat.hub else corpus.path
