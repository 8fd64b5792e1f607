"""The cache folder when several processes fill it, are killed, are interrupted, or cannot write it."""

import errno
import hashlib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cifar_files as files
import pytest
from cifar_files import held
from faulty_os import WRITING, FaultyOs, standing_in
from hypothesis import settings
from scripted_server import answer, serving

from minidl._storage import files as disk
from minidl.data.datasets import cifar10_files, load_cifar10
from minidl.data.datasets.download import Patience, WebFile

ARCHIVE = files.official_tgz()
GOOD = answer(ARCHIVE)
# 12, and 250 under `pytest -m nightly`.
KILLS = settings().max_examples // 4
# However slow this machine is.
PATIENCE = Patience(slow=0, stuck=0, timeout=30)
pytestmark = pytest.mark.usefixtures("cache")
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals, which Windows has not")


def use_server(patch: pytest.MonkeyPatch, url: str) -> None:
    source = WebFile("server", url, len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest(), PATIENCE)
    patch.setattr(cifar10_files, "_sources", lambda: [source])


def assert_nothing_half(folder: Path) -> None:
    """Check that whatever in `folder` has the name of a batch is the whole batch."""
    for name, content in held(folder).items():
        assert name.endswith(".part") or content == files.CACHED[name]


def assert_the_next_run_finishes(folder: Path) -> None:
    """Check that a load fills `folder`, and takes nothing that it finds there for a batch."""
    with pytest.MonkeyPatch.context() as patch, serving([GOOD]) as url:
        use_server(patch, url)
        patch.setattr(os, "fsync", lambda descriptor: None)
        assert load_cifar10()["test_batch"].x.tobytes() == files.PIXELS["test_batch"].tobytes()
        assert {name: content for name, content in held(folder).items() if not name.endswith(".part")} == files.CACHED
        assert load_cifar10(download=False)["test_batch"].source == "cache"


# What is there already.


