"""What is on the disk after any operation failed, a kill at any moment, on a full disk, and when two write at once."""

import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from faulty_os import TAKES_SPACE, WATCHED, FaultyOs, ended, in_child, standing_in, start_child
from hypothesis import settings

from minidl import InputError
from minidl._storage import files

pytestmark = [
    pytest.mark.scaled,
    pytest.mark.skipif(os.name != "posix", reason="fork, signals and the order of the calls are those of POSIX"),
]

ROUNDS = settings().max_examples  # 50, and 1000 under `pytest -m nightly`
OLD, NEW = b"the old file", bytes(range(256)) * 100  # several times as long as a buffer
ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EMFILE, errno.EROFS]
FAILING = {"any": WATCHED, "what takes space": TAKES_SPACE, "fsync": {"fsync"}, "close": {"close"}}


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


def save(path):
    """Write NEW in pieces: some that the buffer gathers, and some that it passes on at once."""
    with files.replacing(path) as file:
        for start, end in itertools.pairwise([0, 3, 1000, 20_000, 20_001, len(NEW)]):
            file.write(NEW[start:end])


def content(path):
    return path.read_bytes() if path.exists() else None


def parts(folder):
    return sorted(folder.rglob("*.part"))


def descriptors():
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []


def folders(tmp_path):
    """A number from 1 on and a new folder of that name, each time."""
    for number in itertools.count(1):
        (tmp_path / str(number)).mkdir()
        yield number, tmp_path / str(number)


def fault(folder, place, *arguments, **options):
    """Save where `place` says with one FaultyOs; the file, what it held before, the FaultyOs, and the error or None."""
    path, raised = place(folder), None
    before, opened = content(path), descriptors()
    with standing_in(FaultyOs(*arguments, **options)) as faulty:
        try:
            save(path)
        except OSError as error:
            raised = error
    assert descriptors() == opened
    return path, before, faulty, raised


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("place", PLACES)
def test_after_any_error_the_file_is_the_old_or_the_new_one_whole(tmp_path, place, error, failing, sticky):
    for number, folder in folders(tmp_path):
        path, before, faulty, raised = fault(folder, place, number, error, sticky=sticky, watched=FAILING[failing])
        if not faulty.reached:
            break
        assert raised is not None
        assert raised.errno == error
        assert ("bytes are free" in str(raised)) == (error in (errno.ENOSPC, errno.EDQUOT))
        done = {o.name: not isinstance(o.result, OSError) for o in faulty.operations}  # the last of each name
        if failing == "any":
            replaced = done.get("replace", False)
            assert content(path) == (NEW if replaced else before)
            assert len(parts(folder)) == (not done.get("unlink", True))
        else:
            assert content(path) in (before, NEW)
            assert parts(folder) == []
        save(path)
        assert content(path) == NEW
    assert content(path) == NEW
    assert number > (10 if failing == "any" else 2)


@pytest.mark.parametrize(
    ("error", "sticky"),
    [(None, False), (None, True), (errno.EINTR, False)],
    ids=["short once", "short for good", "interrupted"],
)
@pytest.mark.parametrize("place", PLACES)
def test_what_was_written_short_or_interrupted_is_written_on(tmp_path, place, error, sticky):
    for number, folder in folders(tmp_path):
        path, _, faulty, raised = fault(folder, place, number, error, sticky=sticky, watched={"write"})
        assert raised is None
        assert content(path) == NEW
        assert parts(folder) == []
        if not faulty.reached:
            break
    assert number > 2


