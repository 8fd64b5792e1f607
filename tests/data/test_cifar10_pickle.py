"""The reader of the official batches: it reads them, and nothing else, and runs nothing."""

import contextlib
import os
import pickle
import struct
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path

import cifar_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl._core.errors import DataError
from minidl.data.datasets.cifar10_formats import read_pickled_batch

GOOD = files.official("data_batch_1")
PIXELS_AT = GOOD.index(files.PIXELS["data_batch_1"].tobytes())
PIXELS_END = PIXELS_AT + files.ROWS * 3072


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> Iterator[None]:
    with files.tiny_cifar10():
        yield


def read(data: bytes, name: str = "data_batch_1") -> np.ndarray:
    return read_pickled_batch(data, name, "the file")


def with_items(**changes: bytes) -> bytes:
    """Return data_batch_1 with other opcodes behind some of its keys."""
    return files.dictionary(files.official_items("data_batch_1") | {k.encode(): v for k, v in changes.items()})


@pytest.mark.parametrize("name", files.NAMES)
def test_an_official_batch_is_read_as_pixels_then_labels(name: str) -> None:
    assert read(files.official(name), name).tobytes() == files.CONTENTS[name]


def test_the_tiny_batches_are_pickles_as_python_itself_reads_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy dislikes the dtype arguments of old pickles
        batch = pickle.loads(GOOD, encoding="latin1")
    np.testing.assert_array_equal(batch["data"], files.PIXELS["data_batch_1"])
    assert batch["labels"] == files.LABELS["data_batch_1"]
    assert batch["batch_label"] == "training batch 1 of 5"


def test_the_order_of_the_keys_does_not_matter() -> None:
    items = files.official_items("data_batch_1")
    assert read(files.dictionary(dict(reversed(items.items())))).tobytes() == files.CONTENTS["data_batch_1"]


def test_large_memo_numbers_single_items_and_memo_look_ups_are_understood() -> None:
    items = files.official_items("data_batch_1", memo=254)
    labels = files.LABELS["data_batch_1"]
    items[b"labels"] = b"]" + b"".join(files.integer(label) + b"a" for label in labels)
    items[b"again"] = b"h\x03"
    items[b"and again"] = b"j" + struct.pack("<I", 3)
    body = files.dictionary(items)[:-2] + b"uU\x04more" + b"K\x01s."
    assert read(body).tobytes() == files.CONTENTS["data_batch_1"]


def test_a_file_cut_at_any_byte_is_refused() -> None:
    for end in range(len(GOOD)):
        with pytest.raises(DataError):
            read(GOOD[:end])


def test_a_cut_file_is_reported_with_its_length_and_what_to_do() -> None:
    with pytest.raises(DataError, match=r"cut or damaged .*fetch it again"):
        read(GOOD[:5000])


