"""Download sources: their order, the limits of slowness, and the npm client."""

import os
import re
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from cifar_files import FakeSource

from minidl._core.errors import DataError, DownloadError
from minidl.data.datasets import download
from minidl.data.datasets.download import NpmPackage, Patience, TransientError, try_in_turn

MISSING = DownloadError("missing")
SLOW = TransientError("50 kB/s")


@pytest.mark.parametrize(
    ("errors", "tried", "used"),
    [
        ({"a": MISSING, "b": None, "c": None}, "ab", "b"),
        ({"a": SLOW, "b": None}, "ab", "b"),
        ({"a": SLOW}, "a", "a"),
        ({"a": SLOW, "b": MISSING, "c": SLOW}, "abca", "a"),
        ({"a": DownloadError("no name"), "b": DownloadError("no route")}, "ab", None),
        # An invalid archive.
        ({"bad": None, "b": None}, ["bad", "b"], "b"),
    ],
)
def test_the_next_source_is_tried_and_a_slow_one_again_when_the_others_have_failed(errors, tried, used, capsys):
    def use(file, source):
        if source.name == "bad":
            raise DataError("not the data")
        return file.read().decode()

    sources = [FakeSource(name.encode(), name, error) for name, error in errors.items()]
    if used is None:
        with pytest.raises(DownloadError, match=r"(?s)a: no name.*b: no route.*data_dir.*MINIDL_DATA_DIR"):
            try_in_turn("DATA", sources, use, pause=0)
    else:
        assert try_in_turn("DATA", sources, use, pause=0) == used
    said = capsys.readouterr()
    assert said.out == ""
    assert re.findall(r"DATA: trying (\w+)", said.err) == list(tried)


@pytest.mark.parametrize(
    # Only the rate of the last window counts.
    ("last", "counts", "slow"),
    [
        (False, [20_000, 40_000], False),
        (False, [19_000], True),
        (True, [19_000, 20_000], False),
        (True, [10**6, 10**6 + 900], True),
    ],
)
def test_how_slow_is_too_slow_depends_on_whether_another_source_is_left(last, counts, slow):
    # The last check but one comes when no time has passed.
    times = iter([0, *range(1, len(counts)), len(counts) - 1, len(counts)])
    patience = Patience(slow=20_000, stuck=1_000, window=1, clock=lambda: next(times))
    with download._watched("it", "it", 10**6, patience, last) as report:
        for count in counts:
            report(count)
        words = f"it: too slow: [0-9]+ kB/s, less than {1 if last else 20}"
        with pytest.raises(TransientError, match=words) if slow else nullcontext():
            report(counts[-1])


# The npm client.


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Return a function that puts a shell script named npm on the PATH."""
    if sys.platform == "win32":
        pytest.skip("the fake npm is a shell script")

    def install(script):
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return NpmPackage("some-package@1.0.0", 1000)

    return install


def test_npm_packs_the_package_into_a_temporary_folder(npm, tmp_path):
    package = npm('(echo "$1 $2 $3"; pwd; echo "$7") > some-package-1.0.0.tgz; pwd >&2')
    with package.open(last=True) as archive:
        command, folder, cache = archive.read().decode().splitlines()
    assert command == "pack some-package@1.0.0 --ignore-scripts"
    assert Path(folder).parent == (tmp_path / "temporary").resolve()
    assert Path(cache.removeprefix("--cache=")).resolve() == Path(folder) / "cache"
    assert package.name == "npm package some-package@1.0.0"
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo npm error code E404 >&2; exit 1", "npm pack failed: npm error code E404"),
        ("echo 'GET http://user:secret@127.0.0.1/x' >&2; exit 1", r"GET http://\*\*\*@127.0.0.1/x"),
        ("exit 0", "npm pack failed: it left no archive"),
        ("exec sleep 30", "npm package some-package@1.0.0: too slow: 0 kB/s, less than 10"),
    ],
)
def test_an_npm_that_fails_is_reported_and_leaves_nothing(script, message, npm, tmp_path):
    package = replace(npm(script), patience=Patience(window=0.3 if "sleep" in script else 60))
    with pytest.raises(DownloadError, match=message), package.open(last=True):
        pass
    assert not list((tmp_path / "temporary").iterdir())


def test_a_missing_npm_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError, match="npm is not installed"):
        NpmPackage("some-package", 1000).open(last=True).__enter__()


def test_npm_shows_how_much_has_come(npm, capsys):
    with npm("head -c 1000 /dev/zero > x.tgz; sleep 0.5").open(last=True):
        assert "1.00k/2.00k" in capsys.readouterr().err.replace("\r", "\n")
