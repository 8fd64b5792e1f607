"""Stand-ins for the module `os` that note each disk operation, and make one fail or kill the process at it.

They take the place of `os` in the modules that write, so that nothing else notices::

    monkeypatch.setattr(files, "os", recording := RecordingOs())
    write_whole(path, "new")
    [operation.name for operation in recording.operations]      # ['stat', 'open', 'write', 'fsync', ...]

To see every way in which some work can fail, let one operation after the other fail until none is left::

    for number in itertools.count(1):
        with replacing_os(FaultyOs(number, errno.ENOSPC)) as faulty:
            ...                                                 # save a checkpoint, catch OSError
        if not faulty.reached:
            break                                               # it has fewer operations than `number`

`FaultyOs` also kills (``kill="before"``, ``"amid"`` or ``"after"`` the operation); do that `in_child`, which returns
the child's status.

And `Disk` says what a power cut may leave behind after each of the operations that `RecordingOs` noted.
"""

import itertools
import os
import signal
import traceback
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from minidl._storage import files, locks

_OF_FILES = {"open", "write", "fsync", "close", "chmod", "fchmod", "truncate", "ftruncate"}
WRITING = frozenset(_OF_FILES | {"replace", "rename", "link", "symlink", "unlink", "rmdir", "mkdir"})
"""The functions of `os` that change something on the disk, or make a change last."""

WATCHED = WRITING | {"read", "stat", "lstat", "fstat", "listdir", "scandir", "access"}
"""The same and those that look; all others are passed on to the real `os` unseen."""

TAKES_SPACE = frozenset({"open", "write", "fsync", "mkdir", "symlink", "link"})
"""Those that fail on a full disk, where closing and removing go on as ever."""


class Operation(NamedTuple):
    """One call: the function's name, its arguments with bytes copied, and what it returned or the error it raised."""

    name: str
    arguments: tuple[Any, ...]
    result: Any


class RecordingOs:
    """The real `os`, which keeps a list of each call of the functions named in `watched`: `operations`."""

    def __init__(self, watched=WATCHED):
        self.watched = watched
        self.operations: list[Operation] = []

    def __getattr__(self, name):
        real = getattr(os, name)
        return partial(self._noted, name, real) if name in self.watched else real

    def _noted(self, name, real, *arguments):
        # What is written is copied, since a buffer uses its memory again.
        arguments = tuple(bytes(a) if isinstance(a, memoryview | bytearray) else a for a in arguments)
        result = None
        try:
            result = self._called(name, real, *arguments)
        except OSError as error:
            result = error
            raise
        finally:
            self.operations.append(Operation(name, arguments, result))
        return result

    def _called(self, name, real, *arguments):
        return real(*arguments)


