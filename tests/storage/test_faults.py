"""After a failure or kill at any disk operation, a file is the complete old one or the complete new one."""

import ast
import errno
import os
import signal
from pathlib import Path

import pytest
from faulty_os import TAKES_SPACE, WATCHED, FaultyOs, in_child, replacing_os
from places import ADDED, NEW, OLD, PLACES, append, content, descriptors, numbered_folders, old_file, parts, replace

from minidl import InputError
from minidl._storage import files, locks

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="fork, signals and the syncing of folders are those of POSIX"
)

FAULTS = {
    "full": (errno.ENOSPC, TAKES_SPACE),
    "over quota": (errno.EDQUOT, TAKES_SPACE),
    "broken": (errno.EIO, WATCHED),
    "full for anything": (errno.ENOSPC, WATCHED),
    "not to be written": (errno.EROFS, WATCHED),
    "broken at fsync": (errno.EIO, {"fsync"}),
}
sticky_or_not = pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
by_any_writer = pytest.mark.parametrize("write", [replace, append])
at_any_place = pytest.mark.parametrize("place", PLACES)


def after(write, before):
    return NEW if write is replace else (before or b"") + ADDED


def fault(write, path, *arguments, **options):
    """Write with one FaultyOs, check that no descriptor stays open, and return it with the error or None."""
    opened, raised = descriptors(), None
    with replacing_os(FaultyOs(*arguments, **options)) as faulty:
        try:
            write(path)
        except OSError as error:
            raised = error
    assert descriptors() == opened
    return faulty, raised


def done(faulty):
    return [o for o in faulty.operations if not isinstance(o.result, OSError)]


def left_over(faulty):
    """Return the number of temporary files that could not be removed."""
    made = {o.arguments[0] for o in done(faulty) if o.name == "open" and str(o.arguments[0]).endswith(".part")}
    return len(made - {o.arguments[0] for o in done(faulty) if o.name in ("unlink", "replace")})


@sticky_or_not
@pytest.mark.parametrize("kind", FAULTS)
@at_any_place
@by_any_writer
def test_after_any_error_the_file_is_whole_and_the_next_attempt_succeeds(tmp_path, write, place, kind, sticky):
    error, watched = FAULTS[kind]
    for number, folder in numbered_folders(tmp_path):
        path = place(folder)
        before = content(path)
        faulty, raised = fault(write, path, number, error, sticky=sticky, watched=watched)
        if not faulty.reached:
            break
        assert raised is not None
        assert raised.errno == error
        assert ("bytes free" in str(raised)) == (error in (errno.ENOSPC, errno.EDQUOT))
        assert len(parts(folder)) == (left_over(faulty) if watched is WATCHED else 0)
        now = content(path)
        if write is replace and watched is WATCHED:
            assert now == (NEW if "replace" in [o.name for o in done(faulty)] else before)
        elif write is replace:
            assert now in (before, NEW)
        elif sticky:
            # The partial line could not be removed.
            assert (now or b"").startswith(before or b"")
        else:
            assert (now or b"") in (before or b"", after(write, before))
        write(path)
        assert content(path) == after(write, now)
    assert content(path) == after(write, before)
    assert number > (3 if watched is not WATCHED else 5 if write is append else 10) - (len(watched) == 1)


@sticky_or_not
@by_any_writer
def test_short_writes_are_continued(tmp_path, write, sticky):
    for number, folder in numbered_folders(tmp_path):
        faulty, raised = fault(write, old_file(folder), number, sticky=sticky, watched={"write"})
        assert raised is None
        assert content(folder / "a") == after(write, OLD)
        if not faulty.reached:
            break
        assert len(faulty.operations) > number
    assert number > 1


@pytest.mark.parametrize("name", ["fsync", "close"])
def test_a_failed_fsync_or_close_is_not_repeated(tmp_path, name):
    faulty, raised = fault(replace, old_file(tmp_path), 1, errno.EIO, watched={name})
    assert raised.errno == errno.EIO
    assert [operation.name for operation in faulty.operations] == [name]
    assert content(tmp_path / "a") == OLD