@pytest.mark.parametrize("name", ["fsync", "close"])
def test_a_failed_fsync_or_close_is_not_repeated(tmp_path, name):
    path, before, faulty, raised = fault(tmp_path, old_file, 1, errno.EIO, watched={name})
    assert raised.errno == errno.EIO
    assert [operation.name for operation in faulty.operations] == [name]
    assert content(path) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_the_block_raised_is_raised_even_if_tidying_up_fails(tmp_path, error):
    def stop_half_way():
        with files.replacing(tmp_path / "a") as file:
            file.write(b"held by the buffer")
            raise error

    with standing_in(FaultyOs(1, errno.EIO, sticky=True, watched={"close", "unlink"})), pytest.raises(error):
        stop_half_way()
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [0]


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_folder_that_fails_at_any_operation_is_refused_in_a_sentence(tmp_path, error):
    for number, folder in folders(tmp_path):
        message = "all went well"
        with standing_in(FaultyOs(number, error)) as faulty:
            try:
                files.make_folder(folder / "x" / "y")
            except InputError as raised:
                message = str(raised)
        if not faulty.reached:
            break
        assert message == f"{folder / 'x' / 'y'}: expected a folder that can be written, but: {os.strerror(error)}"
        left = [o for o in faulty.operations if o.name == "unlink" and isinstance(o.result, OSError)]
        assert len(parts(folder)) == len(left)
    assert number > 10


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
def test_sweeping_is_silent_about_what_fails(tmp_path, sticky):
    for number, folder in folders(tmp_path):
        left = [folder / f".minidl-{k:016x}.part" for k in range(3)]
        for path in left:
            path.touch()
        with standing_in(FaultyOs(number, errno.EACCES, sticky=sticky)) as faulty:
            removed = files.sweep_parts(folder, older_than=-1.0)
        if not faulty.reached:
            break
        assert removed == [path for path in left if not path.exists()]
    assert removed == left
    assert number == 1 + 2 * 3 + 1


def test_a_lock_that_fails_at_any_operation_is_refused_or_holds_and_is_free_afterwards(tmp_path):
    for number, folder in folders(tmp_path):
        opened, message = descriptors(), ""
        with standing_in(FaultyOs(number, errno.EIO)) as faulty:
            try:
                with files.locked(folder), standing_in(os), pytest.raises(InputError, match="no other process"):
                    files.locked(folder).__enter__()
            except InputError as error:
                message = str(error)
        assert descriptors() == opened
        with files.locked(folder):
            pass
        if not faulty.reached:
            break
        refused = f"{folder}: expected a folder that can be written, but: {os.strerror(errno.EIO)}"
        # The first four are those of `make_folder` and the opening of the lock's file; what it says is no reason.
        assert message == (refused if number <= 4 else "")
    assert number > 5


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("moment", ["before", "amid", "after"])
def test_a_process_killed_at_any_operation_leaves_the_old_or_the_new_file(tmp_path, place, moment):
    for number, folder in folders(tmp_path):
        path = place(folder)
        before = content(path)
        status = in_child(lambda path=path: save(path), FaultyOs(number, kill=moment))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        assert content(path) in (before, NEW)
        left = parts(folder)
        target = Path(os.path.realpath(path)).parent
        assert files.sweep_parts(target) == []  # too young: another process may be writing it
        for part in left:
            os.utime(part, (0, 0))
        assert files.sweep_parts(target) == left
        save(path)
        assert content(path) == NEW
        assert parts(folder) == []
    assert content(path) == NEW
    assert number > 10


@pytest.mark.parametrize("limit", [0, 1, 8191, 8192, 8193, 20_000, len(NEW) - 1, len(NEW)])
def test_a_file_that_may_not_grow_as_long_leaves_the_old_one(tmp_path, limit):
    path = old_file(tmp_path)

    def save_within_the_limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            save(path)
        except OSError as error:
            os._exit(7 if error.errno == errno.EFBIG else 1)

    assert in_child(save_within_the_limit) == (0 if limit == len(NEW) else 7)
    assert content(path) == (NEW if limit == len(NEW) else OLD)
    assert parts(tmp_path) == []


SMALL_DISK = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
FILL = """
import errno, json, os, sys
from pathlib import Path
from minidl._storage import files

path, counts = Path("a"), {"saved": 0, "refused": 0}
for space in range(0, 600_000, 6_000):
    path.write_bytes(b"old" * 1000)
    system = os.statvfs(".")
    Path("fill").write_bytes(bytes(system.f_bavail * system.f_frsize - space))
    try:
        files.write_whole(path, b"new" * 100_000)
    except OSError as error:
        assert error.errno == errno.ENOSPC and "bytes are free): '" in str(error), error
        assert path.read_bytes() == b"old" * 1000
        counts["refused"] += 1
    else:
        assert path.read_bytes() == b"new" * 100_000
        counts["saved"] += 1
    assert sorted(os.listdir()) == ["a", "fill"]
    path.unlink()
    Path("fill").unlink()
print(json.dumps(counts))
"""


