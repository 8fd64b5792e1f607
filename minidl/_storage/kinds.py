"""Kinds of files: only regular files are read, and error messages name a file's kind by its first bytes."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from minidl._core.errors import DataError, MinidlError
from minidl._core.types import PathLike

_BEGINNINGS = {
    b"version https://git-lfs": "a git-LFS pointer, not the file itself (run `git lfs pull`)",
    b"<": "an HTML or XML page (perhaps a network login page)",
    b"{": "JSON text",
    b"[": "JSON text",
    b"MATLAB": "a MATLAB file, not the Python version",
    b"\x1f\x8b": "a gzip file",
    b"PK": "a zip file (as .npz, .pt, .pth and .keras are)",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF\r\n": "an HDF5 file (.h5)",
    b"\x89PNG": "a PNG image",
}
# The bytes that may be added to a file while it is read; some files in /proc report size 0 and never end.
_GROWTH = 1 << 20
# By the first letter that `ls -l` prints.
_SPECIAL = {"d": "a folder", "p": "a pipe", "s": "a socket", "c": "a device", "b": "a device"}


@contextmanager
def reading(path: PathLike, refusal: type[MinidlError] = DataError) -> Iterator[BufferedReader]:
    """Open a regular file; never wait for a pipe, and never read a device, which may be endless.

    Raises
    ------
    refusal
        If it cannot be opened or read, or is not a regular file.
    """
    try:
        # Checked before opening, since opening can start a device, and again after, since the name may refer to
        # another file by then.
        _refuse_special(os.stat(path).st_mode)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            _refuse_special(os.fstat(file.fileno()).st_mode)
            yield file
    except OSError as error:
        why = str(error.strerror or error)
        if os.path.islink(path) and not os.path.exists(path):
            link = os.readlink(path)
            kind = kind_of(link.encode(errors="replace")) if "annex" in link else "a broken link"
            why += f"; it is {kind}: {link}"
        raise refusal(f"{path}: cannot be read: {why}") from error


def read_regular(path: PathLike) -> bytes:
    """Return the content of a regular file; refuse a file much longer than its reported size."""
    with reading(path) as file:
        most = os.fstat(file.fileno()).st_size + _GROWTH
        content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"{path}: expected {most - _GROWTH} bytes, the size of the file, got more than {most}")
    return content


def _refuse_special(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _SPECIAL.get(stat.filemode(mode)[0], "something else")
        raise OSError(errno.EINVAL, f"expected a regular file, got {kind}")


def kind_of(head: bytes) -> str:
    """Return a description of a file's kind, given its first hundred bytes or more."""
    if not head:
        return "an empty file (0 bytes)"
    if b"annex/objects/" in head[:400]:
        return "a git-annex pointer, not the file itself (run `git annex get`)"
    if head[0] == 0x80 and head[1:2] in (b"\0", b"\1", b"\2", b"\3", b"\4", b"\5"):
        return f"a pickle of protocol {head[1]}"
    start = f"a file that starts with {head[:40]!r}"
    for beginning, kind in _BEGINNINGS.items():
        if head.lstrip().startswith(beginning):
            return f"{kind}: {start}"
    return start
