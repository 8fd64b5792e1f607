"""The one door to the disk: every file that minidl writes is written here, whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from minidl.errors import InputError
from minidl.types import PathLike


@contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the name `path` only when the block ends without an error.

    The folder is made if it is missing. Whoever opens `path` at any moment finds the old file or the new one, both
    whole; after an error the old one is untouched and the temporary file is gone.

    Parameters
    ----------
    path : str or PathLike
        The file's final name.

    Yields
    ------
    binary file object
        Open for writing, in the same folder as `path`.

    Raises
    ------
    OSError
        Where the folder or file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")  # beside it, since a rename cannot cross disks
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the data must be on the disk before the name points at it
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_folder(path.parent)


def write_whole(path: PathLike, content: bytes | str) -> Path:
    """Write `content` (text as UTF-8) to `path`, whole or not at all, and return the path."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


def make_folder(path: PathLike) -> Path:
    """Make the folder `path` if it is missing, and return it, once a file could be written into it.

    Whoever will write there after hours of work asks this first.

    Raises
    ------
    InputError
        If there is a file in its place, or it cannot be written.
    """
    folder = Path(path)
    probe = folder / f".{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be written, but: {error.strerror}") from error
    return folder


def _sync_folder(folder: Path) -> None:
    """Make the new name in `folder` durable, where the platform can (Windows cannot open a folder)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
                raise
        finally:
            os.close(descriptor)
