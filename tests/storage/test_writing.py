"""Files written whole or not at all: whatever fails, whoever is killed, and where two write at once."""

import ast
import errno
import itertools
import os
import signal
import stat
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from faulty_os import TAKES_SPACE, WATCHED, FaultyOs, RecordingOs, in_child, standing_in, start_child
from hypothesis import settings
from places import OLD, PLACES, content, descriptors, numbered_folders, old_file, parts

from minidl import InputError
from minidl._storage import files, locks

pytestmark = pytest.mark.scaled
posix = pytest.mark.skipif(os.name != "posix", reason="fork, signals and permissions are those of POSIX")

ROUNDS = settings().max_examples  # 50, and 1000 under `pytest -m nightly`
NEW = bytes(range(256)) * 100
ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]
FAILING = {"any": WATCHED, "what takes space": TAKES_SPACE, "fsync": {"fsync"}, "close": {"close"}}


def save(path):
    with files.replacing(path) as file:
        for start, end in itertools.pairwise([0, 3, 1000, 20_000, 20_001, len(NEW)]):
            file.write(memoryview(NEW)[start:end])


def test_text_and_bytes_are_written_and_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / ("字" * 84)
    assert files.write_whole(path, "naïve") == path
    assert path.read_bytes() == "naïve".encode()
    files.write_whole(str(path), b"\x00")
    assert path.read_bytes() == b"\x00"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("tidying", [True, False])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_of_the_block_the_old_file_is_whole_and_that_error_is_raised(tmp_path, error, tidying):
    def write_half(path):
        with files.replacing(path) as file:
            assert content(path) == OLD
            file.write(b"half of the n")
            raise error

    path = old_file(tmp_path)
    faulty = os if tidying else FaultyOs(1, errno.EIO, sticky=True, watched={"close", "unlink"})
    with standing_in(faulty), pytest.raises(error):
        write_half(path)
    assert content(path) == OLD
    assert len(parts(tmp_path)) == (not tidying)


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True), (errno.EACCES, True)]
)
def test_a_file_system_that_cannot_sync_folders_is_no_error_and_a_broken_one_is(tmp_path, number, raised):
    syncs = FaultyOs(2, number, watched={"fsync"})  # the first is that of the file
    with standing_in(syncs), pytest.raises(OSError, match=os.strerror(number)) if raised else nullcontext():
        files.write_whole(tmp_path / "a", "new")
    assert syncs.reached


@posix
@pytest.mark.parametrize("mode", [None, 0o600, 0o640, 0o666, 0o755, 0o444])
def test_a_new_file_has_the_permissions_of_any_other_and_an_old_one_keeps_its_own(tmp_path, mode):
    (tmp_path / "any").touch()
    path = tmp_path / "a"
    if mode is not None:
        path.touch()
        path.chmod(mode)
    expected = stat.S_IMODE((tmp_path / "any").stat().st_mode) if mode is None else mode
    with standing_in(RecordingOs({"open"})) as recording, files.replacing(path) as file:
        assert recording.operations[0].arguments[2] == (mode or 0o666)  # nobody else can open it in between
        file.write(b"new")
        (part,) = parts(tmp_path)
        assert stat.S_IMODE(part.stat().st_mode) == expected
    assert stat.S_IMODE(path.stat().st_mode) == expected


@posix
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
@pytest.mark.parametrize("write", [files.write_whole, files.append_line])
def test_what_is_no_file_is_never_written(tmp_path, make, write):
    make(tmp_path / "a")
    before = (tmp_path / "a").lstat().st_mode
    with pytest.raises(OSError, match=r"this is a folder or a device|symbolic link"):
        write(tmp_path / "a", "new")
    assert (tmp_path / "a").lstat().st_mode == before
    assert os.listdir(tmp_path) == ["a"]


@posix
def test_through_links_the_file_is_written_where_they_point(tmp_path):
    (tmp_path / "link").symlink_to(Path("new") / "b")
    (tmp_path / "chain").symlink_to(tmp_path / "link")
    for text in ("made", "replaced"):
        assert files.write_whole(tmp_path / "chain", text) == tmp_path / "chain"
        assert (tmp_path / "new" / "b").read_text() == text
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "chain").is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "chain", "link", "new"]