def test_every_flipped_bit_around_the_pixels_is_refused_or_changes_nothing() -> None:
    expected = files.CONTENTS["data_batch_1"]
    for at in [*range(PIXELS_AT + 2), *range(PIXELS_END - 2, len(GOOD))]:
        for bit in range(8):
            damaged = bytearray(GOOD)
            damaged[at] ^= 1 << bit
            with contextlib.suppress(DataError):
                assert read(bytes(damaged)).tobytes() == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_any_damage_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    head_or_tail = st.one_of(st.integers(0, PIXELS_AT + 8), st.integers(PIXELS_END - 8, len(GOOD)))
    damaged = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        start, length = data.draw(head_or_tail), data.draw(st.integers(0, 6))
        opcodes = st.sampled_from(list(b"}]q(rhjUTeastucRbKMJN.\x80\x85\x86\x87\x88\x89"))
        new = data.draw(st.one_of(st.binary(max_size=6), st.lists(opcodes, max_size=4).map(bytes)))
        damaged = damaged[:start] + new + damaged[start + length :]
    with contextlib.suppress(DataError):
        assert read(damaged).tobytes() == files.CONTENTS["data_batch_1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 31035704\n", "git lfs pull"),
        (b"/annex/objects/MD5E-s31035704--c99cafc152244af753f735de768cd75f\n", "git annex get"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b'{"error": "not found"}', "JSON"),
        (b"MATLAB 5.0 MAT-file", "MATLAB"),
        (files.PIXELS["data_batch_1"].tobytes() + b"\1\2\3", "the binary version"),
        (files.official_tgz(), "a gzip file"),
        (b"\x80\x04\x95", "pickle of protocol 4"),
        (b"\x80\x03}.", "pickle of protocol 3"),
        (b"(dp1\n.", r"a file that starts with b'\(dp1"),
    ],
)
def test_a_file_of_another_kind_is_named(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(data)


def test_cifar100_is_named() -> None:
    with pytest.raises(DataError, match="CIFAR-100"):
        read(with_items(fine_labels=files.label_list([1, 2, 3])))


def test_another_batch_under_the_name_is_refused() -> None:
    with pytest.raises(DataError, match="batch_label: expected b'training batch 2 of 5', got b'training batch 1 of 5'"):
        read(GOOD, "data_batch_2")


def test_one_flipped_pixel_is_refused_with_both_digests() -> None:
    with pytest.raises(DataError, match=r"SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        read(GOOD[:PIXELS_AT] + bytes([GOOD[PIXELS_AT] ^ 1]) + GOOD[PIXELS_AT + 1 :])


def test_pixels_of_another_batch_under_a_false_title_are_named() -> None:
    twin = files.official("data_batch_3").replace(b"batch 3 of", b"batch 1 of")
    with pytest.raises(DataError, match="expected data_batch_1, but what it holds is data_batch_3"):
        read(twin)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (files.label_list([1, 10, 2]), r"row 1: expected an integer in 0..9, got 10"),
        (files.label_list([1, 2, 255]), r"row 2: .* got 255"),
        (files.label_list([-1, 2, 3]), r"row 0: .* got -1"),
        (files.label_list([1, 2]), "expected 3 labels, one a row, got 2"),
        (files.label_list([1, 2, 3, 4]), "expected 3 labels, one a row, got 4"),
        (b"](K\x01U\x01xK\x02e", "row 1: .* got bytes"),
        (b"](K\x01\x88K\x02e", "row 1: .* got True"),
        (b"N", "labels: expected a list, got nothing"),
        (b"}", "labels: expected a list, got a dict"),
    ],
)
def test_labels_that_are_not_one_class_a_row_are_refused(labels: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(with_items(labels=labels))


PIXEL_BYTES = files.PIXELS["data_batch_1"].tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (files.array(PIXEL_BYTES, shape=(3, 3073)), r"expected an array of shape \(3, 3072\), got \(3, 3073\)"),
        (files.array(PIXEL_BYTES, shape=(3, 32, 32, 3)), r"got \(3, 32, 32, 3\)"),
        (files.array(PIXEL_BYTES, shape=(9216, 1)), r"got \(9216, 1\)"),
        (files.array(PIXEL_BYTES, dtype=b"u2"), "expected dtype b'u1' .*, got b'u2'"),
        (files.array(PIXEL_BYTES, dtype=b"O8"), "got b'O8'"),
        (files.array(PIXEL_BYTES, fortran=b"\x88"), "Fortran order"),
        (files.array(PIXEL_BYTES[:-1]), "expected 9216 bytes, got 9215"),
        (files.array(PIXEL_BYTES + b"x"), "expected 9216 bytes, got 9217"),
        (b"K\x07", "expected a pickled NumPy array, got 7"),
        (b"N", "expected a pickled NumPy array, got nothing"),
        (b"cnumpy\nndarray\nK\x03\x85R", "expected a pickled NumPy array, got a call"),
    ],
)
def test_pixels_of_another_form_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(with_items(data=data))


