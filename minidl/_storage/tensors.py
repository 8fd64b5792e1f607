"""Named arrays in one safetensors file, with a digest: written whole or not at all, and never believed unread.

The file is a header of JSON, which says where each array lies, and then nothing but the arrays' bytes: other tools read
it, and reading it runs no code. The format has no checksum, so one is kept in its free ``__metadata__``, first of all:
SHA-256 over the whole file, taken with zeros in the digest's own place.

Only what `write_tensors` writes is read. JSON allows far more than such a header needs (a name twice, numbers of any
length, nesting without end), and nothing of that is ever built; and the header has to agree with the size of the file
before room is made for an array.

References
----------
https://github.com/huggingface/safetensors, section "Format".
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from io import BufferedReader
from typing import Any

import numpy as np

from minidl._core.errors import CheckpointError
from minidl._core.types import Array, PathLike
from minidl._storage.files import replacing
from minidl._storage.kinds import kind_of, open_regular

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_CODES = {np.dtype(name): code for code, name in _DTYPES.items()}
_DIGEST = "minidl.sha256"
_ZEROS = "0" * 64
_OPENING = f'{{"__metadata__": {{"{_DIGEST}": "'
_LARGEST_FILE = 1 << 32  # what a forged size could make minidl ask for; a thousand million weights
_LARGEST_HEADER = 1 << 24
_MANY_NAMES = 4096  # what so many of the shortest entries take beyond four times their text fits into a megabyte,
_ROOMY = 128  # and one with so many bytes of the file to itself takes no more than four times those
_MOST_AXES = 64  # of a NumPy array

_NUMBER = "(?:0|[1-9][0-9]{0,18})"
_ENTRY = re.compile(
    rf'{{"dtype": "(\w{{1,9}})", "shape": \[((?:{_NUMBER}(?:, {_NUMBER}){{0,{_MOST_AXES - 1}}})?)\], '
    rf'"data_offsets": \[({_NUMBER}), ({_NUMBER})\]}}'
)
_ENTRY_IN_WORDS = (
    f"dtype, shape (at most {_MOST_AXES} whole numbers from 0 on) and two data_offsets, as minidl writes them"
)
_JSON = json.JSONDecoder()


def write_tensors(path: PathLike, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write `arrays` and texts to `path`, whole or not at all.

    The arrays are copied first: what is done to them meanwhile does not reach the file.

    Raises
    ------
    CheckpointError
        If an array has a dtype that the format does not know, a name or text is not one that can be read again, or all
        is larger than `read_tensors` accepts; the disk is not touched then.
    OSError
        Where the file cannot be written.
    """
    content = packed(path, arrays, metadata)
    with replacing(path) as file:
        for part in content:
            file.write(part)


