"""Atomic writes: every file that minidl writes is written here, completely or not at all.

Each step is a call of `os`, so that a test can replace `os` to fail or to kill the process at any step.
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
# O_EXCL: never open an existing file.
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY


class FileWriter:
    """An open file that can only be written, sequentially."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`; a single system call may write only a part."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


@contextmanager
def replacing(path: PathLike) -> Iterator[FileWriter]:
    """Open a temporary file that is renamed to `path` when the block ends without an error.

    Missing folders are created. At any moment, also after a kill or a power cut, `path` is the complete old file or
    the complete new one; after the block it is the new one. An error before the rename leaves the old file unchanged
    and removes the temporary one. A link stays a link, and the permission bits of the old file are kept.

    Raises
    ------
    OSError
        If a folder or the file cannot be written. For a full disk, the message gives the free space.
    """
    with _changing(path) as (target, mode):
        # In the same folder, since a rename cannot cross file systems.
        part = target.with_name(_part_name())
        try:
            with _opened(part, _CREATE, 0o666 if mode is None else mode) as descriptor:
                if mode is not None:
                    # The umask restricts the mode given to `open`.
                    os.chmod(part, mode)
                yield FileWriter(descriptor)
                # The data must be on the disk before the name refers to it.
                os.fsync(descriptor)
            os.replace(part, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise


def write_whole(path: PathLike, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path`, completely or not at all, and return the path."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


def append_line(path: PathLike, line: str) -> None:
    """Append `line`, given without a line break, to the file `path`; it is on the disk when this returns.

    A missing file or folder is created. Earlier content is never lost. After an error the line may or may not be
    there; a kill or a power cut may leave a part of it, or zeros instead.

    Raises
    ------
    OSError
        If a folder or the file cannot be written. For a full disk, the message gives the free space.
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
    """Rename the file `path` to the first free name of ``stem-1.suffix``, ``stem-2.suffix`` ..., and return that path.

    Do nothing if there is no such file. No other file is overwritten.
    """
    if not os.path.exists(path):
        return None
    with _changing(path) as (target, _):
        for number in itertools.count(1):
            aside = target.with_name(f"{target.stem}-{number}{target.suffix}")
            # Creating the file reserves the name against other processes.
            with suppress(FileExistsError), _opened(aside, _CREATE):
                break
        os.replace(target, aside)
    return aside


def make_folder(path: PathLike) -> Path:
    """Create the folder `path` if it is missing, check that a file can be written into it, and return its path.

    Called before hours of work whose results are written there.

    Raises
    ------
    InputError
        If `path` is a file, or the folder cannot be written.
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
    """Refuse a file that could not be written; a missing folder is created.

    Called before hours of work whose results are written there.

    Raises
    ------
    InputError
        If the folder cannot be written, the name is too long, or `path` is a folder or a device.
    """
    target = Path(os.path.realpath(path))
    make_folder(target.parent)
    with refusing(path, "file"):
        _permissions(target)


@contextmanager
def refusing(path: PathLike, kind: str) -> Iterator[None]:
    """Turn an OSError of the block into an InputError about `path`, the name of a "file" or a "folder"."""
    try:
        yield
    except OSError as error:
        hint = "; choose a shorter name" if error.errno == errno.ENAMETOOLONG else ""
        raise InputError(f"{path}: expected a {kind} that can be written, but: {error.strerror}{hint}") from error


def remove(path: PathLike) -> None:
    """Remove the file `path`; a missing file is not an error."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def sweep_parts(folder: PathLike, older_than: float = 3600.0) -> list[Path]:
    """Remove the temporary files that killed processes left in `folder`, and return their paths.

    Only files with this module's name pattern are removed, and only if they were last written more than `older_than`
    seconds ago. A process that was paused that long while writing gets an OSError, and its old file stays. A folder
    that is missing or unreadable is not an error, and files that cannot be removed are skipped.
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
    """Yield a descriptor that is closed after the block; an error of the block hides an error of closing."""
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    # Closed only once: even a failed close releases the descriptor.
    os.close(descriptor)


@contextmanager
def _changing(path: PathLike) -> Iterator[tuple[Path, int | None]]:
    """Make the changes of the block to the name `path` durable; for a full disk, report the free space.

    Yields the path with all links resolved, in an existing folder, and the permission bits of the file (None: no file).
    """
    target = Path(os.path.realpath(as_path("path", path)))
    try:
        mode = _permissions(target)
        _make_folders(target.parent)
        yield target, mode
        # After an append too: an earlier attempt may have created the file and then failed here.
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Imported here to save 5 ms at start-up; only a full disk needs it.
        import shutil

        free = "an unknown number of"
        with suppress(OSError):
            free = str(shutil.disk_usage(target.parent).free)
        raise OSError(error.errno, f"{error.strerror} ({free} bytes free)", str(target)) from error


def _part_name() -> str:
    return f".minidl-{secrets.token_hex(8)}.part"


def _permissions(path: Path) -> int | None:
    """Return the permission bits of the file `path`, or None if there is no file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    # With enough rights, a rename would replace /dev/null by a file.
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "Expected a file, but this is a folder or a device", str(path))
    return mode & 0o777


def _make_folders(folder: Path) -> None:
    """Create `folder` and its missing parents, and make their names durable."""
    if os.path.isdir(folder) or folder == folder.parent:
        return
    _make_folders(folder.parent)
    # Another process may create it first. If it creates a file there, a later write fails.
    with suppress(FileExistsError):
        os.mkdir(folder)
    try:
        _sync_folder(folder.parent)
    except OSError:
        # Remove it, so that the next attempt creates it again and makes its name durable.
        with suppress(OSError):
            os.rmdir(folder)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, if the platform can (Windows cannot open a folder)."""
    if os.name != "posix":
        return
    with _opened(folder, os.O_RDONLY) as descriptor:
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems do not support it.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
