"""Places where a file is written (over an old one, anew, below folders that are missing, through a link), and how."""

import itertools
import os
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

from minidl._storage import files

OLD = b"the first line\nthe second\n"
NEW = bytes(range(256)) * 100
LINE = "naïve " + "0123456789" * 3
ADDED = f"{LINE}\n".encode()


def replace(path, new=NEW):
    """Write `new` in the place of what is at `path`, in some pieces."""
    with files.replacing(path) as file:
        for start, end in itertools.pairwise([0, 3, 40, 20_000, 20_001, len(new)]):
            file.write(memoryview(new)[start:end])


def append(path, line=LINE):
    """Add `line` to the end of the file at `path`."""
    files.append_line(path, line)


def old_file(folder):
    (folder / "a").write_bytes(OLD)
    return folder / "a"


def new_file(folder):
    return folder / "a"


def new_folders(folder):
    return folder / "x" / "y" / "a"


def linked_file(folder):
    (folder / "there").mkdir()
    (folder / "there" / "b").write_bytes(OLD)
    (folder / "a").symlink_to(Path("there") / "b")
    return folder / "a"


PLACES = [old_file, new_file, new_folders, linked_file]


def content(path):
    return path.read_bytes() if path.exists() else None


def parts(folder):
    """Return the temporary files that are left in `folder`."""
    return sorted(folder.rglob("*.part"))


def descriptors():
    """Return the open descriptors of this process, where the system lists them."""
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []


def numbered_folders(tmp_path):
    """Yield a number from 1 on and a new folder of that name, each time."""
    for number in itertools.count(1):
        (tmp_path / str(number)).mkdir()
        yield number, tmp_path / str(number)


@contextmanager
def peak_below(limit):
    """Fail where the block allocates more than `limit` bytes at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit
