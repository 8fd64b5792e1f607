"""The one door to the disk: every file that minidl writes is written here, whole or not at all.

Each step is a call of `os`, so that a test can put something in its place that fails or kills at any one of them.
"""

import errno
import itertools
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minidl._core.checks import as_path
from minidl._core.errors import InputError
from minidl._core.types import PathLike

_PART = re.compile(r"\.minidl-[0-9a-f]{16}\.part")
_BINARY = getattr(os, "O_BINARY", 0)
# Never a file that was there before.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY


class FileWriter:
    """An open file that can only be written, from start to end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`; one call of the system may write less."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


@contextmanager
def replacing(path: PathLike) -> Iterator[FileWriter]:
    """Open a temporary file that takes the name `path` only when the block ends without an error.

    Folders are made if they are missing. Whoever opens `path` at any moment, also after a kill or a power cut, finds
    the old file or the new one, both whole; once the block has ended without an error, the new one. An error that
    comes before the name is taken leaves the old file untouched and no temporary one. A link stays a link, and the
    permission bits of the old file are kept.

    Raises
    ------
    OSError
        If a folder or the file cannot be written. If the disk is full, the text says how much is free.
    """
    with _changing(path) as (target, mode):
        # Beside the target, since a rename cannot cross disks.
        part = target.with_name(_part_name())
        try:
            with _opened(part, _CREATE, 0o666 if mode is None else mode) as descriptor:
                if mode is not None:
                    # `open` lets the umask narrow the mode.
                    os.chmod(part, mode)
                yield FileWriter(descriptor)
                # The data must be on the disk before the name points at it.
                os.fsync(descriptor)
            os.replace(part, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
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
        If a folder or the file cannot be written. If the disk is full, the text says how much is free.
    """
    with _changing(path) as (target, _), _opened(target, _APPEND) as descriptor:
        size = os.fstat(descriptor).st_size
        try:
            FileWriter(descriptor).write(f"{line}\n".encode())
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise


def set_aside(path: PathLike) -> Path | None:
    """Give the file at `path` the first free of the names ``stem-1.suffix``, ``stem-2.suffix`` ..., and return that.

    If there is nothing at `path`, nothing is done. No other file is replaced.
    """
    if not os.path.exists(path):
        return None
    with _changing(path) as (target, _):
        for number in itertools.count(1):
            aside = target.with_name(f"{target.stem}-{number}{target.suffix}")
            # The new file takes the name, so that no other process can.
            with suppress(FileExistsError), _opened(aside, _CREATE):
                break
        os.replace(target, aside)
    return aside


def make_folder(path: PathLike) -> Path:
    """Make the folder `path` if it is missing, and return it, once a file could be written into it.

    Whoever will write there after hours of work asks this first.

    Raises
    ------
    InputError
        If there is a file in its place, or it cannot be written.
    """
    folder = as_path("folder", path)
    probe = folder / _part_name()
    with refusing(folder, "folder"):
        _make_folders(folder)
        try:
            with _opened(probe, _CREATE):
                pass
        finally:
            remove(probe)
    return folder


def check_file(path: PathLike) -> None:
    """Refuse a file that could not be written; its folder is made if it is missing.

    Whoever will write it after hours of work asks this first.

    Raises
    ------
    InputError
        If its folder cannot be written, its name is too long, or there is a folder or a device in its place.
    """
    target = Path(os.path.realpath(path))
    make_folder(target.parent)
    with refusing(path, "file"):
        _permissions(target)


@contextmanager
def refusing(path: PathLike, kind: str) -> Iterator[None]:
    """Make an OSError of the block an InputError that blames `path`, which is to be a "file" or a "folder"."""
    try:
        yield
    except OSError as error:
        hint = "; choose a shorter name" if error.errno == errno.ENAMETOOLONG else ""
        raise InputError(f"{path}: expected a {kind} that can be written, but: {error.strerror}{hint}") from error


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
def _opened(path: PathLike, flags: int, mode: int = 0o666) -> Iterator[int]:
    """Yield a descriptor that is closed after the block; an error of the block counts more than one of closing."""
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    # Only once: a close that failed has given the descriptor back.
    os.close(descriptor)


@contextmanager
def _changing(path: PathLike) -> Iterator[tuple[Path, int | None]]:
    """Make what the block does to the name `path` durable, and say how much is free if the disk is full.

    Yields the path behind all links, in a folder that is there, and the permission bits of the file (None: no file).
    """
    target = Path(os.path.realpath(as_path("path", path)))
    try:
        mode = _permissions(target)
        _make_folders(target.parent)
        yield target, mode
        # Each time, also after an append: a new file's name may be there from an attempt that failed here.
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # 5 ms of start-up, needed for a full disk alone.
        import shutil

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
    # A rename would put a file in the place of /dev/null, if it may.
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "Expected a file, but this is a folder or a device", str(path))
    return mode & 0o777


def _make_folders(folder: Path) -> None:
    """Make `folder` and those above it where they are missing, and their names durable."""
    if os.path.isdir(folder) or folder == folder.parent:
        return
    _make_folders(folder.parent)
    # Another process may be faster. If it makes a file, whoever writes below it gets an error.
    with suppress(FileExistsError):
        os.mkdir(folder)
    try:
        _sync_folder(folder.parent)
    except OSError:
        # So that the next attempt makes it, and its name durable.
        with suppress(OSError):
            os.rmdir(folder)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where the platform can (Windows cannot open a folder)."""
    if os.name != "posix":
        return
    with _opened(folder, os.O_RDONLY) as descriptor:
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems cannot.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
