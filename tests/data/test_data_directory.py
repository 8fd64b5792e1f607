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
from hypothesis import settings
from scripted_server import Script, answer, serving

from minidl._core.errors import DownloadError
from minidl._storage import files as disk
from minidl.data.datasets import cifar10, load_cifar10
from minidl.data.datasets.download import NpmPackage, Patience, WebFile

ARCHIVE = files.official_tgz()
GOOD = answer(ARCHIVE)
WHOLE = {f"{name}.u8": content for name, content in files.CONTENTS.items()}
KILLS = settings().max_examples // 4  # 12, and 250 under `pytest -m nightly`
PATIENCE = Patience(slow=1, stuck=1, window=5, timeout=5)
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals, which Windows has not")


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> Iterator[None]:
    with files.tiny_cifar10():
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder, which is not there yet."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MINIDL_DATA_DIR", raising=False)
    return tmp_path / "minidl/cifar-10"


def use_server(patch: pytest.MonkeyPatch, url: str) -> None:
    source = WebFile("server", url, len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest(), PATIENCE)
    patch.setattr(cifar10, "_sources", lambda cache: [source])


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def assert_nothing_half(folder: Path) -> None:
    """Check that whatever in `folder` has the name of a batch is the whole batch."""
    for name, content in held(folder).items():
        assert name.endswith(".part") or content == WHOLE[name]


def assert_the_next_run_finishes(folder: Path) -> None:
    """Check that a load fills `folder`, and takes nothing that it finds there for a batch."""
    with pytest.MonkeyPatch.context() as patch, serving([GOOD]) as url:
        use_server(patch, url)
        patch.setattr(os, "fsync", lambda descriptor: None)  # as in DyingOs
        assert load_cifar10()["test_batch"].x.tobytes() == files.PIXELS["test_batch"].tobytes()
        assert {name: content for name, content in held(folder).items() if not name.endswith(".part")} == WHOLE
        assert load_cifar10(download=False)["test_batch"].source == "cache"


# What the cache holds decides whether a server is asked.


@contextmanager
def counted_server(patch: pytest.MonkeyPatch, *steps: bytes) -> Iterator[list[bytes]]:
    seen: list[bytes] = []
    with serving(list(steps), seen=seen) as url:
        use_server(patch, url)
        yield seen


def test_no_server_is_asked_for_what_is_there_and_good(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted_server(monkeypatch, GOOD) as seen:
        load_cifar10()
        before = {path: path.stat() for path in cache.iterdir()}
        load_cifar10()
    assert len(seen) == 1
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }


