"""A line that is added to a file: what was there stays whatever fails, and what was added is there to stay."""

import copy
import errno
import itertools
import os
import signal
import stat

import pytest
from faulty_os import TAKES_SPACE, WATCHED, Disk, FaultyOs, RecordingOs, in_child, standing_in

from minidl._storage import files

posix = pytest.mark.skipif(os.name != "posix", reason="fork, signals and the syncing of folders are those of POSIX")
OLD, LINE = b"the first line\nthe second\n", "naïve " + "0123456789" * 3
ADDED = OLD + LINE.encode() + b"\n"


def old_file(folder):
    (folder / "a").write_bytes(OLD)
    return folder / "a"


def new_folders(folder):
    return folder / "x" / "y" / "a"


def linked_file(folder):
    (folder / "there").mkdir()
    (folder / "there" / "a").write_bytes(OLD)
    (folder / "a").symlink_to(folder / "there" / "a")
    return folder / "a"


PLACES = [old_file, new_folders, linked_file]


def content(path):
    return path.read_bytes() if path.exists() else b""


def whole(path, before):
    return before + ADDED.removeprefix(OLD)


def folders(tmp_path):
    for number in itertools.count(1):
        (tmp_path / str(number)).mkdir()
        yield number, tmp_path / str(number)


@pytest.mark.parametrize("place", PLACES)
def test_lines_are_added_one_below_the_other(tmp_path, place):
    path = place(tmp_path)
    before = content(path)
    for _ in range(2):
        files.append_line(path, LINE)
    assert path.read_bytes() == before + 2 * (LINE + "\n").encode()
    assert (tmp_path / "a").is_symlink() == (place is linked_file)


def test_a_new_file_has_the_permissions_of_any_other_and_an_old_one_keeps_its_own(tmp_path):
    (tmp_path / "any").touch()
    files.append_line(tmp_path / "a", LINE)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "any").stat().st_mode
    (tmp_path / "a").chmod(0o600)
    files.append_line(tmp_path / "a", LINE)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_folder_is_no_file_to_add_to(tmp_path):
    with pytest.raises(FileExistsError, match="Expected a file, but this is a folder or a device"):
        files.append_line(tmp_path, LINE)


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("place", PLACES)
def test_after_any_error_the_line_is_there_or_not_and_the_next_one_is_whole(tmp_path, place, error, sticky):
    watched = TAKES_SPACE if error == errno.ENOSPC else WATCHED
    for number, folder in folders(tmp_path):
        path, raised = place(folder), None
        before = content(path)
        with standing_in(FaultyOs(number, error, sticky=sticky, watched=watched)) as faulty:
            try:
                files.append_line(path, LINE)
            except OSError as caught:
                raised = caught
        if not faulty.reached:
            break
        assert raised is not None
        assert raised.errno == error
        assert ("bytes are free" in str(raised)) == (error == errno.ENOSPC)
        after = content(path)
        assert after in (before, whole(path, before)) or (sticky and after.startswith(before))
        if after in (before, whole(path, before)):
            files.append_line(path, LINE)
            assert content(path) == whole(path, after)
    assert content(path) == whole(path, before)
    assert number > 3


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_what_was_written_of_a_line_before_the_error_is_taken_back(tmp_path, error):
    path = old_file(tmp_path)

    class HalfThenError(FaultyOs):
        """The first write is short, and the second one fails."""

        def _called(self, name, real, *arguments):
            writes = [operation for operation in self.operations if operation.name == "write"]
            if name == "write" and writes:
                raise OSError(error, os.strerror(error))
            return real(arguments[0], arguments[1][:7]) if name == "write" else real(*arguments)

    with standing_in(HalfThenError(1)) as faulty, pytest.raises(OSError, match=os.strerror(error)):
        files.append_line(path, LINE)
    assert next(o.result for o in faulty.operations if o.name == "write") == 7
    assert content(path) == OLD


