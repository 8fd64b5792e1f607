"""A line that is added to a file: what was there stays whatever fails, and what was added is there to stay."""

import copy
import errno
import os
import signal
import stat

import pytest
from faulty_os import TAKES_SPACE, WATCHED, Disk, FaultyOs, RecordingOs, in_child, standing_in
from places import OLD, PLACES, content, linked_file, numbered_folders, old_file

from minidl._storage import files

posix = pytest.mark.skipif(os.name != "posix", reason="fork, signals and the syncing of folders are those of POSIX")
LINE = "naïve " + "0123456789" * 3
ADDED = f"{LINE}\n".encode()


@pytest.mark.parametrize("place", PLACES)
def test_lines_are_added_one_below_the_other(tmp_path, place):
    path = place(tmp_path)
    before = content(path) or b""
    for _ in range(2):
        files.append_line(path, LINE)
    assert path.read_bytes() == before + 2 * ADDED
    assert (tmp_path / "a").is_symlink() == (place is linked_file)


def test_a_new_file_has_the_permissions_of_any_other_and_an_old_one_keeps_its_own(tmp_path):
    (tmp_path / "any").touch()
    files.append_line(tmp_path / "a", LINE)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "any").stat().st_mode
    (tmp_path / "a").chmod(0o600)
    files.append_line(tmp_path / "a", LINE)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("place", PLACES)
def test_after_any_error_the_line_is_there_or_not_and_the_next_one_is_whole(tmp_path, place, error, sticky):
    watched = TAKES_SPACE if error == errno.ENOSPC else WATCHED
    for number, folder in numbered_folders(tmp_path):
        path, raised = place(folder), None
        before = content(path) or b""
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
        after = content(path) or b""
        assert after in (before, before + ADDED) or (sticky and after.startswith(before))
        if after in (before, before + ADDED):
            files.append_line(path, LINE)
            assert content(path) == after + ADDED
    assert content(path) == before + ADDED
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
    assert content(tmp_path / "a") == OLD + ADDED


@posix
@pytest.mark.parametrize("moment", ["before", "amid", "after"])
@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_any_operation_leaves_what_was_there_and_a_part_of_the_line_at_most(tmp_path, place, moment):
    for number, folder in numbered_folders(tmp_path):
        path = place(folder)
        before = content(path) or b""
        status = in_child(lambda path=path: files.append_line(path, LINE), FaultyOs(number, kill=moment))
        after = content(path) or b""
        assert after.startswith(before)
        assert (before + ADDED).startswith(after)
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert after == before + ADDED
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