def test_the_file_goes_where_its_name_pointed_when_it_was_opened(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with files.replacing("a") as file:
        monkeypatch.chdir(tmp_path / "elsewhere")
        file.write(b"new")
    assert (tmp_path / "a").read_text() == "new"
    assert os.listdir() == []


def test_a_folder_is_made_and_left_empty_and_one_that_cannot_be_written_is_refused(tmp_path):
    assert files.make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert os.listdir(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    for name in ("file", "file/below"):
        with pytest.raises(InputError, match=f"{name}: expected a folder that can be written, but: "):
            files.make_folder(tmp_path / name)


def test_a_file_is_removed_and_one_that_is_gone_is_no_error(tmp_path):
    path = old_file(tmp_path)
    for _ in range(2):
        files.remove(path)
        assert os.listdir(tmp_path) == []
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder'"):
        files.remove(tmp_path / "folder")


def test_old_temporary_files_of_our_own_are_swept_and_nothing_else(tmp_path):
    with files.replacing(tmp_path / "a"):
        (name,) = os.listdir(tmp_path)
    old, young, folder = (tmp_path / f"{name[:8]}{digit * 16}.part" for digit in "012")
    foreign = [".part", "a.part", f"x{name}", f"{name}x", name.upper(), name.replace("minidl", "other"), name[1:]]
    folder.mkdir()
    for path in (old, young, folder, *(tmp_path / other for other in foreign)):
        path.touch()
        if path != young:
            os.utime(path, (0, time.time() - 3700))
    before = set(os.listdir(tmp_path))
    assert files.sweep_parts(tmp_path, older_than=3800) == []
    assert files.sweep_parts(str(tmp_path)) == [old]
    assert set(os.listdir(tmp_path)) == before - {old.name}
    for nowhere in ("missing", "a.part"):
        assert files.sweep_parts(tmp_path / nowhere) == []


def test_who_is_swept_while_paused_gets_an_error_and_the_old_file_stays(tmp_path):
    def pause(path):
        with files.replacing(path) as file:
            file.write(b"new")
            assert len(files.sweep_parts(tmp_path, older_than=-1.0)) == 1

    with pytest.raises(FileNotFoundError):
        pause(old_file(tmp_path))
    assert content(tmp_path / "a") == OLD


def test_a_file_is_set_aside_under_a_name_that_is_free(tmp_path):
    for name in ("a.jsonl", "a-1.jsonl", "a-3.jsonl"):
        (tmp_path / name).write_text(name)
    assert files.set_aside(tmp_path / "a.jsonl") == tmp_path / "a-2.jsonl"
    assert files.set_aside(tmp_path / "a.jsonl") is None
    assert files.set_aside(tmp_path / "a-3.jsonl") == tmp_path / "a-3-1.jsonl"
    left = {"a-1.jsonl": "a-1.jsonl", "a-2.jsonl": "a.jsonl", "a-3-1.jsonl": "a-3.jsonl"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize("module", [files, locks])
def test_whatever_changes_the_disk_is_a_call_of_os_which_a_test_can_make_fail(module):
    calls = [node.func for node in ast.walk(ast.parse(Path(module.__file__).read_text())) if isinstance(node, ast.Call)]
    others = {call.attr for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call.value) != "os"}
    assert not others & {"open", "touch", "mkdir", "unlink", "rmdir", "rename", "chmod", "write_text", "write_bytes"}
    assert "open" not in {call.id for call in calls if isinstance(call, ast.Name)}


# One operation after the other fails.


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


def left_over(faulty):
    """Return how many temporary files were made and could not be removed."""
    done = [(o.name, o.arguments) for o in faulty.operations if not isinstance(o.result, OSError)]
    made = [arguments[0] for name, arguments in done if name == "open" and str(arguments[0]).endswith(".part")]
    gone = [arguments[0] for name, arguments in done if name in ("unlink", "replace")]
    return len(set(made) - set(gone))


@posix
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("place", PLACES)
def test_after_any_error_the_file_is_the_old_or_the_new_one_whole(tmp_path, place, error, failing, sticky):
    for number, folder in numbered_folders(tmp_path):
        path, before, faulty, raised = fault(folder, place, number, error, sticky=sticky, watched=FAILING[failing])
        if not faulty.reached:
            break
        assert raised is not None
        assert raised.errno == error
        assert ("bytes are free" in str(raised)) == (error in (errno.ENOSPC, errno.EDQUOT))
        if failing == "any":
            done = [o.name for o in faulty.operations if not isinstance(o.result, OSError)]
            assert content(path) == (NEW if "replace" in done else before)
            assert len(parts(folder)) == left_over(faulty)
        else:
            assert content(path) in (before, NEW)
            assert parts(folder) == []
        save(path)
        assert content(path) == NEW
    assert content(path) == NEW
    assert number > (10 if failing == "any" else 2)


@posix
@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
def test_what_was_written_short_is_written_on(tmp_path, sticky):
    for number, folder in numbered_folders(tmp_path):
        path, _, faulty, raised = fault(folder, old_file, number, sticky=sticky, watched={"write"})
        assert raised is None
        assert content(path) == NEW
        if not faulty.reached:
            break
    assert number > 2


@pytest.mark.parametrize("name", ["fsync", "close"])
def test_a_failed_fsync_or_close_is_not_repeated(tmp_path, name):
    path, before, faulty, raised = fault(tmp_path, old_file, 1, errno.EIO, watched={name})
    assert raised.errno == errno.EIO
    assert [operation.name for operation in faulty.operations] == [name]
    assert content(path) == before


@posix
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_folder_that_fails_at_any_operation_is_refused_in_a_sentence(tmp_path, error):
    for number, folder in numbered_folders(tmp_path):
        message = "all went well"
        with standing_in(FaultyOs(number, error)) as faulty:
            try:
                files.make_folder(folder / "x" / "y")
            except InputError as raised:
                message = str(raised)
        if not faulty.reached:
            break
        assert message == f"{folder / 'x' / 'y'}: expected a folder that can be written, but: {os.strerror(error)}"
        assert len(parts(folder)) == left_over(faulty)
    assert number > 10


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
def test_sweeping_is_silent_about_what_fails(tmp_path, sticky):
    for number, folder in numbered_folders(tmp_path):
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


@posix
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("moment", ["before", "amid", "after"])
def test_a_process_killed_at_any_operation_leaves_the_old_or_the_new_file(tmp_path, place, moment):
    for number, folder in numbered_folders(tmp_path):
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
    assert content(path) == NEW
    assert number > 10


@posix
@pytest.mark.parametrize("moment", ["before", "after", None])
def test_whatever_fails_while_a_file_is_set_aside_it_is_there_under_one_of_the_names(tmp_path, moment):
    for number, folder in numbered_folders(tmp_path):
        (folder / "a-1").write_bytes(b"another")

        old_file(folder)

        def set_aside(folder=folder):
            try:
                files.set_aside(folder / "a")
            except OSError as error:
                os._exit(7 if error.errno == errno.EIO else 1)

        faulty = FaultyOs(number, kill=moment) if moment else FaultyOs(number, errno.EIO)
        status = in_child(set_aside, faulty)
        if status == 0:
            break
        assert status == (-signal.SIGKILL if moment else 7)
        contents = sorted(path.read_bytes() for path in folder.iterdir())
        assert [content for content in contents if content] == sorted([OLD, b"another"])
        files.set_aside(folder / "a")
        assert OLD in [path.read_bytes() for path in folder.iterdir()]
    assert number > 4


@posix
def test_of_two_processes_that_write_one_file_each_leaves_it_whole(tmp_path):
    path, contents = tmp_path / "a", [bytes([k]) * (20_000 * k) for k in (1, 2, 3)]
    path.write_bytes(contents[0])

    def write_often(content):
        for _ in range(ROUNDS):
            files.write_whole(path, content)

    children, seen = [start_child(lambda c=c: write_often(c)) for c in contents[1:]], []
    while children:
        seen.append(path.read_bytes())
        children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
    assert set(seen) | {path.read_bytes()} <= set(contents)
    assert path.read_bytes() != contents[0]
    assert os.listdir(tmp_path) == ["a"]
