"""Locks: only one process at a time writes into a folder or file."""

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
    """Hold the lock of `folder`, or of a `file` in it, while the block runs; other processes cannot take it.

    If `file` is a link, its target is locked.

    The operating system holds the lock, on a file ``.lock`` (or ``.name.lock``) that stays in the folder. When a
    process dies, its lock is released, even if processes that it forked are still alive. If the platform or file
    system does not support locks, nothing is locked. A missing folder is created.

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
            wanted = f"a {kind} that no other process writes to, but process {holder} does"
            hint = f"wait until it ends, or choose another {kind}"
            raise InputError(f"{place}: expected {wanted}; {hint}") from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                raise
        # The lock is valid even if the process id cannot be written.
        with suppress(OSError):
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        yield
    finally:
        held.discard(lock)
        # In a forked process it is closed already: the child must not release the lock of its parent.
        if not lock.closed:
            with suppress(OSError), lock:
                # Closing is not enough: a process forked outside Python's control may hold the descriptor too.
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_UN)


@cache
def _held() -> set[FileIO]:
    """Return the locks that this process holds; a forked child closes them immediately."""
    held: set[FileIO] = set()

    def close_all() -> None:
        while held:
            held.pop().close()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close_all)
    return held