def test_what_killed_processes_left_is_never_taken_and_is_swept_when_it_is_old(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    hour_old, fresh = (cache / f".minidl-{digit * 16}.part" for digit in "ab")
    for part in (hour_old, fresh):
        part.write_bytes(files.CONTENTS["data_batch_1"])
    foreign = cache / "notes.part"
    foreign.write_bytes(b"not ours")
    for path in (hour_old, foreign):
        os.utime(path, (time.time() - 4000,) * 2)
    with serving([GOOD]) as url:
        use_server(monkeypatch, url)
        load_cifar10()
    assert held(cache) == {**files.CACHED, fresh.name: files.CONTENTS["data_batch_1"], foreign.name: b"not ours"}


# A disk that cannot be written.


@pytest.mark.parametrize(
    ("number", "good"),
    [
        *((errno.ENOSPC, good) for good in range(6)),
        (errno.EROFS, 0),
    ],
)
def test_a_disk_that_fails_after_some_batches_is_said_once_and_no_loss(
    number: int, good: int, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def failing(path: Path) -> Iterator[IO[bytes]]:
        asked.append(path)
        with disk.replacing(path) as file:
            if len(asked) > good:
                file.write(b"half")
                raise OSError(number, os.strerror(number))
            yield file

    asked: list[Path] = []
    monkeypatch.setattr(cifar10_files, "replacing", failing)
    with serving([GOOD]) as url:
        use_server(monkeypatch, url)
        batches = load_cifar10()
    assert {name: data.x.tobytes() for name, data in batches.items()} == {
        name: pixels.tobytes() for name, pixels in files.PIXELS.items()
    }
    # A disk that has failed is left alone.
    assert len(asked) == good + 1
    assert capsys.readouterr().err.count("cannot be kept in the cache for the next time") == 1
    assert len(held(cache)) == good
    assert_nothing_half(cache)


def test_a_file_where_the_cache_would_be_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    with serving([GOOD]) as url:
        use_server(monkeypatch, url)
        assert tuple(load_cifar10()) == files.NAMES
    assert capsys.readouterr().err.count("cannot be kept in the cache for the next time: ") == 1


# Processes: a loader that is asked over its pipe to fork, and to load in the fork.

_FOLDERS = f"{Path(__file__).parent} {Path(__file__).parent.parent / 'support'}"
_LOADER = """
import json, sys
sys.path += sys.argv[1].split()
import test_cache_faults as tests
import tqdm, urllib.request, minidl.data.datasets.cifar10_formats
from faulty_os import ended, start_child

with tests.files.tiny_cifar10():
    for line in sys.stdin:
        order = json.loads(line)
        pid = order.get("wait")
        print(ended(pid) if pid else start_child(lambda: tests.load_in_child(**order)), flush=True)
"""


def load_in_child(url: str, cache_home: str, die_at_call: int = 0, largest_file: int = 0) -> None:
    """Load CIFAR-10 in a process of its own: one killed at a call to the disk, or one that may not write much."""
    signal.alarm(60)
    os.environ["XDG_CACHE_HOME"] = cache_home
    if largest_file:
        # Windows has no such module.
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    dying = FaultyOs(die_at_call, kill="amid", watched=WRITING)
    with pytest.MonkeyPatch.context() as patch, standing_in(dying if die_at_call else os):
        # What was written outlives a kill without it, and it would be most of the time.
        patch.setattr(os, "fsync", lambda descriptor: None)
        use_server(patch, url)
        batches = load_cifar10()
    if any(batches[name].x.tobytes() != files.PIXELS[name].tobytes() for name in files.NAMES):
        raise ValueError("other pixels than those of the archive")


class Loader:
    """Starts and waits for processes that load."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def _ask(self, **order: object) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, url: str, cache: Path, **more: int) -> int:
        return self._ask(url=url, cache_home=str(cache.parent.parent), **more)

    def wait(self, pid: int) -> int:
        """Return the exit status, or the negative number of the signal that ended the process."""
        return self._ask(wait=pid)


@pytest.fixture(scope="module")
def loader() -> Iterator[Loader]:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "MINIDL_DATA_DIR"},
        # Threads and fork do not go together.
        "OPENBLAS_NUM_THREADS": "1",
        "no_proxy": "*",
    }
    with subprocess.Popen(
        [sys.executable, "-c", _LOADER, _FOLDERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        # The end of its stdin ends it.
        yield Loader(process)


@POSIX
def test_processes_that_fill_one_cache_at_once_all_succeed(loader: Loader, cache: Path) -> None:
    together = threading.Barrier(4)
    with serving([lambda: together.wait(10), GOOD]) as url:
        children = [loader.start(url, cache) for _ in range(4)]
        assert [loader.wait(child) for child in children] == [0] * 4
    assert held(cache) == files.CACHED


@POSIX
@pytest.mark.parametrize("call", [3, 14])
def test_a_process_killed_while_it_fills_the_cache_does_not_hurt_the_others(
    call: int, loader: Loader, cache: Path
) -> None:
    together = threading.Barrier(4)
    with serving([lambda: together.wait(10), GOOD]) as url:
        children = [loader.start(url, cache, die_at_call=call), *(loader.start(url, cache) for _ in range(3))]
        assert [loader.wait(child) for child in children] == [-signal.SIGKILL, 0, 0, 0]
    left = [name for name in held(cache) if name.endswith(".part")]
    assert len(left) <= 1
    assert {name: content for name, content in held(cache).items() if name not in left} == files.CACHED


def kill_at_byte(byte: int, loader: Loader, cache: Path) -> None:
    victims: queue.Queue[int] = queue.Queue()
    with serving([GOOD[:byte], lambda: os.kill(victims.get(timeout=10), signal.SIGKILL), 5.0]) as url:
        victims.put(child := loader.start(url, cache))
        assert loader.wait(child) == -signal.SIGKILL


@pytest.mark.scaled
@POSIX
def test_after_a_kill_at_any_byte_of_the_download_the_next_run_finishes(loader: Loader, cache: Path) -> None:
    draw = random.Random(0)
    for byte in [0, 1, len(GOOD) - 1, *(draw.randrange(len(GOOD)) for _ in range(KILLS))]:
        kill_at_byte(byte, loader, cache)
        # What has not arrived whole was never on the disk.
        assert held(cache) == {}
    assert_the_next_run_finishes(cache)


@POSIX
def test_after_a_kill_at_any_call_to_the_disk_the_next_run_finishes(loader: Loader, cache: Path) -> None:
    calls = 0
    with serving([GOOD]) as url:
        while (end := loader.wait(loader.start(url, cache, die_at_call=calls + 1))) == -signal.SIGKILL:
            calls += 1
            assert_nothing_half(cache)
            assert_the_next_run_finishes(cache)
            assert sum(name.endswith(".part") for name in held(cache)) <= 1
            shutil.rmtree(cache)
    assert end == 0
    # At least open, write, fsync and replace of each batch.
    assert calls >= 6 * 4
    assert held(cache) == files.CACHED


@POSIX
@pytest.mark.parametrize("largest_file", [1, len(files.CONTENTS["test_batch"]) - 1])
def test_a_limit_of_the_system_in_the_middle_of_a_file_is_no_loss(
    largest_file: int, loader: Loader, cache: Path
) -> None:
    with serving([GOOD]) as url:
        assert loader.wait(loader.start(url, cache, largest_file=largest_file)) == 0
    assert held(cache) == {}
    assert_the_next_run_finishes(cache)


# Ctrl-C. A shell that starts the tests in the background has switched it off for them.


@POSIX
@pytest.mark.parametrize("byte", [0, len(GOOD) // 2, len(GOOD) - 1])
def test_ctrl_c_in_a_download_leaves_no_file_and_no_bar(
    byte: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tqdm import tqdm

    def interrupt() -> None:
        # Until what was sent has been read.
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.main_thread().ident
    assert main is not None
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    with serving([GOOD[:byte], interrupt, 5.0]) as url:
        use_server(monkeypatch, url)
        try:
            with pytest.raises(KeyboardInterrupt):
                load_cifar10()
        finally:
            signal.signal(signal.SIGINT, old)
    assert held(cache) == {}
    assert not list(tqdm._instances)
    assert_the_next_run_finishes(cache)


@POSIX
def test_ctrl_c_ends_a_program_as_that_signal_does(cache: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.path += sys.argv[1].split(); import test_cache_faults as tests\n"
        "with tests.files.tiny_cifar10(): tests.load_in_child(sys.argv[2], sys.argv[3])"
    )
    programs: queue.Queue[subprocess.Popen[str]] = queue.Queue()
    with serving([GOOD[:30_000], 0.2, lambda: programs.get().send_signal(signal.SIGINT), 10.0]) as url:
        arguments = [sys.executable, "-c", code, _FOLDERS, url, str(cache.parent.parent)]
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as program:
            programs.put(program)
            _, said = program.communicate(timeout=30)
    assert program.returncode == -signal.SIGINT  # a shell shows 130
    bar, _, rest = said.replace("\r", "\n").rpartition("Traceback")
    assert "server: " in bar
    assert bar.endswith("\n")  # the bar was closed, so that what follows has a line of its own
    assert rest.strip().endswith("KeyboardInterrupt")
    assert held(cache) == {}
    assert_the_next_run_finishes(cache)
