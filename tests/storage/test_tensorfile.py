"""The tensor file: what it takes, what it refuses, and that no damage and no forgery of it is believed."""

import contextlib
import json
import os
import pickle
import signal
import socket
import time
import tracemalloc
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fuzzing import OPENING, sealed

import minidl._storage.tensors
from minidl._core.errors import CheckpointError
from minidl._storage.tensors import read_tensors, write_tensors

ARRAYS = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.array([0.5, -0.5]),
    "step": np.asarray(7),
    "empty": np.zeros((0, 3), np.float32),
    "mask": np.array([True, False, True]),
    "half": np.array([1.5], np.float16),
    "picture": np.arange(200, dtype=np.uint8),
}
TEXTS = {"state": '{"epoch": 3, "note": "\\u00e4 \\"x\\""}', "zeros": "0" * 64, "": "𝛌"}
KNOWN = b'}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """End a test that waits for a pipe or reads a device without end."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "file", ARRAYS, TEXTS)
    return tmp_path / "file"


def entry(name: str = "a", dtype: str = "F32", shape: str = "[1]", offsets: str = "[0, 4]") -> bytes:
    return f', "{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}'.encode()


def same(path: Path) -> bool:
    arrays, texts = read_tensors(path)
    return texts == TEXTS and [(k, v.dtype, v.shape, v.tobytes()) for k, v in arrays.items()] == [
        (k, v.dtype, v.shape, v.tobytes()) for k, v in ARRAYS.items()
    ]


def test_arrays_come_back_writable_native_and_in_memory_of_their_own(file: Path) -> None:
    assert same(file)
    for array in read_tensors(file)[0].values():
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert array.dtype.isnative
        array[...] = 1
    assert same(file)


def test_arrays_of_any_byte_order_and_layout_are_written(tmp_path: Path) -> None:
    arrays = {"big": np.arange(3, dtype=">f8"), "columns": np.arange(6.0).reshape(2, 3).T, "steps": np.arange(9)[::-2]}
    arrays["frozen"] = np.broadcast_to(np.float32(3), (2, 2))
    write_tensors(tmp_path / "file", arrays)
    for name, array in read_tensors(tmp_path / "file")[0].items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
