"""The cache folder when several processes fill it, are killed, are interrupted, or cannot write it."""

import errno
import hashlib
import os
import shutil
import signal
import threading
import time

import cifar_files as files
import pytest
from cifar_files import held
from faulty_os import WRITING, FaultyOs, exit_status_of, replacing_os, start_child
from scripted_server import answer, serving

from minidl.data.datasets import cifar10, load_cifar10
from minidl.data.datasets.download import Patience, WebFile

ARCHIVE = files.official_tgz()
GOOD = answer(ARCHIVE)
# Long enough for a slow machine.
PATIENCE = Patience(slow=0, stuck=0, timeout=30)
pytestmark = pytest.mark.usefixtures("cache")
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals, which Windows has not")


def use_server(patch, url):
    source = WebFile("server", url, len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest(), PATIENCE)
    patch.setattr(cifar10, "_sources", lambda: [source])


def assert_nothing_half(folder):
    """Check that each file in `folder` with the name of a batch is a complete batch."""
    for name, content in held(folder).items():
        assert name.endswith(".part") or content == files.CACHED[name]


def assert_the_next_run_finishes(folder):
    """Check that a load fills `folder`, and uses no other file there as a batch."""
    with pytest.MonkeyPatch.context() as patch, serving([GOOD]) as url:
        use_server(patch, url)
        patch.setattr(os, "fsync", lambda descriptor: None)
        assert load_cifar10()["test_batch"].x.tobytes() == files.PIXELS["test_batch"].tobytes()
        assert {name: content for name, content in held(folder).items() if not name.endswith(".part")} == files.CACHED
        assert load_cifar10(download=False)["test_batch"].source == "cache"


# Files that exist already.


def test_files_of_killed_processes_are_never_used_and_are_removed_when_old(cache, monkeypatch):
    cache.mkdir(parents=True)
    hour_old, fresh = (cache / f".minidl-{digit * 16}.part" for digit in "ab")
    for part in (hour_old, fresh):
        part.write_bytes(files.CONTENTS["data_batch_1"])
    os.utime(hour_old, (time.time() - 4000,) * 2)
    with serving([GOOD]) as url:
        use_server(monkeypatch, url)
        load_cifar10()
    assert held(cache) == {**files.CACHED, fresh.name: files.CONTENTS["data_batch_1"]}


# A disk that cannot be written.


@pytest.mark.parametrize(("error", "good"), [*((errno.ENOSPC, good) for good in range(6)), (errno.EROFS, 0)])
def test_a_disk_that_fails_after_some_batches_is_reported_once_and_no_error(error, good, cache, monkeypatch, capsys):
    faulty = FaultyOs(good + 1, error, sticky=True, watched={"replace"})
    with serving([GOOD]) as url, replacing_os(faulty):
        use_server(monkeypatch, url)
        batches = load_cifar10()
    assert {name: data.x.tobytes() for name, data in batches.items()} == {
        name: pixels.tobytes() for name, pixels in files.PIXELS.items()
    }
    # After a failure the disk is not used again.
    assert len(faulty.operations) == good + 1
    assert capsys.readouterr().err.count("could not save CIFAR-10 in the cache") == 1
    assert len(held(cache)) == good
    assert_nothing_half(cache)


def test_a_file_in_place_of_the_cache_is_no_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    with serving([GOOD]) as url:
        use_server(monkeypatch, url)
        assert tuple(load_cifar10()) == files.NAMES
    assert capsys.readouterr().err.count("could not save CIFAR-10 in the cache") == 1


# Processes.


def start(url, die_at_call=0):
    """Start a process that loads CIFAR-10, and that a call to the disk may kill; return its number."""

    def load():
        signal.alarm(60)
        with pytest.MonkeyPatch.context() as patch:
            # Data survives a kill without fsync, and fsync would take most of the time.
            patch.setattr(os, "fsync", lambda descriptor: None)
            use_server(patch, url)
            batches = load_cifar10()
        assert all(batches[name].x.tobytes() == files.PIXELS[name].tobytes() for name in files.NAMES)

    return start_child(load, FaultyOs(die_at_call, kill="amid", watched=WRITING) if die_at_call else os)


@POSIX
@pytest.mark.parametrize("call", [0, 3, 14])
def test_processes_fill_one_cache_at_once_also_if_one_is_killed(call, cache):
    together = threading.Barrier(4)
    with serving([lambda: together.wait(10), GOOD]) as url:
        children = [start(url, die_at_call=call), *(start(url) for _ in range(3))]
        assert [exit_status_of(child) for child in children] == [-signal.SIGKILL if call else 0, 0, 0, 0]
    left = [name for name in held(cache) if name.endswith(".part")]
    assert len(left) <= (call > 0)
    assert {name: content for name, content in held(cache).items() if name not in left} == files.CACHED


@POSIX
def test_after_a_kill_at_any_call_to_the_disk_the_next_run_finishes(cache):
    calls = 0
    with serving([GOOD]) as url:
        while (end := exit_status_of(start(url, die_at_call=calls + 1))) == -signal.SIGKILL:
            calls += 1
            assert_nothing_half(cache)
            assert_the_next_run_finishes(cache)
            assert sum(name.endswith(".part") for name in held(cache)) <= 1
            shutil.rmtree(cache)
    assert end == 0
    # At least open, write, fsync and replace of each batch.
    assert calls >= 6 * 4
    assert held(cache) == files.CACHED


# Ctrl-C.


@POSIX
@pytest.mark.parametrize("byte", [0, len(GOOD) // 2, len(GOOD) - 1])
def test_ctrl_c_in_a_download_leaves_no_file_and_no_bar(byte, cache, monkeypatch):
    from tqdm import tqdm

    def interrupt():
        # Until the sent data has been read.
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.main_thread().ident
    assert main is not None
    with serving([GOOD[:byte], interrupt, 5.0]) as url:
        use_server(monkeypatch, url)
        with pytest.raises(KeyboardInterrupt):
            load_cifar10()
    assert held(cache) == {}
    assert not list(tqdm._instances)
    assert_the_next_run_finishes(cache)
