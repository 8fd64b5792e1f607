"""Locks: one process at a time, released however it ends, and no lock where the system has none."""

import errno
import itertools
import os
import signal
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from faulty_os import FaultyOs, exit_status_of, replacing_os, start_child
from hypothesis import settings
from places import descriptors, numbered_folders

from minidl import InputError
from minidl._storage import locks
from minidl._storage.locks import locked

ROUNDS = settings().max_examples // 5  # 10, and 200 under `pytest -m nightly`
pytestmark = [pytest.mark.scaled, pytest.mark.skipif(locks.fcntl is None, reason="this platform has no such locks")]


def refused(words, *place):
    with pytest.raises(InputError, match=words):
        locked(*place).__enter__()


def test_a_lock_is_free_again_after_the_block_and_after_an_error_and_names_its_holder(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), locked(tmp_path / "new"):
            raise ValueError("inside")
    assert os.listdir(tmp_path / "new") == [".lock"]
    (tmp_path / "new" / ".lock").write_text("12345678901234567890\n")
    with locked(tmp_path / "new"):
        assert (tmp_path / "new" / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_written_cannot_be_locked(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    for name in ("file", "folder"):
        refused(f"{name}: expected a folder that can be written", tmp_path / name)


def test_a_name_that_is_too_long_is_blamed_itself(tmp_path):
    for name in ("f" * 250, "f" * 300):
        refused(rf"/{name}: expected a file that can be written, .*too long; choose a shorter name$", tmp_path, name)
    with locked(tmp_path, "f" * 249):
        pass


def test_a_lock_excludes_others_but_not_on_other_files(tmp_path):
    with locked(tmp_path), locked(tmp_path, "a"), locked(tmp_path, "b"):
        for _ in range(2):  # the first refusal does not free it
            refused(f"{tmp_path}: .*process {os.getpid()} does; .*another folder", tmp_path)
            refused(r"a: expected a file that no other process .*another file", tmp_path, "a")


def test_a_platform_without_locks_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with locked(tmp_path), locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(("error", "raised"), [(errno.ENOTSUP, False), (errno.ENOSYS, False), (errno.EIO, True)])
def test_a_file_system_that_has_no_locks_is_no_error_and_a_broken_one_is(tmp_path, monkeypatch, error, raised):
    def refuse(descriptor, operation):
        raise OSError(error, "no locks")

    monkeypatch.setattr(locks, "fcntl", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4, LOCK_UN=8))
    opened = descriptors()
    with pytest.raises(OSError, match="no locks") if raised else nullcontext(), locked(tmp_path):
        pass
    assert descriptors() == opened


def test_a_lock_that_fails_at_any_operation_is_refused_or_holds_and_is_free_afterwards(tmp_path):
    for number, folder in numbered_folders(tmp_path):
        opened, message = descriptors(), ""
        with replacing_os(FaultyOs(number, errno.EIO)) as faulty:
            try:
                with locked(folder), replacing_os(os), pytest.raises(InputError, match="no other process"):
                    locked(folder).__enter__()
            except InputError as error:
                message = str(error)
        assert descriptors() == opened
        with locked(folder):
            pass
        if not faulty.reached:
            break
        refused = f"{folder}: expected a folder that can be written, but: {os.strerror(errno.EIO)}"
        # The first four make the folder and open the lock's file; the file's content does not matter.
        assert message == (refused if number <= 4 else "")
    assert number > 5


def test_a_worker_that_was_forked_meanwhile_does_not_keep_the_lock(tmp_path):
    with locked(tmp_path):
        worker = start_child(lambda: time.sleep(60))
    try:
        with locked(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        exit_status_of(worker)


@pytest.mark.parametrize("file", ["", "sweep.jsonl"])
def test_a_lock_is_free_when_its_process_is_killed_even_if_a_forked_one_lives(tmp_path, file):
    reading, writing = os.pipe()

    def hold():
        with locked(tmp_path, file):
            if not os.fork():
                os.write(writing, f"{os.getpid()}".encode())
                time.sleep(600)
            signal.pause()

    child = start_child(hold)
    try:
        helper = int(os.read(reading, 32))
        try:
            refused(rf"process {child} does; wait", tmp_path, file)
            os.kill(child, signal.SIGKILL)
            assert exit_status_of(child) == -signal.SIGKILL
            with locked(tmp_path, file):
                # The helper process did not inherit the lock.
                os.kill(helper, 0)
        finally:
            os.kill(helper, signal.SIGKILL)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_forked_process_that_leaves_the_block_does_not_release_the_lock(tmp_path):
    outside = os.open(tmp_path / "else", os.O_CREAT | os.O_RDWR)

    def leave():
        os.fstat(outside)
        reused = [os.dup(outside) for _ in range(10)]
        try:
            block.__exit__(None, None, None)
        finally:
            for descriptor in reused:
                os.fstat(descriptor)
        with locked(tmp_path, "its own"):
            refused(rf"process {os.getpid()} does", tmp_path, "its own")
        refused(rf"process {os.getppid()} does", tmp_path)

    opened = descriptors()
    block = locked(tmp_path)
    block.__enter__()
    assert exit_status_of(start_child(leave)) == 0
    refused(rf"process {os.getpid()} does", tmp_path)
    block.__exit__(None, None, None)
    assert descriptors() == opened
    os.close(outside)


def test_a_link_is_the_file_that_it_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "another").symlink_to(tmp_path / "folder")
    (tmp_path / "alias").symlink_to("folder/file")
    (tmp_path / "second").symlink_to("alias")
    places = [(tmp_path / "folder", "file"), (tmp_path / "another", "file"), (tmp_path, "alias"), (tmp_path, "second")]
    for holder, other in itertools.permutations(places, 2):  # also where there is no such file yet
        with locked(*holder):
            refused(rf"{other[1]}: expected a file that no other process", *other)
    with locked(tmp_path / "folder"):
        refused("another: expected a folder", tmp_path / "another")
    assert sorted(os.listdir(tmp_path)) == ["alias", "another", "folder", "second"]


def test_only_one_of_many_processes_has_the_lock(tmp_path):
    def work():
        done = 0
        while done < ROUNDS:
            try:
                with locked(tmp_path):
                    os.close(os.open(tmp_path / "inside", os.O_CREAT | os.O_EXCL))
                    time.sleep(0)
                    os.unlink(tmp_path / "inside")
                    done += 1
            except InputError:
                time.sleep(0.001)

    assert [exit_status_of(child) for child in [start_child(work) for _ in range(4)]] == [0] * 4