def test_every_dtype_of_the_format_comes_back(dtype: str, tmp_path: Path) -> None:
    array = np.array([0, 1, 1, 0] if dtype == "?" else [0, 1, 2, 127], dtype)
    write_tensors(tmp_path / "file", {"a": array})
    found = read_tensors(tmp_path / "file")[0]["a"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_texts_of_some_hundred_kilobytes_come_back(tmp_path: Path) -> None:
    history = json.dumps([{"epoch": k, "loss": 1 / (k + 1), "name": 'ü"\\\n\u2028𝛌'} for k in range(5000)])
    assert len(history) > 300_000
    write_tensors(tmp_path / "file", {}, {"history": history})
    assert read_tensors(tmp_path / "file") == ({}, {"history": history})


def test_the_first_files_of_this_format_are_read_for_ever(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(
        b'\xf8\0\0\0\0\0\0\0{"__metadata__": {"minidl.sha256": '
        b'"c5141b3097882cda8dea1454ef7c4d2cd390ed639bb38d021ca66b75df3bb5dd"}, "0.weight": {"dtype": "F32", "shape": '
        b'[1, 2], "data_offsets": [0, 8]}, "1.count": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]}}       '
        b"\0\0\x80?\0\0 \xc0\x07\0\0\0\0\0\0\0"
    )
    arrays, texts = read_tensors(tmp_path / "file")
    assert texts == {}
    np.testing.assert_array_equal(arrays["0.weight"], [[1, -2.5]])
    assert arrays["1.count"].shape == ()
    assert int(arrays["1.count"]) == 7


def test_every_single_bit_flip_is_noticed(file: Path) -> None:
    content = file.read_bytes()
    assert 900 < len(content) < 1500
    count = 0
    with open(file, "r+b", buffering=0) as raw:
        for at, byte in enumerate(content):
            for bit in range(8):
                os.pwrite(raw.fileno(), bytes([byte ^ 1 << bit]), at)
                with pytest.raises(CheckpointError):
                    read_tensors(file)
                count += 1
            os.pwrite(raw.fileno(), bytes([byte]), at)
    assert same(file)
    print(f"\n{count} flipped bits of {len(content)} bytes, all noticed")


def test_every_cut_and_what_is_appended_is_noticed(file: Path) -> None:
    content = file.read_bytes()
    for end in range(len(content)):
        file.write_bytes(content[:end])
        with pytest.raises(CheckpointError, match=r"an empty file|cut short|has \d bytes" if end else "has 0 bytes"):
            read_tensors(file)
    for more in (b"\0", b" ", content):
        file.write_bytes(content + more)
        with pytest.raises(CheckpointError, match=f"it has {len(content + more)} bytes, and its header tells of"):
            read_tensors(file)
    print(f"\n{len(content)} cuts, all noticed")


def test_a_digest_in_capitals_or_in_another_place_is_refused(file: Path) -> None:
    content = file.read_bytes()
    at = 8 + len(OPENING)
    digest = content[at : at + 64]
    for other in (digest.upper(), b"0" * 64, digest[::-1]):
        file.write_bytes(content[:at] + other + content[at + 64 :])
        with pytest.raises(CheckpointError, match="does not have the digest"):
            read_tensors(file)
    # The digest's text once more: as the name of a text whose own zeros would give the same sum.
    write_tensors(file, {}, {digest.decode(): "0" * 64})
    assert read_tensors(file)[1] == {digest.decode(): "0" * 64}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        # JSON that is no header.
        (b"", b"", "at byte 109: expected ', ', got the end of the header"),
        (b"}}" + b"]", b"", "expected nothing but spaces up to the end of the header"),
        (b"}}\n", b"", "expected nothing but spaces"),
        (b', "n": NaN}}', b"", "expected a string in JSON, got 'NaN"),
        (b', "n": Infinity}}', b"", "expected a string in JSON, got 'Infinity"),
        (b', "n": 3}}', b"", "expected a string in JSON, got '3"),
        (b', "n": null}}', b"", "expected a string in JSON, got 'null"),
        (b', "n": ' + b"9" * 5000 + b"}}", b"", "expected a string in JSON, got '999"),
        (b', "n": ' + b"[" * 100_000, b"", r"expected a string in JSON, got '\[\[\["),
        (b', "n": ' + b'{"a":' * 100_000, b"", "expected a string in JSON"),
        (b"}" + b', "n": ' * 100_000, b"", "expected for 'n' dtype, shape"),
        (b', "n": "\\ud800"}}', b"", r"expected a string in JSON, got '\"\\\\ud800"),
        (b', "\\udc00\\ud800": ""}}', b"", "expected a string in JSON"),
        (b', "n": "\\x"}}', b"", "expected a string in JSON"),
        (b', "n": "\n"}}', b"", "expected a string in JSON"),
        (b', "n": "never ended', b"", "expected a string in JSON"),
        (b', "n": "\xff\xfe"}}', b"", "at byte 117: expected a header of ASCII alone"),
        (b', "n": "\xc3\xa4"}}', b"", "expected a header of ASCII alone"),
        (b', "n": "1", "n": "2"}}', b"", "the name 'n' stands twice"),
        (b', "n": "1", "\\u006e": "2"}}', b"", "the name 'n' stands twice"),
        (b', "minidl.sha256": "2"}}', b"", "the name 'minidl.sha256' stands twice"),
        (b'}, "__metadata__": {}}', b"", "the name '__metadata__' stands twice"),
        (b"}" + entry() + entry(offsets="[4, 8]") + b"}", bytes(8), "the name 'a' stands twice"),
        (b"".join(b', "%d": ""' % k for k in range(4097)) + b"}}", b"", "more than 4096 names"),
        (
            b"}" + b"".join(entry(str(k), "U8", "[0]", "[0, 0]") for k in range(4097)) + b"}",
            b"",
            "more than 4096 names",
        ),
        # Entries that say no array.
        (b"}" + entry(dtype="O") + b"}", bytes(4), "'a': expected a dtype among F64, .*, got O"),
        (b"}" + entry(dtype="object") + b"}", bytes(4), "got object"),
        (b"}" + entry(dtype="F8_E4M3") + b"}", bytes(4), "got F8_E4M3"),
        (b"}" + entry(dtype="S" * 1000) + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[true]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[1e0]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[1.0]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[01]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[-1, -1]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape='"1"') + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[[1]]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[" + ", ".join("1" * 65) + "]") + b"}", bytes(4), "at most 64 whole numbers"),
        (b"}" + entry(shape="[" + "9" * 5000 + "]") + b"}", bytes(4), "expected for 'a' dtype, shape"),
        (b"}" + entry(shape="[4294967296, 4294967296, 4294967296]") + b"}", bytes(4), "a shape of at most 4294967296"),
        (b"}" + entry(shape="[0, 9223372036854775807]", offsets="[0, 0]") + b"}", b"", "a shape of at most 4294967296"),
        (b"}" + entry(offsets="[4, 0]") + b"}", bytes(4), r"F32 of shape \(1,\) has to lie at bytes 0 to 4 .* 4 and 0"),
        (b"}" + entry(offsets="[-4, 0]") + b"}", bytes(4), "two data_offsets"),
        (b"}" + entry(offsets="[4, 8]") + b"}", bytes(8), "has to lie at bytes 0 to 4 .* are 4 and 8"),
        (b"}" + entry(offsets="[0, 8]") + b"}", bytes(8), "has to lie at bytes 0 to 4 .* are 0 and 8"),
        (b"}" + entry(offsets="[0, 9999999999999999999]") + b"}", bytes(8), "are 0 and 9999999999999999999"),
        (b"}" + entry() + entry("b") + b"}", bytes(4), "'b': F32 .* has to lie at bytes 4 to 8 .* are 0 and 4"),
        (b"}" + entry() + entry("b", offsets="[2, 6]") + b"}", bytes(8), "are 2 and 6"),
        (b"}" + entry("z", shape="[0]", offsets="[1, 1]") + entry() + b"}", bytes(4), "'z': .* 0 to 0 .* are 1 and 1"),
        (b'}, "' + b"n" * 100_000 + b'": {}}', b"", f"expected for '{'n' * 60}' dtype"),
        (b'}, "a": {}}', b"", "expected for 'a' dtype, shape"),
        (b'}, "a": {"shape": [1], "dtype": "F32", "data_offsets": [0, 4]}}', bytes(4), "expected for 'a' dtype, shape"),
        (
            b'}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "x": 1}}',
            bytes(4),
            "expected for 'a' dtype",
        ),
        # A true header, and other data.
        (KNOWN, bytes(3), r"it has \d+ bytes, and its header tells of \d+: cut short, or longer"),
        (KNOWN, bytes(5), r"it has \d+ bytes, and its header tells of \d+: cut short, or longer"),
        (b"}" + entry(shape="[1099511627]", offsets="[0, 4398046508]") + b"}", bytes(4), "a shape of at most"),
        (
            b"}" + entry(shape="[1000000000]", offsets="[0, 4000000000]") + b"}",
            bytes(4),
            "its header tells of 40000001",
        ),
        (b"}" + entry(dtype="BOOL", shape="[4]") + b"}", b"\0\1\2\1", "'a': expected bytes 0 and 1, got 2"),
    ],
)
def test_a_forged_file_with_a_true_digest_is_refused(header: bytes, data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(sealed(header, data))
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match=message) as caught:
        read_tensors(path)
    assert str(caught.value).startswith(f"{path}: expected a weights file of minidl, whole and unchanged; ")
    assert len(str(caught.value)) < len(str(path)) + 600
    assert time.perf_counter() - started < 1