@pytest.mark.parametrize(
    ("error", "raises"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True), (errno.EACCES, True)]
)
def test_a_file_system_that_cannot_sync_folders_is_no_error_and_a_broken_one_is(tmp_path, error, raises):
    # The first fsync is that of the file.
    faulty, raised = fault(replace, tmp_path / "a", 2, error, watched={"fsync"})
    assert faulty.reached
    assert getattr(raised, "errno", None) == (error if raises else None)


@pytest.mark.parametrize("moment", ["before", "amid", "after"])
@at_any_place
@by_any_writer
def test_a_process_killed_at_any_operation_leaves_the_file_as_it_was_or_as_it_should_be(tmp_path, write, place, moment):
    for number, folder in numbered_folders(tmp_path):
        path = place(folder)
        before = content(path)
        status = in_child(lambda path=path: write(path), FaultyOs(number, kill=moment))
        now = content(path)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        if write is append:
            assert (now or b"").startswith(before or b"")
            assert after(write, before).startswith(now or b"")
            continue
        assert now in (before, NEW)
        left = parts(folder)
        target = Path(os.path.realpath(path)).parent
        # Too young: another process may be writing it.
        assert files.sweep_parts(target) == []
        for part in left:
            os.utime(part, (0, 0))
        assert files.sweep_parts(target) == left
        write(path)
        assert content(path) == NEW
    assert now == after(write, before)
    assert number > (10 if write is replace else 5)


@pytest.mark.parametrize("moment", ["before", "after", None])
def test_a_failure_while_a_file_is_set_aside_leaves_it_under_one_name(tmp_path, moment):
    for number, folder in numbered_folders(tmp_path):
        (folder / "a-1").write_bytes(b"another")
        path = old_file(folder)
        faulty = FaultyOs(number, kill=moment) if moment else FaultyOs(number, errno.EIO)
        status = in_child(lambda path=path: files.set_aside(path), faulty)
        if status == 0:
            break
        assert status == (-signal.SIGKILL if moment else 1)
        contents = sorted(path.read_bytes() for path in folder.iterdir())
        assert [content for content in contents if content] == sorted([OLD, b"another"])
        files.set_aside(path)
        assert OLD in [path.read_bytes() for path in folder.iterdir()]
    assert number > 4


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_a_folder_that_fails_at_any_operation_is_refused_in_a_sentence(tmp_path, error):
    for number, folder in numbered_folders(tmp_path):
        message, path = "all went well", folder / "x" / "y"
        with replacing_os(FaultyOs(number, error)) as faulty:
            try:
                files.make_folder(path)
            except InputError as raised:
                message = str(raised)
        if not faulty.reached:
            break
        assert message == f"{path}: expected a folder that can be written, but: {os.strerror(error)}"
        assert len(parts(folder)) == left_over(faulty)
    assert number > 10


@sticky_or_not
def test_failures_to_remove_temporary_files_are_silent(tmp_path, sticky):
    for number, folder in numbered_folders(tmp_path):
        left = [folder / f".minidl-{k:016x}.part" for k in range(3)]
        for path in left:
            path.touch()
        with replacing_os(FaultyOs(number, errno.EACCES, sticky=sticky)) as faulty:
            assert files.sweep_parts(folder, older_than=-1.0) == [path for path in left if not path.exists()]
        if not faulty.reached:
            break
    assert number == 1 + 2 * 3 + 1
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("module", [files, locks])
def test_every_change_of_the_disk_is_a_call_of_os(module):
    calls = [node.func for node in ast.walk(ast.parse(Path(module.__file__).read_text())) if isinstance(node, ast.Call)]
    others = {call.attr for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call.value) != "os"}
    assert not others & {"open", "touch", "mkdir", "unlink", "rmdir", "rename", "chmod", "write_text", "write_bytes"}
    assert "open" not in {call.id for call in calls if isinstance(call, ast.Name)}
