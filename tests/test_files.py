import errno
import os
import stat
from contextlib import nullcontext

import pytest

from minidl import InputError, files


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