def test_what_the_forgeries_are_made_of_is_otherwise_sound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(
        sealed(b', "n": "x"}' + entry() + entry("b", "U8", "[0]", "[4, 4]") + b"}  ", bytes(4))
    )
    arrays, texts = read_tensors(tmp_path / "file")
    assert texts == {"n": "x"}
    assert {name: array.shape for name, array in arrays.items()} == {"a": (1,), "b": (0,)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 bytes, where 9 to"),
        (b"\1", "it has 1 bytes, where 9 to"),
        (bytes(8), "it has 8 bytes, where 9 to"),
        (bytes(8) + b"{", "no digest 'minidl.sha256'"),
        (b"\2" + bytes(7) + b"{}", "no digest 'minidl.sha256'"),
        (
            (1 << 63).to_bytes(8, "little") + b"{}",
            "its header claims 9223372036854775808 bytes, where at most 16777216",
        ),
        (b"\xff" * 8 + b"{}", "its header claims 18446744073709551615 bytes"),
        ((1 << 24).to_bytes(8, "little") + b"{}", "it ends at byte 10, and its header at byte 16777224"),
        (b"\3" + bytes(7) + b"{}", "it ends at byte 10, and its header at byte 11"),
        (b"\2" + bytes(7) + b"[]", "it is a file that starts with"),
    ],
)
def test_a_length_that_cannot_be_is_refused_before_memory_is_taken(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            read_tensors(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def _saved(save: object, *arguments: object) -> bytes:
    buffer = BytesIO()
    save(buffer, *arguments)  # type: ignore[operator]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (_saved(np.savez, np.arange(3)), "a zip file"),
        (_saved(np.save, np.arange(3)), "a NumPy .npy file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(100), "a gzip file"),
        *(
            (pickle.dumps({"weight": [1.0] * 9}, protocol), f"a pickle of protocol {protocol}")
            for protocol in (2, 3, 4, 5)
        ),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "a git-LFS pointer.*git lfs pull"),
        (b"/annex/objects/SHA256E-s31--c99cafc152244af7\n", "a git-annex pointer.*git annex get"),
        (b"<!DOCTYPE html><html></html>", "an HTML or XML page"),
        (b'{"weights": [1, 2, 3]}', "JSON text"),
    ],
)
def test_a_file_of_another_format_is_named(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"whole and unchanged; it is {kind}"):
        read_tensors(tmp_path / "file")


