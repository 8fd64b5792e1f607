"""The official CIFAR-10 batches: pickles written by Python 2, read by their grammar and never unpickled.

An unpickler does whatever a file tells it to do. This reader knows the few opcodes that such a batch is made of, and
builds nothing but numbers, bytes, lists, tuples and dicts; the NumPy functions that the file names stay names. At the
end the one shape that a batch has is looked for in what was built. Every length is checked against what is left of the
file, and the number of opcodes, which bounds stack, memo and nesting, against what a batch of that many rows needs.
"""

from dataclasses import dataclass

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content

_PROTOCOL_2 = b"\x80\x02"
_GLOBALS = ("numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype")
_LONGEST_GLOBAL = 64


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
        Where the file is not exactly such a batch; says at which byte, what was expected and what came.
    """
    if not data.startswith(_PROTOCOL_2):
        binary = len(data) == cifar10_content.ROWS * (cifar10_content.PIXELS + 1)
        kind = "the binary version" if binary else kind_of(data[:512])
        raise DataError(f"{where}: expected a CIFAR-10 batch of the Python version, a pickle of protocol 2, got {kind}")
    batch = _Machine(data, where).run()
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


@dataclass(frozen=True)
class _Name:
    """What GLOBAL names; never the thing itself."""

    text: str


@dataclass
class _Call:
    """What REDUCE would call and BUILD would set; never called, never set."""

    function: object
    arguments: object
    state: object = None


def _pixels(array: object, where: str) -> Array:
    """Return the pixels (rows, 3072) of what a batch keeps under ``data``; a view, not a copy."""
    match array:
        case _Call(
            _Name("numpy.core.multiarray _reconstruct"),
            (_Name("numpy ndarray"), (0,), b"b"),
            (1, shape, _Call(_Name("numpy dtype"), (dtype, 0, 1)), fortran_order, bytes() | memoryview() as buffer),
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


class _Machine:
    """The stack machine of pickle protocol 2, as far as a CIFAR-10 batch needs it."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data = memoryview(data)
        self.where = where
        self.start = 0  # of the present opcode
        self.at = len(_PROTOCOL_2)  # the next byte to read
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """Return the value that the file builds."""
        # A row takes three opcodes: its label, its file name, and the memo entry of that.
        limit = 4 * cifar10_content.ROWS + 1000
        for _ in range(limit):
            self.start = self.at
            opcode = bytes(self._take(1))
            if opcode == b".":
                return self._result()
            self._step(opcode)
        raise self._error(f"the end of a batch of {cifar10_content.ROWS} rows", f"more than {limit} opcodes")

    def _step(self, opcode: bytes) -> None:
        match opcode:
            case b"K":  # BININT1
                self._push(self._number(1))
            case b"U":  # SHORT_BINSTRING
                self._push(bytes(self._take(self._number(1))))
            case b"q":  # BINPUT
                self.memo[self._number(1)] = self._top()
            case b"r":  # LONG_BINPUT
                self.memo[self._number(4)] = self._top()
            case b"(":  # MARK
                self.marks.append(len(self.stack))
            case b"e":  # APPENDS
                items = self._pop_marked()
                self._top_list().extend(items)
            case b"a":  # APPEND
                item = self._pop()
                self._top_list().append(item)
            case b"u":  # SETITEMS
                self._set_items(self._pop_marked())
            case b"s":  # SETITEM
                value, key = self._pop(), self._pop()
                self._set_items([key, value])
            case b"}":  # EMPTY_DICT
                self._push({})
            case b"]":  # EMPTY_LIST
                self._push([])
            case b"M":  # BININT2
                self._push(self._number(2))
            case b"J":  # BININT
                self._push(self._number(4, signed=True))
            case b"T":  # BINSTRING; a view, since the pixels are one
                self._push(self._take(self._number(4, signed=True)))
            case b"h":  # BINGET
                self._push(self._recall(self._number(1)))
            case b"j":  # LONG_BINGET
                self._push(self._recall(self._number(4)))
            case b"N":  # NONE
                self._push(None)
            case b"\x88" | b"\x89":  # NEWTRUE, NEWFALSE
                self._push(opcode == b"\x88")
            case b"\x85" | b"\x86" | b"\x87":  # TUPLE1, TUPLE2, TUPLE3
                items = [self._pop() for _ in range(opcode[0] - 0x84)]
                self._push(tuple(reversed(items)))
            case b"t":  # TUPLE
                self._push(tuple(self._pop_marked()))
            case b"c":  # GLOBAL
                self._push(self._global())
            case b"R":  # REDUCE
                arguments, function = self._pop(), self._pop()
                self._push(_Call(function, arguments))
            case b"b":  # BUILD
                state, target = self._pop(), self._top()
                if not isinstance(target, _Call):
                    raise self._error("an array or a dtype to set the state of", _short(target))
                target.state = state
            case _:
                raise self._error("an opcode that a CIFAR-10 batch is made of", repr(opcode))

    def _result(self) -> object:
        if self.at != len(self.data):
            raise self._error("the end of the file after STOP", f"{len(self.data) - self.at} more bytes")
        if self.marks or len(self.stack) != 1:
            raise self._error("one value left at STOP", f"{len(self.stack)} values and {len(self.marks)} marks")
        return self.stack[0]

    def _take(self, count: int) -> memoryview:
        if count < 0:
            raise self._error("a length of at least 0", str(count))
        if count > len(self.data) - self.at:
            raise DataError(
                f"{self.where}: the file ends at byte {len(self.data)}, but {count} bytes were expected from byte "
                f"{self.at} on; it is cut or damaged: delete it and fetch it again"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def _number(self, width: int, signed: bool = False) -> int:
        return int.from_bytes(self._take(width), "little", signed=signed)

    def _global(self) -> _Name:
        lines = bytes(self.data[self.at : self.at + _LONGEST_GLOBAL]).split(b"\n", 2)
        name = b" ".join(lines[:2]).decode("latin-1")
        if len(lines) < 3 or name not in _GLOBALS:
            raise self._error(f"one of the names {', '.join(_GLOBALS)}", repr(name))
        self.at += len(name) + 1  # two newlines, of which one is the space now
        return _Name(name)

    def _recall(self, index: int) -> object:
        if index not in self.memo:
            raise self._error("the number of a memo entry", f"{index}, which is not set")
        return self.memo[index]

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _top(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self._error("a value on the stack", "none")
        return self.stack[-1]

    def _pop(self) -> object:
        self._top()
        return self.stack.pop()

    def _pop_marked(self) -> list[object]:
        if not self.marks:
            raise self._error("a mark on the stack", "none")
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def _top_list(self) -> list[object]:
        target = self._top()
        if not isinstance(target, list):
            raise self._error("a list to append to", _short(target))
        return target

    def _set_items(self, items: list[object]) -> None:
        target, keys, values = self._top(), items[::2], items[1::2]
        if not isinstance(target, dict) or len(keys) != len(values):
            raise self._error("a dict, and one value for each key", f"{_short(target)}, and {len(items)} items")
        # Anything but bytes is refused as a key: hashing a nested tuple can take longer than the universe lasts.
        if not all(type(key) is bytes for key in keys):
            raise self._error("keys that are strings", "another type")
        target.update(zip(keys, values, strict=True))

    def _error(self, expected: str, got: str) -> DataError:
        return DataError(f"{self.where}: at byte {self.start}: expected {expected}, got {got}")
