"""Locks: one process at a time writes into a folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import FileIO
from pathlib import Path

from minidl._core.errors import InputError
from minidl._core.types import PathLike
from minidl._storage.files import make_folder, refusing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: PathLike, file: str = "") -> Iterator[None]:
    """Keep every other process that asks for this lock out of `folder` for as long as the block runs.

    With the name of a `file`, the lock is for that file in the folder alone, or for the one that it is a link to.

    The lock is the system's, on a file ``.lock`` (or ``.name.lock``) that stays in the folder; that of a process that
    died is free by itself, also while processes that it forked live. Where the platform or the file system has no such
    locks, there is none. A missing folder is made.

    Raises
    ------
    InputError
        If another process has the lock, or the folder cannot be written.
    """
    kind, place = ("file" if file else "folder"), Path(folder, file)
    path = place / ".lock"
    if file:
        target = Path(os.path.realpath(place))
        path = target.parent / f".{target.name}.lock"
    make_folder(path.parent)
    with refusing(place, kind):
        lock = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    held = _held()
    held.add(lock)
    try:
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock.fileno(), 32).decode(errors="replace").strip() or "unknown"
            wanted = f"a {kind} that no other process writes into, but process {holder} does"
            hint = f"wait until that has ended, or choose another {kind}"
            raise InputError(f"{place}: expected {wanted}; {hint}") from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                raise
        # The lock holds also where its file cannot say whose it is.
        with suppress(OSError):
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        yield
    finally:
        held.discard(lock)
        # It is closed in a forked process, which must not give back what is its parent's.
        if not lock.closed:
            with suppress(OSError), lock:
                # Closing alone would leave the lock with a process that something else than Python has forked.
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_UN)


@cache
def _held() -> set[FileIO]:
    """Return the locks that this process holds, which each process that it forks closes at once."""
    held: set[FileIO] = set()

    def close_all() -> None:
        while held:
            held.pop().close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close_all)
    return held