def test_only_a_regular_file_is_read_and_nothing_waits(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to(file)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))  # a socket's absolute path may be too long
        for name, message in {
            "pipe": "expected a regular file, got a pipe",
            "folder": "expected a regular file, got a folder",
            "socket": "expected a regular file, got a socket",
            "zeros": "expected a regular file, got a device",
            "loop": "Too many levels of symbolic links",
            "lost": "No such file or directory",
            "n" * 5000: "File name too long",
        }.items():
            with pytest.raises(CheckpointError, match=f"cannot be read: {message}"):
                read_tensors(tmp_path / name)
    with pytest.raises(CheckpointError, match="null byte"):
        read_tensors(str(tmp_path / "a\0b"))
    assert same(tmp_path / "link")


def test_a_pipe_that_takes_the_files_place_after_the_look_at_it_does_not_block(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    look = os.stat(file)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with monkeypatch.context() as patch:
        patch.setattr("minidl._storage.kinds.os.stat", lambda _: look)
        with pytest.raises(CheckpointError, match="got a pipe"):
            read_tensors(tmp_path / "pipe")
    assert descriptors is None or len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize(
    ("size", "header", "message"),
    [
        (1 << 40, b"", "it is a file that starts with"),
        (1 << 40, sealed(KNOWN, bytes(4)), "it has 1099511627776 bytes, where 9 to 4294967296"),
        (1 << 31, sealed(KNOWN, bytes(4)), "it has 2147483648 bytes, and its header tells of"),
        (1 << 31, (1 << 30).to_bytes(8, "little") + b"{", "its header claims 1073741824 bytes"),
    ],
)
def test_a_file_of_holes_takes_no_memory(size: int, header: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(header)
    os.truncate(tmp_path / "file", size)
    started = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            read_tensors(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "content",
    [
        sealed(b"}" + b"".join(entry(str(k), "U8", "[0]", "[0, 0]") for k in range(4096)) + b"}"),
        sealed(b"".join(b', "%d": ""' % k for k in range(4096)) + b"}}"),
        sealed(b', "a": "' + b'\\"' * 500_000 + b'"}}'),
        sealed(b', "a": "' + b"a" * 1_000_000 + b'"}}'),
        sealed(b', "a": ' + b"[" * 1_000_000),
        sealed(b', "a": ' + b"[], " * 500_000),
        sealed(b"}" + entry(shape="[" + "1, " * 300_000 + "1]")),
        sealed(b"}" + entry(shape="[1000000]", offsets="[0, 4000000]") + b"}", bytes(4_000_000)),
    ],
    ids=["arrays", "texts", "escapes", "text", "nested", "lists", "axes", "data"],
)
def test_memory_stays_below_four_files_and_a_megabyte(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    tracemalloc.start()
    try:
        with contextlib.suppress(CheckpointError):
            read_tensors(tmp_path / "file")
        assert tracemalloc.get_traced_memory()[1] < 4 * len(content) + 1_000_000
    finally:
        tracemalloc.stop()


def test_too_little_memory_is_a_checkpoint_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(minidl._storage.tensors.np, "empty", full)
    with pytest.raises(CheckpointError, match="less free memory than its arrays take"):
        read_tensors(file)


def before_the_data_is_read(monkeypatch: pytest.MonkeyPatch, change: object) -> None:
    """Do `change` at the moment when the header is read and the arrays are not."""
    header = minidl._storage.tensors._Header

    def changed(text: memoryview, size: int) -> object:
        change()  # type: ignore[operator]
        return header(text, size)

    monkeypatch.setattr(minidl._storage.tensors, "_Header", changed)


def test_saving_onto_the_file_that_is_being_read_harms_neither(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = {"other": np.arange(1000)}
    with monkeypatch.context() as patch:
        before_the_data_is_read(patch, lambda: write_tensors(file, new))
        assert same(file)
    np.testing.assert_array_equal(read_tensors(file)[0]["other"], new["other"])
    arrays, texts = read_tensors(file)
    write_tensors(file, arrays, texts)  # and what was read may be saved where it came from
    np.testing.assert_array_equal(read_tensors(file)[0]["other"], new["other"])


def test_a_file_that_shrinks_or_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = tmp_path / "big"
    write_tensors(big, {"a": np.zeros(100_000)})
    with monkeypatch.context() as patch:
        before_the_data_is_read(patch, lambda: os.truncate(big, 400_000))
        with pytest.raises(CheckpointError, match="became shorter while it was read"):
            read_tensors(big)

    def overwrite() -> None:
        with open(big, "r+b") as raw:
            raw.seek(700_000)
            raw.write(b"\1")

    write_tensors(big, {"a": np.zeros(100_000)})
    before_the_data_is_read(monkeypatch, overwrite)
    with pytest.raises(CheckpointError, match="does not have the digest"):
        read_tensors(big)


def test_arrays_that_change_while_they_are_written_give_the_file_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array, replacing = np.zeros(5), minidl._storage.tensors.replacing

    def meanwhile(path: Path) -> object:
        array[...] = 1
        return replacing(path)

    monkeypatch.setattr(minidl._storage.tensors, "replacing", meanwhile)
    write_tensors(tmp_path / "file", {"a": array})
    np.testing.assert_array_equal(read_tensors(tmp_path / "file")[0]["a"], np.zeros(5))


@pytest.mark.parametrize(
    ("arrays", "texts", "message"),
    [
        ({"a": np.array([object()])}, {}, "'a' cannot be written: its dtype is object, where the format has float64, "),
        ({"a": np.array([1j])}, {}, "its dtype is complex128"),
        ({"a": np.array(["x"])}, {}, "its dtype is <U1"),
        ({"a": np.array([b"x"])}, {}, "its dtype is |S1"),
        ({"a": np.zeros(2, [("x", "f4")])}, {}, "its dtype is"),
        ({"a": np.zeros(2, "M8[s]")}, {}, "its dtype is datetime64"),
        ({"a": np.zeros(2, np.longdouble)}, {}, "its dtype is"),
        ({"a": np.zeros(2, "V3")}, {}, "its dtype is"),
        ({"a": np.ma.masked_array([1.0, 2.0], [True, False])}, {}, "expected a NumPy array, got MaskedArray"),
        ({"a": [1.0, 2.0]}, {}, "expected a NumPy array, got list"),
        ({"a": 3.0}, {}, "expected a NumPy array, got float"),
        ({"a": None}, {}, "expected a NumPy array, got NoneType"),
        ({3: np.zeros(2)}, {}, "names and texts have to be strings of whole characters, got 3"),
        ({"\ud800": np.zeros(2)}, {}, "strings of whole characters"),
        ({"__metadata__": np.zeros(2)}, {}, "an array may not be named '__metadata__'"),
        ({}, {"minidl.sha256": "x"}, "a text may not be named 'minidl.sha256'"),
        ({}, {"n": 3}, "strings of whole characters, got 3"),
        ({}, {"n": b"x"}, "strings of whole characters, got b'x'"),
        ({}, {"n": "\udfff"}, "strings of whole characters"),
        ({}, {None: "x"}, "strings of whole characters, got None"),
        ({}, dict.fromkeys(map(str, range(4097)), ""), "too many for a file of"),
        ({}, {"n": "x" * (1 << 24)}, r"names and texts take 1677\d{4} bytes \(at most 16777216\)"),
    ],
)
def test_what_could_not_be_read_again_is_refused_before_the_disk_is_touched(
    arrays: dict[str, np.ndarray], texts: dict[str, str], message: str, tmp_path: Path, file: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        write_tensors(file, {"good": np.zeros(3), **arrays}, texts)
    with pytest.raises(CheckpointError, match=message):
        write_tensors(tmp_path / "new folder" / "file", arrays, texts)
    assert same(file)
    assert list(tmp_path.iterdir()) == [file]


def test_arrays_of_more_than_four_gibibytes_are_refused_before_the_disk_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minidl._storage.tensors, "_LARGEST_FILE", 1000)
    with pytest.raises(CheckpointError, match=r"and all takes \d+ \(at most 1000\)"):
        write_tensors(tmp_path / "file", {"a": np.zeros(125)})
    assert list(tmp_path.iterdir()) == []
