import ast
import errno
import io
import os
import stat
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from faulty_os import RecordingOs, standing_in

from minidl import InputError
from minidl._storage import files


def test_text_and_bytes_are_written_and_the_folder_is_made(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    assert files.write_whole(path, "naïve") == path
    assert path.read_bytes() == "naïve".encode()
    files.write_whole(str(path), b"\x00")
    assert path.read_bytes() == b"\x00"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_whole_and_nothing_is_left_over(tmp_path, error):
    path = files.write_whole(tmp_path / "a", "old")

    def write_half():
        with files.replacing(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_nobody_sees_the_new_file_before_it_is_whole(tmp_path):
    path = tmp_path / "a"
    with files.replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_a_failed_sync_is_not_reported_as_saved(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    path = files.write_whole(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_file_and_folder_are_synced_in_this_order(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    files.write_whole(tmp_path / "a", "new")
    assert synced == [False, True]


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_folders_is_no_error_and_a_broken_one_is(tmp_path, monkeypatch, number, raised):
    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(OSError, match="no") if raised else nullcontext():
        files.write_whole(tmp_path / "a", "new")


def test_a_folder_is_made_and_left_empty(tmp_path):
    assert files.make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert os.listdir(tmp_path / "a" / "b") == []


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{name}: expected a folder that can be written, but: "):
        files.make_folder(tmp_path / name)


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "any").touch()
    path = files.write_whole(tmp_path / "a", "")
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path):
    assert files.write_whole(tmp_path / ("字" * 84), "a").read_text() == "a"


def test_whatever_changes_the_disk_is_a_call_of_os():
    calls = [node.func for node in ast.walk(ast.parse(Path(files.__file__).read_text())) if isinstance(node, ast.Call)]
    methods = [call for call in calls if isinstance(call, ast.Attribute)]
    of_os = {call.attr for call in methods if ast.unparse(call.value) == "os"}
    assert of_os >= {"open", "write", "fsync", "close", "replace", "unlink", "mkdir", "rmdir", "chmod"}
    others = {call.attr for call in methods if ast.unparse(call.value) != "os"}
    assert not others & {"open", "touch", "mkdir", "unlink", "rmdir", "rename", "chmod", "write_text", "write_bytes"}
    assert "open" not in {call.id for call in calls if isinstance(call, ast.Name)}


def test_a_file_is_removed_and_one_that_is_gone_is_no_error(tmp_path):
    path = files.write_whole(tmp_path / "a", "old")
    for _ in range(2):
        files.remove(path)
        assert os.listdir(tmp_path) == []
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder'"):
        files.remove(tmp_path / "folder")


def test_through_a_link_the_file_behind_it_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    behind = files.write_whole(tmp_path / "there" / "b", "old")
    link, chain = tmp_path / "link", tmp_path / "chain"
    link.symlink_to(Path("there") / "b")
    chain.symlink_to(link)
    assert files.write_whole(chain, "new") == chain
    assert behind.read_text() == chain.read_text() == "new"
    assert link.is_symlink()
    assert chain.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["chain", "link", "there"]
    assert os.listdir(tmp_path / "there") == ["b"]


def test_through_a_link_to_nothing_the_file_is_made_where_it_points(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "new" / "b")
    files.write_whole(tmp_path / "link", "new")
    assert (tmp_path / "new" / "b").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_link_to_itself_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="a'"):
        files.write_whole(tmp_path / "a", "new")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are those of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755, 0o444])
def test_the_old_files_permissions_are_kept_from_the_first_byte_on(tmp_path, mode):
    path = files.write_whole(tmp_path / "a", "old")
    path.chmod(mode)
    with standing_in(RecordingOs({"open"})) as recording, files.replacing(path) as file:
        assert recording.operations[0].arguments[2] == mode  # nobody else can open it in between
        file.write(b"new")
        (part,) = tmp_path.glob(".*.part")
        assert stat.S_IMODE(part.stat().st_mode) == mode
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


