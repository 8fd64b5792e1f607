"""Stand-ins for the module `os` that note each disk operation, and make one fail or kill the process at it.

They take the place of `os` in the modules that write, so that nothing else notices::

    monkeypatch.setattr(files, "os", recording := RecordingOs())
    write_whole(path, "new")
    [operation.name for operation in recording.operations]      # ['stat', 'open', 'write', 'fsync', ...]

To see every way in which some work can fail, let one operation after the other fail until none is left::

    for number in itertools.count(1):
        with standing_in(FaultyOs(number, errno.ENOSPC)) as faulty:
            ...                                                 # save a checkpoint, catch OSError
        if not faulty.reached:
            break                                               # it has fewer operations than `number`
        ...                                                     # look at what is on the disk, through the real os

`FaultyOs` also kills (``kill="before"``, ``"amid"`` or ``"after"`` the operation); do that in a forked child::

    status = in_child(lambda: write_whole(path, "new"), FaultyOs(number, kill="before"))    # -9, or 0 if not reached

And `Disk` says what a power cut may leave behind after each of the operations that `RecordingOs` noted.
"""

import itertools
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
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

    def __init__(self, watched: Collection[str] = WATCHED) -> None:
        self.watched = watched
        self.operations: list[Operation] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return partial(self._noted, name, real) if name in self.watched else real

    def _noted(self, name: str, real: Callable[..., Any], *arguments: Any) -> Any:
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

    def _called(self, name: str, real: Callable[..., Any], *arguments: Any) -> Any:
        return real(*arguments)