@pytest.mark.parametrize("damage", [b"", b"x", files.CONTENTS["data_batch_1"], b"\0" * 9219])
def test_a_wrong_file_stays_until_a_good_one_is_whole(
    damage: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(parents=True)
    for name, content in WHOLE.items():
        (cache / name).write_bytes(content)
    (cache / "data_batch_2.u8").write_bytes(damage)
    before = held(cache)
    with counted_server(monkeypatch, answer(b"", status="404 Not Found")) as seen, pytest.raises(DownloadError):
        load_cifar10()
    assert len(seen) == 1
    assert held(cache) == before
    with counted_server(monkeypatch, GOOD) as seen:
        assert load_cifar10()["data_batch_2"].x.tobytes() == files.PIXELS["data_batch_2"].tobytes()
    assert len(seen) == 1
    assert held(cache) == WHOLE


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
    with counted_server(monkeypatch, GOOD) as seen:
        load_cifar10()
    assert len(seen) == 1
    assert held(cache) == {**WHOLE, fresh.name: files.CONTENTS["data_batch_1"], foreign.name: b"not ours"}


@POSIX
def test_what_a_killed_npm_left_is_swept_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/npm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho x > x.tgz\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "cache"
    for name in (".npm-old", ".npm-running", "npm"):
        (folder / name / "cache").mkdir(parents=True)
        (folder / name / "cache/x").write_bytes(b"x")
    for name in (".npm-old", "npm"):
        os.utime(folder / name, (time.time() - 90_000,) * 2)
    with NpmPackage("p@1", 1, folder).open(last=True) as archive:
        assert archive.read() == b"x\n"
    assert sorted(path.name for path in folder.iterdir()) == [".npm-running", "npm"]


# A disk that cannot be written.


@pytest.mark.parametrize(
    ("number", "good"),
    [
        *((errno.ENOSPC, good) for good in range(6)),
        *((number, 2) for number in (errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO)),
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
    monkeypatch.setattr(cifar10, "replacing", failing)
    with counted_server(monkeypatch, GOOD) as seen:
        batches = load_cifar10()
    assert {name: data.x.tobytes() for name, data in batches.items()} == {
        name: pixels.tobytes() for name, pixels in files.PIXELS.items()
    }
    assert len(seen) == 1
    assert len(asked) == good + 1  # a disk that has failed is left alone
    assert capsys.readouterr().err.count("cannot be kept in the cache for the next time") == 1
    assert len(held(cache)) == good
    assert_nothing_half(cache)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read_is_no_loss(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o555)
    with counted_server(monkeypatch, GOOD):
        load_cifar10()
    cache.chmod(0o755)
    assert capsys.readouterr().err.count("cannot be kept in the cache for the next time: ") == 1
    assert held(cache) == {}


# Processes: a loader that is asked over its pipe to fork, and to load in the fork.

_FOLDERS = f"{Path(__file__).parent} {Path(__file__).parent.parent / 'support'}"
_LOADER = """
import json, os, signal, sys, traceback
sys.path += sys.argv[1].split()
import test_data_directory as tests
import tqdm, urllib.request, minidl.data.datasets.cifar10_formats

with tests.files.tiny_cifar10():
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(30)
                tests.load_in_child(**order)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print(child, flush=True)
"""


class DyingOs:
    """The functions of `os`, up to the call number `last` to the disk: half of that at most, and SIGKILL comes.

    `fsync` counts, but does nothing: what was written outlives a kill without it, and it would be most of the time.
    """

    def __init__(self, last: int) -> None:
        self.left = last

    def __getattr__(self, name: str) -> object:
        function = getattr(os, name)
        if name not in ("open", "write", "fsync", "close", "replace", "chmod", "mkdir"):
            return function

        def call(*arguments: object, **keywords: object) -> object:
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])  # type: ignore[index]
                os.kill(os.getpid(), signal.SIGKILL)
            return None if name == "fsync" else function(*arguments, **keywords)

        return call


def load_in_child(url: str, cache_home: str, die_at_call: int = 0, largest_file: int = 0) -> None:
    """Load CIFAR-10 in a process of its own: one killed at a call to the disk, or one that may not write much."""
    os.environ["XDG_CACHE_HOME"] = cache_home
    if largest_file:
        import resource  # Windows has no such module

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    with pytest.MonkeyPatch.context() as patch:
        use_server(patch, url)
        if die_at_call:
            patch.setattr(disk, "os", DyingOs(die_at_call))
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
        "OPENBLAS_NUM_THREADS": "1",  # threads and fork do not go together
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
        yield Loader(process)  # the end of its stdin ends it


@POSIX
@pytest.mark.parametrize("count", [2, 4])
def test_processes_that_fill_one_cache_at_once_all_succeed(count: int, loader: Loader, cache: Path) -> None:
    together = threading.Barrier(count)
    with serving([lambda: together.wait(10), GOOD]) as url:
        children = [loader.start(url, cache) for _ in range(count)]
        assert [loader.wait(child) for child in children] == [0] * count
    assert held(cache) == WHOLE


@POSIX
def test_a_process_killed_in_the_middle_does_not_hurt_the_others(loader: Loader, cache: Path) -> None:
    halfway = threading.Event()
    together = threading.Barrier(3, action=lambda: os.kill(victim, signal.SIGKILL))
    others: Script = [lambda: together.wait(10), GOOD]
    with serving([GOOD[:20_000], halfway.set, 10.0], others) as url:
        victim = loader.start(url, cache)
        assert halfway.wait(10)
        children = [loader.start(url, cache) for _ in range(3)]
        assert [loader.wait(child) for child in (victim, *children)] == [-signal.SIGKILL, 0, 0, 0]
    assert held(cache) == WHOLE


@POSIX
@pytest.mark.parametrize("call", [3, 14, 25])
def test_a_process_killed_while_it_fills_the_cache_does_not_hurt_the_others(
    call: int, loader: Loader, cache: Path
) -> None:
    together = threading.Barrier(4)
    with serving([lambda: together.wait(10), GOOD]) as url:
        children = [loader.start(url, cache, die_at_call=call), *(loader.start(url, cache) for _ in range(3))]
        assert [loader.wait(child) for child in children] == [-signal.SIGKILL, 0, 0, 0]
    left = [name for name in held(cache) if name.endswith(".part")]
    assert len(left) <= 1
    assert {name: content for name, content in held(cache).items() if name not in left} == WHOLE


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
        assert held(cache) == {}  # what has not arrived whole was never on the disk
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
    assert calls >= 6 * 4  # at least open, write, fsync and replace of each batch
    assert held(cache) == WHOLE


@POSIX
@pytest.mark.parametrize("largest_file", [1, 5000, len(files.CONTENTS["test_batch"]) - 1])
def test_a_limit_of_the_system_in_the_middle_of_a_file_is_no_loss(
    largest_file: int, loader: Loader, cache: Path
) -> None:
    with serving([GOOD]) as url:
        assert loader.wait(loader.start(url, cache, largest_file=largest_file)) == 0
    assert held(cache) == {}
    assert_the_next_run_finishes(cache)


# Ctrl-C. A shell that starts the tests in the background has switched it off for them.


@POSIX
@pytest.mark.parametrize("byte", [0, 100, len(GOOD) // 2, len(GOOD) - 1])
def test_ctrl_c_in_a_download_leaves_no_file_and_no_bar(
    byte: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tqdm import tqdm

    def interrupt() -> None:
        time.sleep(0.05)  # until what was sent has been read
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
        "sys.path += sys.argv[1].split(); import test_data_directory as tests\n"
        "with tests.files.tiny_cifar10(): tests.load_in_child(sys.argv[2], sys.argv[3])"
    )
    programs: queue.Queue[subprocess.Popen[str]] = queue.Queue()
    with serving([GOOD[:30_000], 0.2, lambda: programs.get().send_signal(signal.SIGINT), 10.0]) as url:
        arguments = [
            sys.executable,
            "-c",
            code,
            _FOLDERS,
            url,
            str(cache.parent.parent),
        ]
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