def test_what_was_written_short_is_written_on(tmp_path):
    with standing_in(FaultyOs(1, sticky=True, watched={"write"})) as faulty:
        files.append_line(old_file(tmp_path), LINE)
    assert len(faulty.operations) > 3
    assert content(tmp_path / "a") == ADDED


@posix
@pytest.mark.parametrize("moment", ["before", "amid", "after"])
@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_any_operation_leaves_what_was_there_and_a_part_of_the_line_at_most(tmp_path, place, moment):
    for number, folder in folders(tmp_path):
        path = place(folder)
        before = content(path)
        status = in_child(lambda path=path: files.append_line(path, LINE), FaultyOs(number, kill=moment))
        after = content(path)
        assert after.startswith(before)
        assert whole(path, before).startswith(after)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert after == whole(path, before)
    assert number > 5


class Lines:
    """Three lines that were added, the operations that took, and after how many each call had returned."""

    def __init__(self, path):
        self.disk, self.path, self.operations, self.returned = Disk(path.parent, 1000), path, [], []
        for line in ("1" * 10, "22", "3" * 20):
            with standing_in(RecordingOs()) as recording:
                files.append_line(path, line)
            self.operations += recording.operations
            self.returned.append(len(self.operations))

    def wrong_states(self, without=None):
        """Yield what a power cut may leave that it must not: less than was there when the last call returned."""
        disk = copy.deepcopy(self.disk)
        end = self.path.read_bytes().splitlines(keepends=True)
        for number, operation in enumerate(self.operations):
            if number != without:
                disk.apply(operation)
            kept = b"".join(end[: len(end) - 3 + sum(returned <= number + 1 for returned in self.returned)])
            for state in disk.states():
                if not state.get(self.path.name, b"").startswith(kept):
                    yield number, state


@posix
@pytest.mark.parametrize("before", [None, OLD], ids=["new file", "old file"])
def test_a_power_cut_takes_no_line_that_was_added_and_without_an_fsync_it_could(tmp_path, before):
    if before is not None:
        (tmp_path / "a").write_bytes(before)
    lines = Lines(tmp_path / "a")
    assert list(lines.wrong_states()) == []
    syncs = [number for number, operation in enumerate(lines.operations) if operation.name == "fsync"]
    assert len(syncs) == 3 * 2  # the file and its folder, each time
    assert all(any(lines.wrong_states(without=number)) for number in syncs[::2])
    assert any(lines.wrong_states(without=syncs[1])) == (before is None)  # the name of a file that was there is durable


def test_a_file_is_set_aside_under_a_name_that_is_free(tmp_path):
    for name in ("a.jsonl", "a-1.jsonl", "a-3.jsonl"):
        (tmp_path / name).write_text(name)
    assert files.set_aside(tmp_path / "a.jsonl") == tmp_path / "a-2.jsonl"
    assert files.set_aside(tmp_path / "a.jsonl") is None
    left = {"a-1.jsonl": "a-1.jsonl", "a-2.jsonl": "a.jsonl", "a-3.jsonl": "a-3.jsonl"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == left


@posix
@pytest.mark.parametrize("moment", ["before", "after", None])
def test_whatever_fails_while_a_file_is_set_aside_it_is_there_under_one_of_the_names(tmp_path, moment):
    for number, folder in folders(tmp_path):
        (folder / "a").write_bytes(OLD)
        (folder / "a-1").write_bytes(b"another")
        faulty = FaultyOs(number, kill=moment) if moment else FaultyOs(number, errno.EIO)

        def set_aside(folder=folder):
            try:
                files.set_aside(folder / "a")
            except OSError as error:
                os._exit(7 if error.errno == errno.EIO else 1)

        status = in_child(set_aside, faulty)
        if status == 0:
            break
        assert status == (-signal.SIGKILL if moment else 7)
        contents = sorted(path.read_bytes() for path in folder.iterdir())
        assert [content for content in contents if content] == sorted([OLD, b"another"])
        files.set_aside(folder / "a")
        assert OLD in [path.read_bytes() for path in folder.iterdir()]
    assert number > 4