class FaultyOs(RecordingOs):
    """The real `os` until operation `number` (the first is 1), where it fails or kills the process.

    Parameters
    ----------
    number : int
        Which of the watched calls.
    error : int, optional
        The `errno` of the OSError that is raised in the place of the call. A descriptor is closed all the same, as
        Linux does. Without an error and a kill, what is written is cut to its first half (a short write), and other
        calls are passed on.
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

    def __init__(
        self,
        number: int,
        error: int | None = None,
        *,
        sticky: bool = False,
        kill: str | None = None,
        watched: Collection[str] = WATCHED,
    ) -> None:
        super().__init__(watched)
        self.number, self.error, self.sticky, self.kill = number, error, sticky, kill

    @property
    def reached(self) -> bool:
        return len(self.operations) >= self.number

    def _called(self, name: str, real: Callable[..., Any], *arguments: Any) -> Any:
        at = len(self.operations) + 1
        if at != self.number and not (self.sticky and at > self.number):
            return real(*arguments)
        if self.kill == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error is not None:
            if name == "close":
                real(*arguments)
            raise OSError(self.error, os.strerror(self.error))
        if name == "write" and self.kill != "after":
            descriptor, data = arguments
            arguments = descriptor, data[: max(1, len(data) // 2)]
        try:
            return real(*arguments)
        finally:
            if self.kill is not None:
                os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def standing_in(stand_in: Any) -> Iterator[Any]:
    """Put `stand_in` in the place of ``os`` in the modules that write while the block runs, and yield it."""
    before = files.os
    files.os = locks.os = stand_in
    try:
        yield stand_in
    finally:
        files.os = locks.os = before


def in_child(action: Callable[[], object], stand_in: Any = os) -> int:
    """Run `action` in a forked child, with `stand_in` for ``os``: its exit status, or minus its signal."""
    return ended(start_child(action, stand_in))


def start_child(action: Callable[[], object], stand_in: Any = os) -> int:
    """Start what `in_child` runs, and return the child's process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child calls only `os`
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        with standing_in(stand_in):
            action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """Wait for a started child, and return its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Disk:
    """What a power cut may leave of `folder`, by a model of its files that follows recorded operations.

    The model takes what is in the folder now as durable. From then on only fsync makes something last: on a file, its
    bytes; on a folder, the names in it (made, replaced, removed). What was written since the last one can be there,
    not at all, in part, or as zeros, and each change of a name can be there or not, without regard to its order: that
    is what file systems without a journal leave, and those with one leave less. Changes of the same name keep their
    order, and a rename puts the new file in the place of the old one at once. Links and permissions are left out, and
    so are disks that lie about a flush.

    Parameters
    ----------
    folder : path
        What is watched. It must not change but by the operations that are applied.
    cuts : int
        At about how many places each file's unsynced bytes are cut; a large number cuts between any two bytes.

    Examples
    --------
    ::

        disk = Disk(tmp_path)
        with standing_in(RecordingOs()) as recording:
            write_whole(tmp_path / "a", "new")
        for operation in recording.operations:
            disk.apply(operation)
            for files_left in disk.states():        # {"a": b"new"}, paths relative to tmp_path
                ...
    """

    def __init__(self, folder: os.PathLike[str] | str, cuts: int = 10) -> None:
        self.root, self.cuts = os.path.realpath(folder), cuts
        self.top = self._scanned(self.root)
        self.opened: dict[int, list[Any]] = {}  # descriptor: file or folder, and the position in it

    def apply(self, operation: Operation) -> None:
        """Do to the model what `operation` did to the disk."""
        name, arguments, result = operation
        if name not in WRITING or isinstance(result, OSError):
            return
        if name == "open":
            place, last = self._found(arguments[0])
            node = place and place.names.get(last) if last else place
            if node is None and place is not None and arguments[1] & os.O_CREAT:
                node = place.change(last, _File(b""))
            end = len(node.content) if arguments[1] & os.O_APPEND and isinstance(node, _File) else 0
            self.opened[result] = [node, end]
        elif name == "write":
            node, position = self.opened[arguments[0]]
            node.content = node.content[:position] + arguments[1][:result] + node.content[position + result :]
            self.opened[arguments[0]][1] += result
        elif name == "ftruncate":
            node = self.opened[arguments[0]][0]
            node.content = node.content[: arguments[1]]
        elif name == "fsync":
            if self.opened[arguments[0]][0] is not None:
                self.opened[arguments[0]][0].sync()
        elif name == "replace":
            (from_folder, from_name), (to_folder, to_name) = map(self._found, arguments)
            to_folder.change(to_name, from_folder.names[from_name])
            from_folder.change(from_name, None)
        elif name in ("unlink", "rmdir", "mkdir"):
            place, last = self._found(arguments[0])
            place.change(last, _Folder({}) if name == "mkdir" else None)
        elif name not in ("close", "chmod", "fchmod"):
            raise NotImplementedError(f"the model of the disk does not know {name!r} yet: teach it here")

    def states(self) -> Iterator[dict[str, bytes]]:
        """Yield each state that a power cut may leave now: the files that are there, and what is in them."""
        nodes = list(self._reachable(self.top))
        choices = [list(node.survivors(self.cuts)) for node in nodes]
        seen = set()
        for chosen in itertools.product(*choices):
            left = dict(_listed(self.top, dict(zip(map(id, nodes), chosen, strict=True)), ""))
            if (state := frozenset(left.items())) not in seen:
                seen.add(state)
                yield left

    def _scanned(self, path: str) -> "_File | _Folder":
        if os.path.isdir(path):
            names = [name for name in os.listdir(path) if not os.path.islink(os.path.join(path, name))]
            return _Folder({name: self._scanned(os.path.join(path, name)) for name in names})
        with open(path, "rb") as file:
            return _File(file.read())

    def _found(self, path: os.PathLike[str] | str) -> "tuple[_Folder | None, str]":
        """Return the folder that holds `path`, None if that is outside the model, and the last part of the name."""
        relative = os.path.relpath(path, self.root)
        if relative.startswith(os.pardir):
            return None, ""
        *above, last = relative.split(os.sep)
        place = self.top
        for name in above:
            place = place.names[name]
        return place, "" if last == os.curdir else last

    def _reachable(self, node: "_File | _Folder | None") -> "Iterator[_File | _Folder]":
        if node is not None:
            yield node
        if isinstance(node, _Folder):
            inside = [*node.durable.values(), *(changed for _, changed in node.pending)]
            for inner in {id(n): n for n in inside}.values():
                yield from self._reachable(inner)


class _File:
    def __init__(self, content: bytes) -> None:
        self.durable = self.content = content

    def sync(self) -> None:
        self.durable = self.content

    def survivors(self, cuts: int) -> set[bytes]:
        """What may be read after a power cut."""
        content = self.content
        if content == self.durable:
            return {content}
        kept = len(self.durable) if content.startswith(self.durable) else 0  # what is only added to does not suffer
        at = range(kept, len(content) + 1, max(1, (len(content) - kept) // cuts))
        pieces = {content[:k] for k in at} | {content[:k] + bytes(len(content) - k) for k in at}
        return {self.durable, content} | pieces | {content[:kept] + bytes(k - kept) + content[k:] for k in at}


class _Folder:
    def __init__(self, names: "dict[str, _File | _Folder]") -> None:
        self.durable, self.names = dict(names), dict(names)
        self.pending: list[tuple[str, _File | _Folder | None]] = []

    def change(self, name: str, node: "_File | _Folder | None") -> "_File | _Folder | None":
        self.pending.append((name, node))
        self.names = _changed(self.names, [(name, node)])
        return node

    def sync(self) -> None:
        self.durable, self.pending = dict(self.names), []

    def survivors(self, cuts: int) -> "Iterator[dict[str, _File | _Folder]]":
        """The names that may be there after a power cut: any of the changes since the last sync."""
        for kept in itertools.product([False, True], repeat=len(self.pending)):
            yield _changed(self.durable, itertools.compress(self.pending, kept))


def _changed(names: dict[str, Any], changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(names)
    for name, node in changes:
        names.pop(name, None) if node is None else names.update({name: node})
    return names


def _listed(folder: _Folder, chosen: dict[int, Any], prefix: str) -> Iterator[tuple[str, bytes]]:
    for name, node in chosen[id(folder)].items():
        if isinstance(node, _Folder):
            yield from _listed(node, chosen, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", chosen[id(node)]
