"""Locks: one process at a time writes into a folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    With the name of a `file`, the lock is for that file in the folder alone.

    The lock is the system's, on a file ``.lock`` (or ``.name.lock``) that stays in the folder; that of a process that
    died is free by itself. Where the platform or the file system has no such locks, there is none. A missing folder is
    made.

    Raises
    ------
    InputError
        If another process has the lock, or the folder cannot be written.
    """
    kind = "file" if file else "folder"
    path = make_folder(folder) / (f".{file}.lock" if file else ".lock")
    with refusing(Path(folder, file), kind):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise InputError(
                f"{Path(folder, file)}: expected a {kind} that no other process writes into, but process {holder} "
                f"does; wait until that has ended, or choose another {kind}"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                raise
        # The lock holds also where its file cannot say whose it is.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        # Closing alone would leave the lock with a worker forked meanwhile.
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        with suppress(OSError):
            os.close(descriptor)
