"""The one door to the disk: every file that minidl writes is written here, whole or not at all.

Each step is a call of `os`, so that a test can put something in its place that fails or kills at any one of them.
"""

import errno
import io
import itertools
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from minidl._core.errors import InputError
from minidl._core.types import PathLike

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PART = re.compile(r"\.minidl-[0-9a-f]{16}\.part")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)  # never a file that was there before
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the name `path` only when the block ends without an error.

    Folders are made if they are missing. Whoever opens `path` at any moment, also after a kill or a power cut, finds
    the old file or the new one, both whole; once the block has ended without an error, the new one. An error that
    comes before the name is taken leaves the old file untouched and no temporary one. A link stays a link, and the
    permission bits of the old file are kept.

    Parameters
    ----------
    path : str or PathLike
        The file's final name.

    Yields
    ------
    binary file object
        Open for writing from start to end, without moving about, in the same folder as the file.

    Raises
    ------
    OSError
        Where a folder or the file cannot be written. If the disk is full, the text says how much is free.
    """
    target = Path(os.path.realpath(path))  # behind all links
    try:
        mode = _permissions(target)
        _make_folders(target.parent)
        part = target.with_name(_part_name())  # beside it, since a rename cannot cross disks
        raw = _RawFile(os.open(part, _CREATE, 0o666 if mode is None else mode))
        try:
            if mode is not None:
                os.chmod(part, mode)  # `open` let the umask narrow it
            file = io.BufferedWriter(raw)
            yield file
            file.flush()
            os.fsync(raw.descriptor)  # the data must be on the disk before the name points at it
            raw.close()
            os.replace(part, target)
        except BaseException:
            with suppress(OSError):
                raw.close()  # not `file`, which would try once more to write what it holds
            with suppress(OSError):
                os.unlink(part)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        _tell_a_full_disk(error, target)
        raise


def write_whole(path: PathLike, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path`, whole or not at all, and return the path."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


def append_line(path: PathLike, line: str) -> None:
    """Add `line`, which has no line break, and a line break to the end of the file `path`, durable when this returns.

    File and folders are made if they are missing. What was in the file before stays, whatever happens. After an error
    the line is there or not; a kill or a power cut may leave a part of it, or zeros in its place.

    Raises
    ------
    OSError
        Where a folder or the file cannot be written. If the disk is full, the text says how much is free.
    """
    target = Path(os.path.realpath(path))
    try:
        _permissions(target)  # refuses what is no file
        _make_folders(target.parent)
        descriptor = os.open(target, _APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            try:
                rest = f"{line}\n".encode()
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        _sync_folder(target.parent)  # each time: a new file's name may be there from an attempt that failed here
    except OSError as error:
        _tell_a_full_disk(error, target)
        raise


def set_aside(path: PathLike) -> Path | None:
    """Give the file at `path` the first free of the names ``stem-1.suffix``, ``stem-2.suffix`` ..., and return that.

    If there is nothing at `path`, nothing is done. No other file is replaced.
    """
    target = Path(os.path.realpath(path))
    if _permissions(target) is None:
        return None
    for number in itertools.count(1):
        aside = target.with_name(f"{target.stem}-{number}{target.suffix}")
        with suppress(FileExistsError):
            os.close(os.open(aside, _CREATE))  # takes the name, so that no other process can
            break
    os.replace(target, aside)
    _sync_folder(target.parent)
    return aside


def make_folder(path: PathLike) -> Path:
    """Make the folder `path` if it is missing, and return it, once a file could be written into it.

    Whoever will write there after hours of work asks this first.

    Raises
    ------
    InputError
        If there is a file in its place, or it cannot be written.
    """
    folder = Path(path)
    probe = folder / _part_name()
    try:
        _make_folders(folder)
        descriptor = os.open(probe, _CREATE)
        try:
            os.close(descriptor)
        finally:
            os.unlink(probe)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be written, but: {error.strerror}") from error
    return folder


def remove(path: PathLike) -> None:
    """Remove the file at `path`; one that is gone already is no error."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def sweep_parts(folder: PathLike, older_than: float = 3600.0) -> list[Path]:
    """Remove the temporary files that killed processes left in `folder`, and return their paths.

    Only files with this module's own kind of name go, and only when last written more than `older_than` seconds ago: a
    process paused for so long in the middle of one gets an OSError, and its old file stays. A folder that is missing
    or cannot be read is no error, and what cannot be removed is passed over.
    """
    removed = []
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            path = Path(folder) / name
            with suppress(OSError):
                if _PART.fullmatch(name) and time.time() - os.lstat(path).st_mtime > older_than:
                    os.unlink(path)
                    removed.append(path)
    return removed


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
    path = make_folder(folder) / (f".{file}.lock" if file else ".lock")
    kind = "file" if file else "folder"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be written, but: {error.strerror}") from error
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
        with suppress(OSError):  # the lock holds also where its file cannot say whose it is
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone leaves it with a worker forked meanwhile
        with suppress(OSError):
            os.close(descriptor)


class _RawFile(io.RawIOBase):
    """An open file that can only be written, by `os.write`; a buffer in front of it repeats what was written short."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return os.write(self.descriptor, data)

    def close(self) -> None:
        if not self.closed:
            super().close()  # first: a close that failed has given the descriptor back, and must not be repeated
            os.close(self.descriptor)


def _tell_a_full_disk(error: OSError, target: Path) -> None:
    """Raise `error` with the number of bytes that are free if there are too few of them."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return
    import shutil  # 5 ms of start-up, for a full disk alone

    free = "an unknown number of"
    with suppress(OSError):
        free = str(shutil.disk_usage(target.parent).free)
    raise OSError(error.errno, f"{error.strerror} ({free} bytes are free)", str(target)) from error


def _part_name() -> str:
    return f".minidl-{secrets.token_hex(8)}.part"


def _permissions(path: Path) -> int | None:
    """Return the permission bits of the file at `path`, or None if there is nothing."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):  # a rename would put a file in the place of /dev/null, if it may
        raise FileExistsError(errno.EEXIST, "Expected a file, but this is a folder or a device", str(path))
    return mode & 0o777


def _make_folders(folder: Path) -> None:
    """Make `folder` and those above it where they are missing, and their names durable."""
    if os.path.isdir(folder) or folder == folder.parent:
        return
    _make_folders(folder.parent)
    with suppress(FileExistsError):  # another process was faster; if it is a file, whoever writes below it is told
        os.mkdir(folder)
    try:
        _sync_folder(folder.parent)
    except OSError:
        with suppress(OSError):
            os.rmdir(folder)  # so that the next attempt makes it, and its name durable
        raise


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the platform can (Windows cannot open a folder)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
                raise
        finally:
            os.close(descriptor)