def packed(path: PathLike, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> list[bytes]:
    """Return what `write_tensors` would write to `path`, or refuse as it does; the disk is not touched."""
    texts = dict(metadata or {})
    _check_names(path, arrays, texts)
    entries: dict[str, Any] = {"__metadata__": {_DIGEST: _ZEROS, **texts}}
    parts, position = [], 0
    for name, array in arrays.items():
        plain = _plain(path, name, array)
        offsets = [position, position + plain.nbytes]
        entries[name] = {"dtype": _CODES[plain.dtype], "shape": list(plain.shape), "data_offsets": offsets}
        parts.append(plain.tobytes())
        position += plain.nbytes
    start = _start(entries)
    if len(start) - 8 > _LARGEST_HEADER or len(start) + position > _LARGEST_FILE:
        raise CheckpointError(
            f"{path}: cannot be written: names and texts take {len(start) - 8} bytes (at most {_LARGEST_HEADER}), "
            f"and all takes {len(start) + position} (at most {_LARGEST_FILE})"
        )
    if _too_many(max(len(arrays), len(texts) + 1), len(start) + position):
        raise CheckpointError(
            f"{path}: cannot be written: {len(arrays)} arrays and {len(texts)} texts are too many for a file of "
            f"{len(start) + position} bytes; put what is small into fewer, larger arrays"
        )
    digest = hashlib.sha256(start)
    for part in parts:
        digest.update(part)
    entries["__metadata__"][_DIGEST] = digest.hexdigest()
    return [_start(entries), *parts]


def read_tensors(path: PathLike) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and texts of the file at `path`, if all of it is as it was written.

    The arrays are new, writable and of the machine's byte order. The memory taken is at most four times the file and a
    megabyte (and ten times the texts, where they are not ASCII). A file has at most 4 GiB, of which 16 MiB may be names
    and texts, and more than 4096 arrays only where each has 128 bytes of it to itself.

    Raises
    ------
    CheckpointError
        If there is no such file, it is not a regular one (a pipe, a device) or not in this format, or its digest is
        missing or wrong.
    """
    try:
        with open(open_regular(path), "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: expected a weights file of minidl, whole and unchanged; {error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: cannot be read: there is less free memory than its arrays take") from error


def _read(file: BufferedReader, size: int) -> tuple[dict[str, Array], dict[str, str]]:
    """Read an open file of `size` bytes; a ValueError says what is wrong with it."""
    start = file.read(512)
    length = int.from_bytes(start[:8], "little")
    if size and start[8:9] not in (b"{", b""):
        raise ValueError(f"it is {kind_of(start)}")
    if not 8 < size <= _LARGEST_FILE:
        raise ValueError(f"it has {size} bytes, where 9 to {_LARGEST_FILE} were expected")
    if length > _LARGEST_HEADER:
        raise ValueError(f"its header claims {length} bytes, where at most {_LARGEST_HEADER} were expected")
    if length > size - 8:
        raise ValueError(f"it is cut short, or damaged: it ends at byte {size}, and its header at byte {8 + length}")
    file.seek(0)
    content = memoryview(file.read(8 + length))
    header = _Header(content[8:], size)
    if header.end != size - len(content):
        raise ValueError(
            f"it has {size} bytes, and its header tells of {len(content) + header.end}: cut short, or longer than its "
            "arrays; get it again, or take an older one"
        )
    mark = 8 + len(_OPENING)
    digest = hashlib.sha256(content[:mark])
    digest.update(_ZEROS.encode())
    digest.update(content[mark + len(_ZEROS) :])
    arrays = {}
    for name, (dtype, shape) in header.arrays.items():
        array = np.empty(shape, dtype)
        raw = array.reshape(-1).view(np.uint8)
        if file.readinto(raw.data) != len(raw):
            raise ValueError("it became shorter while it was read")
        digest.update(raw.data)
        if dtype.kind == "b" and raw.max(initial=0) > 1:
            raise ValueError(f"{name[:60]!r}: expected bytes 0 and 1, got {raw.max()}")
        arrays[name] = array.astype(dtype.newbyteorder("="), copy=False)
    if digest.hexdigest() != header.digest:
        raise ValueError(
            "its content does not have the digest that it names: damaged or altered; get it again, or take an older one"
        )
    return arrays, header.texts


class _Header:
    """What the header of a file says, read by the one form in which `write_tensors` writes it."""

    def __init__(self, header: memoryview, size: int) -> None:
        self.size = size  # of the whole file
        if header[: len(_OPENING)] != _OPENING.encode():
            raise ValueError(
                f"it has no digest {_DIGEST!r} at its beginning, so that damage would not show; if another tool wrote "
                "it, read it with that, set each model.parameters[name].value[...], and then use save_weights"
            )
        try:
            self.text = str(header, "ascii")
        except UnicodeDecodeError as error:
            raise ValueError(f"at byte {8 + error.start}: expected a header of ASCII alone: damaged") from None
        self.at = len(_OPENING) + len(_ZEROS)  # the next character to read
        self.digest = self.text[len(_OPENING) : self.at]
        self.texts: dict[str, str] = {}
        self.arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self.end = 0  # of the arrays so far, counted from the end of the header
        self._expect('"')
        while not self._follows("}"):
            name = self._name(self.texts, _DIGEST)
            self.texts[name] = self._string()
        while not self._follows("}"):
            name = self._name(self.arrays, "__metadata__")
            self.arrays[name] = self._entry(name)
        if self.text[self.at :].strip(" "):
            raise self._error("nothing but spaces up to the end of the header")

    def _name(self, taken: Mapping[str, object], kept: str) -> str:
        self._expect(", ")
        name = self._string()
        if name in taken or name == kept:
            raise ValueError(f"the name {name[:60]!r} stands twice in its header")
        if _too_many(len(taken) + 1, self.size):
            raise ValueError(f"its header has more than {len(taken)} names, too many for a file of {self.size} bytes")
        self._expect(": ")
        return name

    def _string(self) -> str:
        try:
            if self.text[self.at : self.at + 1] != '"':
                raise ValueError
            value, end = _JSON.raw_decode(self.text, self.at)
            value.encode()  # refuses one half of a surrogate pair, which JSON can write and UTF-8 cannot
        except ValueError:
            raise self._error("a string in JSON") from None
        self.at = end
        return str(value)

    def _entry(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Return dtype and shape of the array `name`, once it lies right behind the one before it."""
        short = repr(name[:60])
        match = _ENTRY.match(self.text, self.at)
        if match is None:
            raise self._error(f"for {short} {_ENTRY_IN_WORDS}")
        self.at = match.end()
        code, sizes, start, end = match.groups()
        if code not in _DTYPES:
            raise ValueError(f"{short}: expected a dtype among {', '.join(_DTYPES)}, got {code}")
        dtype, shape = np.dtype(_DTYPES[code]), tuple(map(int, sizes.split(", "))) if sizes else ()
        if math.prod(max(1, axis) for axis in shape) * dtype.itemsize > _LARGEST_FILE:
            raise ValueError(f"{short}: expected a shape of at most {_LARGEST_FILE} bytes, got {code} of {shape}")
        place = (self.end, self.end + math.prod(shape) * dtype.itemsize)
        if (int(start), int(end)) != place:
            raise ValueError(
                f"{short}: {code} of shape {shape} has to lie at bytes {place[0]} to {place[1]} of the data, and its "
                f"data_offsets are {start} and {end}"
            )
        self.end = place[1]
        return dtype, shape

    def _follows(self, mark: str) -> bool:
        """Go past `mark` if it comes next."""
        follows = self.text.startswith(mark, self.at)
        self.at += len(mark) * follows
        return follows

    def _expect(self, mark: str) -> None:
        if not self._follows(mark):
            raise self._error(repr(mark))

    def _error(self, expected: str) -> ValueError:
        found = repr(self.text[self.at : self.at + 40]) if self.at < len(self.text) else "the end of the header"
        return ValueError(f"at byte {8 + self.at}: expected {expected}, got {found}")


def _too_many(names: int, size: int) -> bool:
    """Return whether to read so many names from a file of so many bytes would take more memory than is promised."""
    return names > _MANY_NAMES and names * _ROOMY > size


def _check_names(path: PathLike, arrays: Mapping[str, Array], texts: Mapping[str, str]) -> None:
    """Refuse what could be written, but not read again."""
    for what, names, kept in (("a text", texts, _DIGEST), ("an array", arrays, "__metadata__")):
        if kept in names:
            raise CheckpointError(
                f"{path}: cannot be written: {what} may not be named {kept!r}, which the format needs"
            )
    for text in (*arrays, *texts, *texts.values()):
        try:
            text.encode()
        except (AttributeError, UnicodeEncodeError):
            raise CheckpointError(
                f"{path}: cannot be written: names and texts have to be strings of whole characters, got {text!r:.60}"
            ) from None


def _plain(path: PathLike, name: str, array: Array) -> Array:
    """Return `array` in C order and little-endian, if its dtype is one of the format's."""
    if not isinstance(array, np.ndarray | np.generic) or isinstance(array, np.ma.MaskedArray):
        raise CheckpointError(f"{path}: {name!r} cannot be written: expected a NumPy array, got {type(array).__name__}")
    if array.dtype.newbyteorder("<") not in _CODES:
        raise CheckpointError(
            f"{path}: {name!r} cannot be written: its dtype is {array.dtype}, where the format has "
            f"{', '.join(dtype.name for dtype in _CODES)}"
        )
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def _start(entries: dict[str, Any]) -> bytes:
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)  # the arrays begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header