class FaultyOs(RecordingOs):
    """The real `os` until operation `number` (the first is 1), where it fails or kills the process.

    Parameters
    ----------
    number : int
        Which of the watched calls.
    error : int, optional
        The `errno` of the OSError that is raised in the place of the call. A descriptor is closed all the same, as
        Linux does, and of a write half reaches the disk. Without an error and a kill, what is written is cut to its
        first half (a short write), and other calls are passed on.
    sticky : bool
        Whether all watched calls after that fail too, and not that one alone.
    kill : {"before", "amid", "after"}, optional
        Kill this process with SIGKILL, before the call, after it, or, where it is a write, once half is written.
    watched : collection of str
        The functions that count and fail, such as `WATCHED` or `TAKES_SPACE`.

    Attributes
    ----------
    operations : list of Operation
        All watched calls so far, those that failed too.
    reached : bool
        Whether it came to operation `number`.
    """

    def __init__(self, number, error=None, *, sticky=False, kill=None, watched=WATCHED):
        super().__init__(watched)
        self.number, self.error, self.sticky, self.kill = number, error, sticky, kill

    @property
    def reached(self):
        return len(self.operations) >= self.number

    def _called(self, name, real, *arguments):
        at = len(self.operations) + 1
        if at != self.number and not (self.sticky and at > self.number):
            return real(*arguments)
        if self.kill == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "write" and self.kill != "after":
            descriptor, data = arguments
            arguments = descriptor, data[: max(1, len(data) // 2)]
        if self.error is not None:
            if name in ("write", "close"):
                real(*arguments)
            raise OSError(self.error, os.strerror(self.error))
        try:
            return real(*arguments)
        finally:
            if self.kill is not None:
                os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def replacing_os(stand_in):
    """Put `stand_in` in the place of ``os`` in the modules that write while the block runs, and yield it."""
    before = files.os
    files.os = locks.os = stand_in
    try:
        yield stand_in
    finally:
        files.os = locks.os = before


def in_child(action, stand_in=os):
    """Run `action` in a forked child, with `stand_in` for ``os``: its exit status, or minus its signal."""
    return exit_status_of(start_child(action, stand_in))


def start_child(action, stand_in=os):
    """Start what `in_child` runs, and return the child's process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child calls only `os`
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        with replacing_os(stand_in):
            action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def exit_status_of(child):
    """Wait for a started child, and return its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Disk:
    """What a power cut may leave of `folder`, by a model of its files that follows recorded operations.

    The model takes what is in the folder now as durable. From then on only fsync makes something last: on a file, its
    bytes; on a folder, the names in it (made, replaced, removed). What was written since the last one can be there,
    not at all, in part, or as zeros, and each change of a name can be there or not, without regard to its order: that
    is what file systems without a journal leave, and those with one leave less. Changes of the same name keep their
    order, and a rename puts the new file in the place of the old one at once. Links and permissions are left out, and
    so are disks that lie about a flush. A file with two names is taken for two, which may add states.

    Parameters
    ----------
    folder : path
        What is watched. It must not change but by the operations that are applied.
    cuts : int
        At about how many places each file's unsynced bytes are cut; a large number cuts between any two bytes.
    """

    def __init__(self, folder, cuts=10):
        self.root, self.cuts = os.path.realpath(folder), cuts
        self.top: Any = _scanned(self.root)
        # By descriptor: file or folder, and the position in it.
        self.opened: dict[int, list[Any]] = {}

    def apply(self, operation):
        """Do to the model what `operation` did to the disk."""
        name, arguments, result = operation
        if name not in WRITING or isinstance(result, OSError):
            return
        node, position = self.opened.get(arguments[0], (None, 0))
        match name:
            case "open":
                place, last = self._found(arguments[0])
                node = place and place.names.get(last) if last else place
                if node is None and place is not None and arguments[1] & os.O_CREAT:
                    place.change(last, node := _File(b""))
                self.opened[result] = [node, len(node.content) if arguments[1] & os.O_APPEND else 0]
            case "write":
                node.content = node.content[:position] + arguments[1][:result] + node.content[position + result :]
                self.opened[arguments[0]][1] += result
            case "ftruncate":
                node.content = node.content[: arguments[1]]
            case "fsync" if node is not None:
                node.sync()
            case "replace":
                (from_folder, from_name), (to_folder, to_name) = map(self._found, arguments)
                to_folder.change(to_name, from_folder.names[from_name])
                from_folder.change(from_name, None)
            case "unlink" | "rmdir" | "mkdir":
                place, last = self._found(arguments[0])
                place.change(last, _Folder({}) if name == "mkdir" else None)
            case "fsync" | "close" | "chmod" | "fchmod":
                pass
            case _:
                raise NotImplementedError(f"the model of the disk does not know {name!r} yet: teach it here")

    def states(self):
        """Yield each state that a power cut may leave now: the files that are there, and what is in them."""
        seen = set()
        for left in self.top.survivors(self.cuts):
            if (state := frozenset(left.items())) not in seen:
                seen.add(state)
                yield left

    def _found(self, path):
        """Return the folder that holds `path`, None if that is outside the model, and the last part of the name."""
        *above, last = os.path.relpath(path, self.root).split(os.sep)
        if os.pardir in (*above, last):
            return None, ""
        place = self.top
        for name in above:
            place = place.names[name]
        return place, "" if last == os.curdir else last


def _scanned(path):
    if not os.path.isdir(path):
        return _File(Path(path).read_bytes())
    return _Folder({entry.name: _scanned(entry.path) for entry in os.scandir(path) if not entry.is_symlink()})


class _File:
    def __init__(self, content):
        self.durable = self.content = content

    def sync(self):
        self.durable = self.content

    def survivors(self, cuts):
        """What may be read after a power cut, under no name as yet."""
        content, left = self.content, {self.durable, self.content}
        if content != self.durable:
            # What is only added to does not suffer.
            kept = len(self.durable) if content.startswith(self.durable) else 0
            for k in range(kept, len(content) + 1, max(1, (len(content) - kept) // cuts)):
                zeros = bytes(len(content) - k)
                left |= {content[:k], content[:k] + zeros, content[:kept] + bytes(k - kept) + content[k:]}
        return ({"": each} for each in left)


class _Folder:
    def __init__(self, names):
        self.durable, self.names = dict(names), dict(names)
        self.pending: list[tuple[str, Any]] = []

    def change(self, name, node):
        self.pending.append((name, node))
        self.names = _changed(self.names, [(name, node)])

    def sync(self):
        self.durable, self.pending = dict(self.names), []

    def survivors(self, cuts):
        """The files that may be there after a power cut, with any of the changes of names since the last sync."""
        for kept in itertools.product([False, True], repeat=len(self.pending)):
            names = _changed(self.durable, itertools.compress(self.pending, kept))
            for inside in itertools.product(*(list(node.survivors(cuts)) for node in names.values())):
                yield {
                    f"{name}/{below}".rstrip("/"): content
                    for name, left in zip(names, inside, strict=True)
                    for below, content in left.items()
                }


def _changed(names, changes):
    return {name: node for name, node in (names | dict(changes)).items() if node is not None}
