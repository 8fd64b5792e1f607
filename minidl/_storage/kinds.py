"""What a file is: read only if it is a regular one, and recognised by its first bytes for an error message."""

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
    b"<": "an HTML or XML page (a login page of the network?)",
    b"{": "JSON text",
    b"[": "JSON text",
    b"MATLAB": "a MATLAB file; the Python version is needed",
    b"\x1f\x8b": "a gzip file",
    b"PK": "a zip file (as .npz, .pt, .pth and .keras are)",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF\r\n": "an HDF5 file (.h5)",
    b"\x89PNG": "a PNG picture",
}
# How many bytes others may add to a file while it is read; some of those in /proc say 0 and go on for ever.
_GROWTH = 1 << 20
# By the first letter of `ls -l`.
_SPECIAL = {"d": "a folder", "p": "a pipe", "s": "a socket", "c": "a device", "b": "a device"}


@contextmanager
def reading(path: PathLike, refusal: type[MinidlError] = DataError) -> Iterator[BufferedReader]:
    """Open a regular file; never wait for a pipe, nor read a device, which may have no end.

    Raises
    ------
    refusal
        If it cannot be opened or read, or is of another kind.
    """
    try:
        # Before it is opened, since opening alone can set a device going; and after, since the name may lead elsewhere
        # now.
        _refuse_special(os.stat(path).st_mode)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            _refuse_special(os.fstat(file.fileno()).st_mode)
            yield file
    except OSError as error:
        why = str(error.strerror or error)
        if os.path.islink(path) and not os.path.exists(path):
            link = os.readlink(path)
            what = kind_of(link.encode(errors="replace")) if "annex" in link else "a link that leads nowhere"
            why += f"; it is {what}: {link}"
        raise refusal(f"{path}: cannot be read: {why}") from error


def read_regular(path: PathLike) -> bytes:
    """Return what is in a regular file; refuse one that goes on behind its end."""
    with reading(path) as file:
        most = os.fstat(file.fileno()).st_size + _GROWTH
        content = file.read(most + 1)
    if len(content) > most:
        raise DataError(f"{path}: expected a file that ends where it says")
    return content


def _refuse_special(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _SPECIAL.get(stat.filemode(mode)[0], "something else")
        raise OSError(errno.EINVAL, f"expected a regular file, got {kind}")


def kind_of(head: bytes) -> str:
    """Say what a file seems to be, given its first hundred bytes or more."""
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