class _Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.system, (f"touch {self.path}",)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    command = files.string(f"touch {canary}".encode())
    hostile = [
        pickle.dumps(_Canary(canary), protocol=2),
        b"\x80\x02cos\nsystem\n" + command + b"\x85R.",
        b"\x80\x02cposix\nsystem\n" + command + b"\x85R.",
        b"\x80\x02cbuiltins\neval\n" + files.string(f"open({str(canary)!r}, 'w')".encode()) + b"\x85R.",
        b"\x80\x02cnumpy.testing._private.utils\nrunstring\n" + command + b"}\x86R.",
        b"\x80\x02cnumpy\nndarray.__reduce__\n.",
        b"\x80\x02(" + command + b"ios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\n" + command + b"o.",  # OBJ
        b"\x80\x02Pnumber\n.",  # PERSID
        b"\x80\x02K\x01Q.",  # BINPERSID
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02" + files.string(b"os") + files.string(b"system") + b"\x93.",  # STACK_GLOBAL
        with_items(data=b"cnumpy\nndarray\n(M\xff\xffM\xff\xff\x86tR"),
        with_items(data=files.array(PIXEL_BYTES).replace(b"cnumpy\ndtype\n", b"cnumpy\nload\n")),
    ]
    for data in hostile:
        with pytest.raises(DataError):
            read(data)
    assert not canary.exists()


SELF_SHARING = b"q\x00h\x00\x86"  # a tuple that holds the last one twice: its hash takes twice as long


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"T\xff\xff\xff\xff.", "cut or damaged"),
        (b"T\xff\xff\xff\x7f.", "cut or damaged"),
        (b"\x8e" + struct.pack("<Q", 1 << 60), "at byte 2: expected an opcode of a CIFAR-10 batch, got b.*8e"),
        (b"S'\\!'\n.", "at byte 2: expected an opcode of a CIFAR-10 batch, got b.S"),
        (b"}r" + struct.pack("<I", 1 << 31) + b".", "more than 1012 opcodes"),
        (b"]q\x00" + b"]" * 200_000 + b".", "more than 1012 opcodes"),
        (b"(" * 200_000, "more than 1012 opcodes"),
        (b"]q\x00" + b"q\x01" * 200_000, "more than 1012 opcodes"),
        (b"K\x01" + b"\x85" * 900 + b"K\x01s.", "more than 1012 opcodes"),
        (b"}" + b"K\x01\x85" + SELF_SHARING * 30 + b"K\x01s.", "expected the memo number of a string, got 0"),
        (b"}(tU\x01aq\x01(eq\x01h\x01.", "expected the memo number of a string, got 1"),
        (b"](h\x00e.", "memo number of a string, got 0"),
        (b"}]K\x01s.", "unhashable"),
        (b"}(U\x01ae.", "no CIFAR-10 batch"),
        (b"](U\x01au.", "no CIFAR-10 batch"),
        (b"}(U\x01au.", "no CIFAR-10 batch"),
        (b"q\x00.", "no CIFAR-10 batch"),
        (b"K\x01e.", "no CIFAR-10 batch"),
        (b"K\x01K\x01b.", "no CIFAR-10 batch"),
        (b"cnumpy\nndarray\n}U\x04textU\x02osub.", "no CIFAR-10 batch"),
        (b"cnumpy\nndarray\n}}\x86b.", "sets the state of a name"),
        (b"cnumpy\nndarray\n)\x81.", r"got b.\)"),
        (b"cnumpy\nndarray\n(tR(tR.", "no CIFAR-10 batch"),
        (b"}", "cut or damaged"),
        (b"}.x", "expected the end of the file after STOP"),
        (b".", "no CIFAR-10 batch"),
        (b"K\x05.", "expected a dict with the keys data and labels, got 5"),
        (b"}.", "batch_label: expected b'training batch 1 of 5', got nothing"),
        (b"cnumpy", "cut or damaged"),
        (b"c" + b"x" * 1000 + b"\nx\n.", "which no batch does"),
    ],
)
def test_an_impossible_pickle_is_refused_where_it_goes_wrong(body: bytes, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read(b"\x80\x02" + body)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