@pytest.mark.parametrize("make", [Path.mkdir, pytest.param(lambda path: os.mkfifo(path), id="fifo")])
def test_what_is_no_file_is_never_replaced(tmp_path, make):
    make(tmp_path / "a")
    kind = stat.S_IFMT((tmp_path / "a").stat().st_mode)
    with pytest.raises(FileExistsError, match=r"Expected a file, but this is a folder or a device: .*a'"):
        files.write_whole(tmp_path / "a", "new")
    assert stat.S_IFMT((tmp_path / "a").stat().st_mode) == kind
    assert os.listdir(tmp_path) == ["a"]


def test_the_file_goes_where_its_name_pointed_when_it_was_opened(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with files.replacing("a") as file:
        monkeypatch.chdir(tmp_path / "elsewhere")
        file.write(b"new")
    assert (tmp_path / "a").read_text() == "new"
    assert os.listdir() == []


def test_the_open_file_can_be_written_and_nothing_else(tmp_path):
    with files.replacing(tmp_path / "a") as file:
        assert file.writable()
        assert file.write(memoryview(b"ab")) == 2
        for call in (file.fileno, file.read, lambda: file.seek(0), lambda: file.truncate(0)):
            with pytest.raises(io.UnsupportedOperation):
                call()
    assert file.closed
    assert (tmp_path / "a").read_bytes() == b"ab"


def test_old_temporary_files_of_our_own_are_swept_and_nothing_else(tmp_path):
    with files.replacing(tmp_path / "a"):
        (name,) = os.listdir(tmp_path)
    old, young, folder = (
        tmp_path / name,
        tmp_path / f"{name[:8]}{'0' * 16}.part",
        tmp_path / f"{name[:8]}{'1' * 16}.part",
    )
    foreign = [
        ".part",
        "a.part",
        f"x{name}",
        f"{name}x",
        name.upper(),
        name.replace("minidl", "other"),
        name[1:],
        "a.tmp",
    ]
    folder.mkdir()
    for path in (old, young, folder, *(tmp_path / other for other in foreign)):
        path.touch()
        if path != young:
            os.utime(path, (0, time.time() - 3700))
    before = set(os.listdir(tmp_path))
    assert files.sweep_parts(tmp_path, older_than=3800) == []
    assert files.sweep_parts(str(tmp_path)) == [old]
    assert set(os.listdir(tmp_path)) == before - {name}
    assert young.exists()


@pytest.mark.parametrize("name", ["missing", "file"])
def test_where_there_is_no_folder_there_is_nothing_to_sweep(tmp_path, name):
    (tmp_path / "file").touch()
    assert files.sweep_parts(tmp_path / name) == []


def test_who_is_swept_while_paused_gets_an_error_and_the_old_file_stays(tmp_path):
    path = files.write_whole(tmp_path / "a", "old")

    def pause():
        with files.replacing(path) as file:
            file.write(b"new")
            assert len(files.sweep_parts(tmp_path, older_than=-1.0)) == 1

    with pytest.raises(FileNotFoundError):
        pause()
    assert path.read_text() == "old"


def test_a_lock_is_free_again_after_the_block_and_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), files.locked(tmp_path / "new"):
            raise ValueError("inside")
    assert os.listdir(tmp_path / "new") == [".lock"]


def test_a_lock_names_its_holder_and_nobody_before(tmp_path):
    (tmp_path / ".lock").write_text("12345678901234567890\n")
    with files.locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_made_cannot_be_locked(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="file: expected a folder that can be written"),
        files.locked(tmp_path / "file"),
    ):
        pass


def test_a_folder_that_is_locked_is_not_locked_again(tmp_path):
    pytest.importorskip("fcntl", reason="this platform has no such locks")
    with files.locked(tmp_path):
        with pytest.raises(InputError, match=f"process {os.getpid()} does; wait"), files.locked(tmp_path):
            pass
        with pytest.raises(InputError), files.locked(tmp_path):  # the refused one did not free it
            pass


def test_where_the_platform_has_no_locks_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    with files.locked(tmp_path), files.locked(tmp_path):  # where there are locks, the second is an InputError
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
