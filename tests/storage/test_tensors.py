"""The tensor file: its content, exchange with other tools, and detection of damage and forgery."""

import json
import os
import pickle
import signal
import socket
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from fuzzing import OPENING, sealed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from places import descriptors, peak_below

from minidl._core.errors import CheckpointError, InputError
from minidl._storage import tensors
from minidl._storage.tensors import packed, read_tensors, write_tensors

ARRAYS = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "step": np.asarray(7),
    "empty": np.zeros((0, 3), np.float32),
    "also": np.zeros(0),
    "mask": np.array([True, False, True]),
    "half": np.array([1.5], np.float16),
    "picture": np.arange(200, dtype=np.uint8),
}
TEXTS = {"state": '{"epoch": 3, "note": "\\u00e4 \\"x\\""}', "zeros": "0" * 64, "": "𝛌"}
DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


@pytest.fixture(autouse=True)
def _no_waiting():
    """Stop a test that waits for a pipe or reads an endless device."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def file(tmp_path):
    write_tensors(tmp_path / "file", ARRAYS, TEXTS)
    return tmp_path / "file"


def plain(arrays):
    return [(name, array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()]


def same(path, **options):
    arrays, texts = read_tensors(path, **options)
    return texts == TEXTS and plain(arrays) == plain(ARRAYS)


def entry(name="a", dtype="F32", shape="[1]", offsets="[0, 4]"):
    return f', "{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}'.encode()


def unsealed(header, data=b""):
    """Return the file that `sealed` makes, with a text instead of the digest."""
    header = OPENING.replace(b"minidl.sha256", b"another.words") + b"0" * 64 + b'"' + header
    return len(header).to_bytes(8, "little") + header + data


# Written files are read back.

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


@given(
    st.dictionaries(TEXT, st.sampled_from(DTYPES).flatmap(lambda kind: hnp.arrays(kind, SHAPES)), max_size=4),
    st.dictionaries(TEXT, TEXT, max_size=4),
    st.sampled_from("<>"),
)
def test_arrays_and_texts_come_back_bit_for_bit(tmp_path_factory, arrays, texts, order):
    path = tmp_path_factory.getbasetemp() / "tensors"
    write_tensors(path, {name: a.astype(a.dtype.newbyteorder(order), order="F") for name, a in arrays.items()}, texts)
    result, words = read_tensors(path)
    assert words == texts
    assert plain(result) == plain(arrays)
    for array in result.values():
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_numbers_views_and_long_texts_come_back(tmp_path):
    texts = {"history": json.dumps([{"loss": 1 / (k + 1), "name": 'ü"\\\n\u2028𝛌'} for k in range(20_000)])}
    arrays = {"a": np.float64(3.5), "steps": np.arange(9)[::-2], "same": np.broadcast_to(np.float32(3), (2, 2))}
    arrays["large"] = np.zeros(1_000_000)
    texts |= dict.fromkeys(map(str, range(40_000)), "")  # so large a file has room for them
    write_tensors(tmp_path / "file", arrays, texts)
    result, words = read_tensors(tmp_path / "file")
    assert words == texts
    assert plain(result) == plain(arrays)


def test_the_first_files_of_this_format_are_read_for_ever(tmp_path):
    content = (
        b'\xf8\0\0\0\0\0\0\0{"__metadata__": {"minidl.sha256": '
        b'"c5141b3097882cda8dea1454ef7c4d2cd390ed639bb38d021ca66b75df3bb5dd"}, "0.weight": {"dtype": "F32", "shape": '
        b'[1, 2], "data_offsets": [0, 8]}, "1.count": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]}}       '
        b"\0\0\x80?\0\0 \xc0\x07\0\0\0\0\0\0\0"
    )
    (tmp_path / "file").write_bytes(content)
    arrays, texts = read_tensors(tmp_path / "file")
    assert texts == {}
    np.testing.assert_array_equal(arrays["0.weight"], [[1, -2.5]])
    assert (arrays["1.count"].shape, int(arrays["1.count"])) == ((), 7)
    assert b"".join(packed("file", arrays)) == content


def test_arrays_that_change_while_they_are_written_give_the_file_of_before(tmp_path, monkeypatch):
    array, replacing = np.zeros(5), tensors.replacing
    monkeypatch.setattr(tensors, "replacing", lambda path: (array.fill(1), replacing(path))[1])
    write_tensors(tmp_path / "file", {"a": array})
    np.testing.assert_array_equal(read_tensors(tmp_path / "file")[0]["a"], np.zeros(5))


@pytest.mark.parametrize(
    ("arrays", "texts", "message"),
    [
        *(
            ({"a": np.zeros(2, kind)}, {}, "'a': expected a dtype among .*float32")
            for kind in ("O", "c16", "U1", "S1", "M8[s]", "g", "V3", [("x", "f4")])
        ),
        ({"a": np.ma.masked_array([1.0, 2.0], [True, False])}, {}, "expected a NumPy array, got MaskedArray"),
        *(({"a": value}, {}, "expected a NumPy array") for value in ([1.0, 2.0], 3.0, None)),
        ({3: np.zeros(2)}, {}, "names and texts must be strings, got 3"),
        ({"__metadata__": np.zeros(2)}, {}, "'__metadata__' are reserved"),
        ({}, {"minidl.sha256": "x"}, "'minidl.sha256' .* are reserved"),
        *(({}, {"n": value}, "must be strings, got") for value in (3, b"x", None)),
        ({}, {"n": "\udfff"}, "surrogates"),
        ({}, dict.fromkeys(map(str, range(40_000)), ""), "too many names"),
        ({}, {"n": "x" * (1 << 24)}, "expected at most 16777216 bytes of names and texts"),
    ],
)
def test_unreadable_content_is_refused_before_writing(arrays, texts, message, tmp_path, file):
    for path in (file, tmp_path / "new folder" / "file"):
        with pytest.raises(CheckpointError, match=f"{path}: cannot be written: .*{message}"):
            write_tensors(path, {"good": np.zeros(3), **arrays}, texts)
    assert same(file)
    assert list(tmp_path.iterdir()) == [file]


def test_files_over_the_size_limit_are_neither_written_nor_read(file, monkeypatch):
    size = file.stat().st_size
    monkeypatch.setattr(tensors, "_LARGEST_FILE", size)
    write_tensors(file, ARRAYS, TEXTS)
    assert same(file)
    monkeypatch.setattr(tensors, "_LARGEST_FILE", size - 1)
    for call in (lambda: write_tensors(file.with_name("new"), ARRAYS, TEXTS), lambda: read_tensors(file)):
        with pytest.raises(CheckpointError, match=f"a file of {size - 1}, got .* in {size}"):
            call()
    assert os.listdir(file.parent) == ["file"]


# Other tools.


def test_other_tools_read_the_file(file):
    safetensors = pytest.importorskip("safetensors", reason="needs the package safetensors")
    with safetensors.safe_open(file, "numpy") as opened:
        assert plain({name: opened.get_tensor(name) for name in ARRAYS}) == plain(ARRAYS)
        assert {name: opened.metadata()[name] for name in TEXTS} == TEXTS


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("metadata", [None, {"format": "np"}])
def test_files_of_other_tools_are_read(kind, metadata, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs the package safetensors")
    arrays = {"b": np.array([[0, 1, 1], [1, 0, 1]], kind), "a": np.ones(1, kind), "c": np.ones((), kind)}
    safetensors.save_file(arrays, tmp_path / "file", metadata)
    result, texts = read_tensors(tmp_path / "file", require_digest=False)
    assert texts == (metadata or {})
    assert sorted(plain(result)) == sorted(plain(arrays))
    with pytest.raises(CheckpointError, match=r"no digest 'minidl.sha256'"):
        read_tensors(tmp_path / "file")


def test_arrays_may_have_another_order_than_their_names(tmp_path):
    names = entry("b", "U8", "[2]", "[1, 3]") + entry("a", "U8", "[1]", "[0, 1]") + entry("c", "U8", "[0]", "[1, 1]")
    for content in (sealed(b"}" + names + b"}", b"xyz"), unsealed(b"}" + names + b"}", b"xyz")):
        (tmp_path / "file").write_bytes(content)
        arrays, _ = read_tensors(tmp_path / "file", require_digest=False)
        assert {name: array.tobytes() for name, array in arrays.items()} == {"a": b"x", "b": b"yz", "c": b""}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["F16", "F32", "F64", "BF16"])
def test_non_finite_numbers_are_damage_without_a_digest(kind, value, tmp_path):
    array = np.array([1, value, 2], "f4" if kind == "BF16" else f"f{int(kind[1:]) // 8}")
    data = array.tobytes() if kind != "BF16" else array.view("<u2")[1::2].tobytes()
    names = b"}" + entry("a", kind, "[3]", f"[0, {len(data)}]") + b"}"
    (tmp_path / "file").write_bytes(unsealed(names, data))
    with pytest.raises(CheckpointError, match="'a': expected finite numbers"):
        read_tensors(tmp_path / "file", require_digest=False)
    (tmp_path / "file").write_bytes(sealed(names, data))
    np.testing.assert_array_equal(read_tensors(tmp_path / "file")[0]["a"], array)


# Damage.


def test_every_flipped_bit_and_every_cut_is_noticed(file):
    content = file.read_bytes()
    assert 900 < len(content) < 1500
    with open(file, "r+b", buffering=0) as raw:
        for at, byte in enumerate(content):
            for bit in range(8):
                os.pwrite(raw.fileno(), bytes([byte ^ 1 << bit]), at)
                with pytest.raises(CheckpointError):
                    read_tensors(file)
            os.pwrite(raw.fileno(), bytes([byte]), at)
    assert same(file)
    for damaged in [*(content[:end] for end in range(len(content))), content + b"\0", content + b" ", 2 * content]:
        file.write_bytes(damaged)
        for require_digest in (True, False):
            with pytest.raises(CheckpointError, match=r"empty file|incomplete or damaged|a file that starts with"):
                read_tensors(file, require_digest=require_digest)


def test_a_wrong_digest_or_one_in_capitals_is_refused(file):
    content = file.read_bytes()
    at = 8 + len(OPENING)
    digest = content[at : at + 64]
    for other in (digest.upper(), b"0" * 64, digest[::-1], b""):
        length = len(other) - 64 + int.from_bytes(content[:8], "little")
        file.write_bytes(length.to_bytes(8, "little") + content[8:at] + other + content[at + 64 :])
        with pytest.raises(CheckpointError, match="does not match its digest"):
            read_tensors(file, require_digest=False)
    # The digest's text again, as the name of a text whose zeros would give the same digest.
    write_tensors(file, {}, {digest.decode(): "0" * 64})
    assert read_tensors(file)[1] == {digest.decode(): "0" * 64}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: os.truncate(path, 400_000), "became shorter while it was read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9] + bytes([1]) * 9), "does not match its digest"),
        (lambda path: write_tensors(path, {"other": np.arange(1000)}), None),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_refused_or_was_read_before(tmp_path, monkeypatch, change, message):
    path, parsed = tmp_path / "file", tensors._parsed
    write_tensors(path, {"a": np.zeros(100_000)})
    with monkeypatch.context() as patch:
        patch.setattr(tensors, "_parsed", lambda *arguments: (change(path), parsed(*arguments))[1])
        with pytest.raises(CheckpointError, match=message) if message else nullcontext():
            assert list(read_tensors(path)[0]) == ["a"]
    assert message or list(read_tensors(path)[0]) == ["other"]


def test_too_little_memory_is_a_checkpoint_error(file, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(tensors, "np", SimpleNamespace(**vars(np) | {"empty": full}))
    with pytest.raises(CheckpointError, match="not enough free memory"):
        read_tensors(file)


# Forgeries: the digest is correct or missing.

TAKEN = "expected dtype .*BF16, at most 64 axes, fitting data_offsets"
NO_HEADERS = {
    "delimiter": [b"", b"}" + entry(shape="[01]") + b"}"],
    "Extra data": [b"}}]"],
    "strings, got": [b', "n": %s}}' % value for value in (b"Infinity", b"3", b"null")],
    "a number of 20 digits": [b', "n": ' + b"9" * 5000 + b"}}"],
    "too many names": [b', "n": ' + b"[" * 100_000, b"".join(b', "%d": ""' % k for k in range(32_767)) + b"}}"],
    "surrogates": [b', "n": "\\ud800"}}', b', "\\udc00\\ud800": ""}}'],
    "control character": [b', "n": "\n"}}'],
    "Unterminated string": [b', "n": "never ended', b', "n": "' + b'\\"' * 300_000],
    "can't decode byte 0xff": [b', "n": "\xff\xfe"}}'],
    "same name twice": [
        *(b', "n": "1", "%s": "2"}}' % name for name in (b"n", b"\\u006e")),
        *(b'}, "__metadata__": {}}', b"}" + entry() + entry(offsets="[4, 8]") + b"}"),
    ],
    TAKEN: [
        b'}, "%s": %s}' % it
        for it in ((b"n" * 100_000, b"{}"), (b"a", b"[]"), (b"a", b'{"dtype": "F32", "shape": []}'))
    ],
}
SHAPES_OF_NONE = ["[true]", "[1.0]", "[-1, -1]", '"1"', "[[1]]", "1", "null", f"[{'1, ' * 64}1]", f"[{2**32}, {2**32}]"]
OFFSETS_OF_NONE = ["[4, 0]", "[-4, 0]", "[0, 8]", "[0, 9999999999999999999]", "[0]", "[0, 4, 8]", "[false, 4]"]
# Invalid entries, or entries that do not fit the data, and the number of data bytes.
NO_ARRAYS = [
    *((entry(dtype=code), 4, TAKEN) for code in ("O", "F8_E4M3", "C64", "S" * 1000, "bf16")),
    *((entry(shape=shape), 4, TAKEN) for shape in SHAPES_OF_NONE),
    *((entry(offsets=offsets), 8, TAKEN) for offsets in OFFSETS_OF_NONE),
    (entry(shape="[0, 9223372036854775807]", offsets="[0, 0]"), 0, TAKEN),
    (entry(shape="[0, 4294967296, 4294967296]", offsets="[0, 0]"), 0, "array is too big"),
    (entry(offsets="[4, 8]"), 8, "'a': expected data_offsets that start at 0, got 4"),
    (entry() + entry("b"), 4, "'b': expected data_offsets that start at 4, got 0"),
    (entry() + entry("b", offsets="[5, 9]"), 9, "got 5"),
    (entry("z", shape="[0]", offsets="[1, 1]") + entry(), 4, "'z': .* start at 4, got 1"),
    (entry(), 3, "header lists 4 bytes of arrays, it has 3"),
    (entry(), 5, "header lists 4 bytes of arrays, it has 5"),
    (entry(shape="[1000000000]", offsets="[0, 4000000000]"), 4, "lists 4000000000"),
]
FORGED = [
    *((header, b"", message) for message, headers in NO_HEADERS.items() for header in headers),
    *((b"}" + entries + b"}", bytes(count), message) for entries, count, message in NO_ARRAYS),
    (b"}" + entry(dtype="BOOL", shape="[4]") + b"}", b"\0\1\2\1", "'a': expected bytes 0 and 1, got 2"),
]


@pytest.mark.parametrize("seal", [sealed, unsealed])
@pytest.mark.parametrize(("header", "data", "message"), FORGED)
def test_a_forged_file_is_refused(seal, header, data, message, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(seal(header, data))
    started = time.thread_time()
    with pytest.raises(CheckpointError, match=message) as caught:
        read_tensors(path, require_digest=False)
    assert str(caught.value).startswith(f"{path}: expected a complete, unchanged safetensors file; ")
    assert len(str(caught.value)) < len(str(path)) + 600
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("seal", [sealed, unsealed])
def test_the_base_of_the_forgeries_is_valid(seal, tmp_path):
    axes = "[" + ", ".join("1" * 64) + "]"
    names = entry() + entry("b", "U8", "[0]", "[4, 4]") + entry("c", "U8", axes, "[4, 5]")
    (tmp_path / "file").write_bytes(seal(b', "n": "x"}' + names + b"}  ", bytes(5)))
    arrays, texts = read_tensors(tmp_path / "file", require_digest=False)
    assert texts["n"] == "x"
    assert {name: array.shape for name, array in arrays.items()} == {"a": (1,), "b": (0,), "c": (1,) * 64}
    (tmp_path / "file").write_bytes(seal(b"".join(b', "%d": ""' % k for k in range(32_766)) + b"}}"))
    assert len(read_tensors(tmp_path / "file", require_digest=False)[1]) >= 32_766


TRUE = sealed(b"}" + entry() + b"}", bytes(4))


@pytest.mark.parametrize(
    ("content", "size", "message"),
    [
        (b"", 0, "it is an empty file"),
        (b"", 8, "it is a file that starts with"),
        (bytes(8) + b"{", 9, "Expecting value"),
        (b"\2" + bytes(7) + b"{}", 10, "no digest 'minidl.sha256'"),
        ((1 << 63).to_bytes(8, "little") + b"{}", 10, "at most 16777216 bytes of names .*, got 9223372036854775808"),
        (((1 << 24) + 1).to_bytes(8, "little") + b"{}", 10, "at most 16777216 bytes of names .*, got 16777217"),
        ((1 << 24).to_bytes(8, "little") + b"{}", 10, "it has 10 bytes, its header alone needs 16777224"),
        (b"\2" + bytes(7) + b"[]", 10, "it is a file that starts with"),
        (TRUE, 1 << 40, "a file of 4294967296, got .* in 1099511627776"),
        (TRUE, 1 << 31, "header lists 4 bytes of arrays"),
    ],
)
def test_a_length_that_cannot_be_is_refused_before_memory_is_taken(content, size, message, tmp_path):
    (tmp_path / "file").write_bytes(content)
    os.truncate(tmp_path / "file", size)
    with peak_below(200_000), pytest.raises(CheckpointError, match=message):
        read_tensors(tmp_path / "file")


MANY = {
    "arrays": b"}" + b"".join(entry(str(k), "U8", "[0]", "[0, 0]") for k in range(4096)),
    "texts": b"".join(b', "%d": ""' % k for k in range(32_000)) + b"}",
    "escapes": b', "a": "' + b'\\"' * 500_000 + b'"}',
    "text": b', "a": "' + b"a" * 1_000_000 + b"\xf0\x9d\x9b\x8c" + b'"}',
    "more lists": b'}, "a": [' + b"[], " * 3_000_000 + b"1]",
    "numbers": b"}" + entry(shape="[" + "1000, " * 60_000 + "1]"),
    "data": b"}" + entry(shape="[1000000]", offsets="[0, 4000000]"),
}


@pytest.mark.parametrize("kind", MANY)
def test_memory_stays_below_ten_files_and_eight_megabytes(kind, tmp_path):
    content = unsealed(MANY[kind] + b"}", bytes(4_000_000) if kind == "data" else b"")
    (tmp_path / "file").write_bytes(content)
    refused = kind in ("more lists", "numbers")
    with peak_below(10 * len(content) + 8_000_000), pytest.raises(CheckpointError) if refused else nullcontext():
        read_tensors(tmp_path / "file", require_digest=False)


# Files of other kinds.


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\3\4" + bytes(100), "a zip file"),
        (b"\x93NUMPY\1\0" + bytes(100), "a NumPy .npy file"),
        (b"\x1f\x8b\x08" + bytes(100), "a gzip file"),
        *((pickle.dumps({"weight": [1.0] * 9}, n), f"a pickle of protocol {n}") for n in (2, 3, 4, 5)),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "a git-LFS pointer.*git lfs pull"),
        (b"/annex/objects/SHA256E-s31--c99cafc152244af7\n", "a git-annex pointer.*git annex get"),
        (b"<!DOCTYPE html><html></html>", "an HTML or XML page"),
    ],
)
def test_a_file_of_another_format_is_named(content, kind, tmp_path):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"safetensors file; it is {kind}"):
        read_tensors(tmp_path / "file")


def test_only_a_regular_file_is_read_and_nothing_waits(tmp_path, file):
    os.mkfifo(tmp_path / "pipe")
    for name, to in {"loop": "loop", "lost": "nowhere", "zeros": "/dev/zero", "folder": ".", "link": "file"}.items():
        (tmp_path / name).symlink_to(to)
    kinds = {"pipe": "a pipe", "folder": "a folder", "socket": "a socket", "zeros": "a device"}
    messages = {name: f"expected a regular file, got {kind}" for name, kind in kinds.items()}
    messages |= {"loop": "Too many levels of symbolic links", "lost": "No such file", "n" * 5000: "File name too long"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))  # a socket's absolute path may be too long
        for name, message in messages.items():
            with pytest.raises(CheckpointError, match=f"cannot be read: {message}"):
                read_tensors(tmp_path / name)
    with pytest.raises(InputError, match="path: expected the name of a file"):
        read_tensors(str(tmp_path / "a\0b"))
    assert same(tmp_path / "link")


def test_a_pipe_that_takes_the_files_place_after_the_look_at_it_does_not_block(tmp_path, file, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    look = os.stat(file)
    opened = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr("minidl._storage.kinds.os.stat", lambda _: look)
        with pytest.raises(CheckpointError, match="got a pipe"):
            read_tensors(tmp_path / "pipe")
    assert descriptors() == opened