def test_a_disk_that_is_really_full_keeps_the_old_file(tmp_path):
    command = ["unshare", "-rm", "sh", "-c", SMALL_DISK, str(tmp_path)]
    if shutil.which("unshare") is None:
        pytest.skip("there is no `unshare` here to make a small disk with")
    if (trial := subprocess.run([*command, "true"], capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"a small disk cannot be mounted here: {trial.stderr.strip()}")
    script = 'cd "$0" && exec "$@"'  # into the disk, and not into the folder that it hides
    run = subprocess.run(
        [*command, "sh", "-c", script, str(tmp_path), sys.executable, "-c", FILL],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    counts = json.loads(run.stdout)
    assert counts["saved"] + counts["refused"] == 100
    assert min(counts.values()) > 40
    assert os.listdir(tmp_path) == []


def test_of_two_processes_that_write_one_file_each_leaves_it_whole(tmp_path):
    path, contents = tmp_path / "a", [bytes([k]) * (20_000 * k) for k in (1, 2, 3)]
    path.write_bytes(contents[0])

    def write_often(content):
        for _ in range(ROUNDS):
            files.write_whole(path, content)

    children, seen = [start_child(lambda c=c: write_often(c)) for c in contents[1:]], []
    while children:
        seen.append(path.read_bytes())
        children = [child for child in children if not has_ended(child)]
    assert set(seen) | {path.read_bytes()} <= set(contents)
    assert path.read_bytes() != contents[0]
    assert os.listdir(tmp_path) == ["a"]


def has_ended(child):
    pid, status = os.waitpid(child, os.WNOHANG)
    assert status == 0
    return pid == child


def hold(folder):
    """Start a child that locks `folder` and holds on, and return its process id once it has the lock."""
    reading, writing = os.pipe()

    def lock():
        with files.locked(folder):
            os.write(writing, b"!")
            time.sleep(60)

    child = start_child(lock)
    os.close(writing)
    assert os.read(reading, 1) == b"!"
    os.close(reading)
    return child


def test_a_folder_is_locked_by_one_process_and_free_when_that_is_killed(tmp_path):
    child = hold(tmp_path)
    try:
        with pytest.raises(InputError, match=rf"{tmp_path}: .*process {child} does; wait .*another folder"):
            files.locked(tmp_path).__enter__()
        with files.locked(tmp_path / "another"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL
    with files.locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_worker_that_was_forked_meanwhile_does_not_keep_the_lock(tmp_path):
    with files.locked(tmp_path):
        worker = start_child(lambda: time.sleep(60))
    try:
        with files.locked(tmp_path):
            assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    finally:
        os.kill(worker, signal.SIGKILL)
        ended(worker)


def test_of_many_processes_one_at_a_time_has_the_lock(tmp_path):
    def work():
        done = 0
        while done < ROUNDS // 5:
            try:
                with files.locked(tmp_path):
                    os.close(os.open(tmp_path / "inside", os.O_CREAT | os.O_EXCL))
                    time.sleep(0)
                    os.unlink(tmp_path / "inside")
                    done += 1
            except InputError:
                time.sleep(0.001)

    assert [ended(child) for child in [start_child(work) for _ in range(4)]] == [0] * 4


@pytest.mark.parametrize(("error", "raised"), [(errno.ENOTSUP, False), (errno.ENOSYS, False), (errno.EIO, True)])
def test_a_file_system_that_has_no_locks_is_no_error_and_a_broken_one_is(tmp_path, monkeypatch, error, raised):
    def refuse(descriptor, operation):
        raise OSError(error, "no locks")

    monkeypatch.setattr(files, "fcntl", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4, LOCK_UN=8))
    with pytest.raises(OSError, match="no locks") if raised else nullcontext(), files.locked(tmp_path):
        pass
