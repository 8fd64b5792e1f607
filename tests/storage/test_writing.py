"""Files are written completely or not at all: permissions, replaced files, and concurrent writers."""

import errno
import os
import stat
import time
from pathlib import Path

import pytest
from faulty_os import FaultyOs, RecordingOs, replacing_os, start_child
from hypothesis import settings
from places import ADDED, OLD, PLACES, append, content, linked_file, old_file, parts, replace

from minidl import InputError
from minidl._storage import files

pytestmark = pytest.mark.scaled
posix = pytest.mark.skipif(os.name != "posix", reason="fork, signals and permissions are those of POSIX")

ROUNDS = settings().max_examples  # 50, and 1000 under `pytest -m nightly`


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
    with replacing_os(faulty), pytest.raises(error):
        write_half(path)
    assert content(path) == OLD
    assert len(parts(tmp_path)) == (not tidying)


@posix
@pytest.mark.parametrize("mode", [None, 0o600, 0o640, 0o666, 0o755, 0o444])
@pytest.mark.parametrize("write", [replace, append])
def test_a_new_file_has_the_permissions_of_any_other_and_an_old_one_keeps_its_own(tmp_path, write, mode):
    (tmp_path / "any").touch()
    path, expected = tmp_path / "a", stat.S_IMODE((tmp_path / "any").stat().st_mode) if mode is None else mode
    if mode is not None:
        path.touch()
        path.chmod(mode)
    with replacing_os(RecordingOs({"open"})) as recording:
        if mode != 0o444 or write is replace or os.geteuid() == 0:
            write(path)
            # No other user can open it in between.
            assert recording.operations[0].arguments[2] == ((mode if write is replace else None) or 0o666)
    assert stat.S_IMODE(path.stat().st_mode) == expected


@posix
@pytest.mark.parametrize("place", PLACES)
def test_lines_are_added_one_below_the_other(tmp_path, place):
    path = place(tmp_path)
    before = content(path) or b""
    for _ in range(2):
        append(path)
    assert path.read_bytes() == before + 2 * ADDED
    assert (tmp_path / "a").is_symlink() == (place is linked_file)


@posix
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
@pytest.mark.parametrize("write", [files.write_whole, files.append_line])
def test_only_regular_files_are_written(tmp_path, make, write):
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
    monkeypatch.chdir(tmp_path)
    with files.replacing("a") as file:
        monkeypatch.chdir(files.make_folder(tmp_path / "x" / "elsewhere"))
        file.write(b"new")
    assert (tmp_path / "a").read_text() == "new"
    assert os.listdir() == []
    with pytest.raises(InputError, match="a/below: expected a folder that can be written, but: "):
        files.make_folder(tmp_path / "a" / "below")


def test_a_file_is_removed_and_a_missing_one_is_no_error(tmp_path):
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


def test_a_paused_writer_gets_an_error_and_the_old_file_stays(tmp_path):
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


@posix
def test_two_processes_that_write_one_file_leave_it_complete(tmp_path):
    path, contents = tmp_path / "a", [bytes([k]) * (20_000 * k) for k in (1, 2, 3)]
    path.write_bytes(contents[0])

    def write_often(content):
        for _ in range(ROUNDS):
            files.write_whole(path, content)

    children, read = [start_child(lambda c=c: write_often(c)) for c in contents[1:]], []
    while children:
        read.append(path.read_bytes())
        children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
    assert set(read) | {path.read_bytes()} <= set(contents)
    assert path.read_bytes() != contents[0]
    assert os.listdir(tmp_path) == ["a"]
