"""The formats of CIFAR-10: published files are read, all others are refused, and no code in a file is run.

Every flipped bit, every cut and fuzzed files: tests/storage/test_hostile_files.py.
"""

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import warnings

import cifar_files as files
import numpy as np
import pytest
from places import peak_below

from minidl._core.errors import DataError
from minidl.data.datasets.cifar10_formats import batches_in, read_pickled_batch, read_png

pytestmark = pytest.mark.usefixtures("tiny")
GOOD = files.official("data_batch_1")
PIXELS = files.PIXELS["data_batch_1"].tobytes()
OFFICIAL = files.official_tgz()
ONE = ("data_batch_1",)

# The official batches.


def read_batch(data, name="data_batch_1"):
    return read_pickled_batch(data, name, "the file")


def with_items(**changes):
    """Return data_batch_1 with other opcodes after some of its keys."""
    return files.dictionary(files.official_items("data_batch_1") | {k.encode(): v for k, v in changes.items()})


@pytest.mark.parametrize("name", files.NAMES)
def test_an_official_batch_is_read_as_pixels_then_labels(name):
    assert read_batch(files.official(name), name).tobytes() == files.CONTENTS[name]


def test_the_tiny_batches_are_pickles_as_python_itself_reads_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy dislikes the dtype arguments of old pickles
        batch = pickle.loads(GOOD, encoding="latin1")
    np.testing.assert_array_equal(batch["data"], files.PIXELS["data_batch_1"])
    assert batch["labels"] == files.LABELS["data_batch_1"]
    assert batch["batch_label"] == "training batch 1 of 5"


def test_another_order_large_memo_numbers_single_items_and_memo_look_ups_are_understood():
    items = dict(reversed(files.official_items("data_batch_1", memo=254).items()))
    labels = files.LABELS["data_batch_1"]
    items[b"labels"] = b"]" + b"".join(files.integer(label) + b"a" for label in labels)
    items[b"again"] = b"h\x03"
    items[b"and again"] = b"j" + struct.pack("<I", 3)
    body = files.dictionary(items)[:-2] + b"uU\x04more" + b"K\x01s."
    assert read_batch(body).tobytes() == files.CONTENTS["data_batch_1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (PIXELS + b"\1\2\3", "the binary version"),
        (b"(dp1\n.", r"a file that starts with b'\(dp1"),
        (GOOD[:5000], r"incomplete or damaged: .*download it again"),
        (with_items(fine_labels=files.label_list([1, 2, 3])), "CIFAR-100"),
        (GOOD.replace(PIXELS, bytes([PIXELS[0] ^ 1]) + PIXELS[1:]), r"SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"),
        (files.official("data_batch_3"), "expected data_batch_1, got the content of data_batch_3"),
        (with_items(labels=files.label_list([1, 10, 2])), r"row 1: expected an integer in 0..9, got 10"),
        (with_items(labels=files.label_list([1, 2, 3, 4])), "expected 3 labels, one per row, got 4"),
        (with_items(labels=b"](K\x01U\x01xK\x02e"), "expected 3 labels, one per row, got 2"),
        (with_items(data=files.array(PIXELS[:-1])), "expected a text of 9216 pixel bytes, got none"),
    ],
)
def test_files_other_than_the_batch_are_refused_and_named(data, message):
    with pytest.raises(DataError, match=message):
        read_batch(data)


class _Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_hostile_pickle_runs_nothing(tmp_path):
    canary = tmp_path / "canary"
    command = files.string(f"touch {canary}".encode())
    hostile = [
        pickle.dumps(_Canary(canary), protocol=2),
        b"\x80\x02cos\nsystem\n" + command + b"\x85R.",
        b"\x80\x02cbuiltins\neval\n" + files.string(f"open({str(canary)!r}, 'w')".encode()) + b"\x85R.",
        b"\x80\x02cnumpy.testing._private.utils\nrunstring\n" + command + b"}\x86R.",
        b"\x80\x02(" + command + b"ios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\n" + command + b"o.",  # OBJ
        b"\x80\x02K\x01Q.",  # BINPERSID
        b"\x80\x02" + files.string(b"os") + files.string(b"system") + b"\x93.",  # STACK_GLOBAL
        with_items(data=b"cnumpy\nndarray\n(M\xff\xffM\xff\xff\x86tR"),
        with_items(data=files.array(PIXELS).replace(b"cnumpy\ndtype\n", b"cnumpy\nload\n")),
    ]
    for data in hostile:
        with pytest.raises(DataError):
            read_batch(data)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"T\xff\xff\xff\xff.", "incomplete or damaged"),
        (b"\x8e" + struct.pack("<Q", 1 << 60), "at byte 2: expected an opcode of a CIFAR-10 batch, got b.*8e"),
        (b"}r" + struct.pack("<I", 1 << 31) + b".", "pixel bytes, got none"),
        (b"]q\x00" + b"]" * 200_000 + b".", "at most 1012 opcodes"),
        # Each tuple has the previous one twice: hashing the last would take too long.
        (b"}" + b"K\x01\x85" + b"q\x00h\x00\x86" * 30 + b"K\x01s.", "pixel bytes, got none"),
        (b"cnumpy\nndarray\n)\x81.", r"got b.\)"),
        (b"}.x", "STOP at the end of the file"),
        (b"c" + b"x" * 1000 + b"\nx\n.", "a pickle with the name"),
    ],
)
def test_an_invalid_pickle_is_refused_at_its_error(body, message):
    with peak_below(2_000_000), pytest.raises(DataError, match=message):
        read_batch(b"\x80\x02" + body)


# Archives.


def read_archive(data, names=files.NAMES):
    return {name: content.tobytes() for name, content in batches_in(io.BytesIO(data), names, "the archive")}


def test_the_official_archive_is_read_in_its_own_order():
    assert read_archive(OFFICIAL) == files.CONTENTS
    assert list(read_archive(OFFICIAL)) == [*files.NAMES[3:], *files.NAMES[:3]]


def test_the_npm_package_is_read_though_its_labels_come_last():
    assert read_archive(files.tgz(files.npm_members())) == files.CONTENTS


def test_only_the_batches_asked_for_are_read():
    members = {f"d/{name}": files.official(name) if name == "test_batch" else b"damaged" for name in files.NAMES}
    assert read_archive(files.tgz(members), ("test_batch",)) == {"test_batch": files.CONTENTS["test_batch"]}
    members = files.npm_members() | {"package/data_batch_2.png": b"damaged"}
    assert list(read_archive(files.tgz(members), ONE)) == ["data_batch_1"]


def test_an_archive_cut_anywhere_is_refused():
    for end in [*range(20), *range(20, len(OFFICIAL), 997), *range(len(OFFICIAL) - 10, len(OFFICIAL))]:
        with pytest.raises(DataError):
            read_archive(OFFICIAL[:end])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"\n<html><head>", r"an HTML or XML page .*: a file that starts with b'\\n<html><head>'"),
        (files.tar({"data_batch_1": b""}), "expected a .tar.gz archive, got a file that starts with b'data_batch_1"),
        (OFFICIAL[:20000], r"incomplete or damaged: reading stopped at byte 20000 .* download it again"),
        (OFFICIAL[:-8] + b"\0\0\0\0" + OFFICIAL[-4:], "CRC check failed"),
        (OFFICIAL[:-4] + b"\1\0\0\0", "Incorrect length"),
        (files.tgz({}), "data_batch_1, .*, test_batch missing in it"),
        (files.tgz({"cifar-10-batches-bin/data_batch_1.bin": b"x"}), "not the binary or MATLAB version, nor CIFAR-100"),
        (files.tgz({"d/data_batch_1": b""}), r"the archive: data_batch_1: .* an empty file \(0 bytes\)"),
    ],
)
def test_files_other_than_the_archive_are_named(data, message):
    with pytest.raises(DataError, match=message):
        read_archive(data)


def special(kind, name="d/data_batch_1", size=b"00000000000"):
    """Return the header of a tar member of any type and size field, with a true check sum."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[157:169] = b"/etc/passwd\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


END = bytes(1024)
GOOD_TAR = files.tar({f"d/{name}": files.official(name) for name in files.NAMES})


@pytest.mark.parametrize(
    "tar",
    [
        # A second member of the same name is skipped.
        files.tar({f"{folder}/{name}": files.official(name) for folder in "ab" for name in files.NAMES}),
        # Data after the end of the tar is not read.
        GOOD_TAR + special(b"0", "d/data_batch_1", b"%011o" % 4) + struct.pack("<512s", b"evil"),
        # No pax header changes what a member is.
        *(
            special(b"x", "pax", b"%011o" % len(record)) + record.ljust(512, b"\0") + GOOD_TAR
            for record in (b"12 size=-999\n", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n")
        ),
    ],
)
def test_other_members_of_a_tar_are_ignored(tar):
    assert read_archive(gzip.compress(tar)) == files.CONTENTS


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S"])
def test_a_link_device_pipe_or_folder_is_never_taken_for_a_batch(kind):
    assert read_archive(gzip.compress(special(kind) + GOOD_TAR)) == files.CONTENTS
    with pytest.raises(DataError, match=r"data_batch_1.* missing in it"):
        read_archive(gzip.compress(special(kind) + END), ONE)


@pytest.mark.parametrize(
    "tar",
    [
        special(b"L", "././@LongLink", b"07346545000"),  # a name of 1 GB
        special(b"x", "pax", b"07346545000"),
        special(b"0", size=b"07777777777"),
        special(b"0", size=b"-0000000001"),
        special(b"0", size=b"\xff" * 11),  # -1 in base 256
        special(b"0") * 101 + END,
        special(b"g") * 2000 + END,
    ],
)
def test_a_tar_that_claims_the_impossible_is_refused_at_once(tar):
    data = gzip.compress(tar)
    with peak_below(5_000_000), pytest.raises(DataError):
        read_archive(data)


@pytest.mark.parametrize("prefix", ["../../", "/", "a/../../"])
def test_no_member_is_ever_written_whatever_its_path(prefix, tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert read_archive(files.tgz({f"{prefix}{name}": files.official(name) for name in files.NAMES})) == files.CONTENTS
    assert list(tmp_path.rglob("*")) == [tmp_path / "inner"]


def test_a_gzip_bomb_is_stopped_at_200_million_bytes():
    bomb = gzip.compress(bytes(2_000_000), 1) * 101  # gzip files may be joined; this is the quickest large one
    with peak_below(10_000_000), pytest.raises(DataError, match="expected at most 200000000 unzipped bytes"):
        read_archive(bomb)


# The npm package.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_lables.json": None}, "expected 3 labels, one per row, got 0"),
        ({"train_lables.json": b"[1, 2"}, "train_lables.json: expected a list of labels in JSON, got JSON text"),
        ({"train_lables.json": b"[" * 100_000}, "expected a list of labels in JSON"),
        *(
            ({"train_lables.json": "[1, 2, 3]".encode(encoding)}, "expected a list of labels in JSON")
            for encoding in ("utf-16", "utf-16-be", "utf-32", "utf-8-sig")
        ),
        ({"train_lables.json": b" " * 1_000_001}, "expected at most 1000000 bytes, got 1000001"),
        ({"test_lables.json": b"[1, 2, 10]"}, "label of row 2: expected an integer in 0..9, got 10"),
        ({"test_lables.json": json.dumps([10**4000, 1, 2]).encode()}, r"got 10000000000000000000$"),
        ({"test_lables.json": b"[1, 2.0, 3]"}, "label of row 1: .* got float"),
        ({"test_lables.json": b"[1, 2, 3]"}, "test_batch.png: expected pixels and labels with SHA-256"),
        ({"test_batch.png": None}, "test_batch missing in it"),
        ({"data_batch_3.png": files.png(files.PIXELS["data_batch_2"])}, "data_batch_3.png: expected pixels and labels"),
    ],
)
def test_a_faulty_npm_package_is_refused(changes, message):
    members = files.npm_members() | {f"package/{name}": data for name, data in changes.items()}
    with pytest.raises(DataError, match=message):
        read_archive(files.tgz({name: data for name, data in members.items() if data is not None}))


@pytest.mark.parametrize("header", [{"width": 1023}, {"height": 2**31 - 1}, {"depth": 16}, {"colour": 6}])
def test_a_picture_of_another_size_or_kind_is_refused_before_it_is_decoded(header):
    data = files.png(files.PIXELS["data_batch_1"], **header)
    with pytest.raises(DataError, match="expected a PNG of 1024 x 3 pixels, 8-bit RGB, got a PNG image: "):
        read_png(data, "the picture")


@pytest.mark.parametrize("flag", [0x08, 0x10])
def test_a_gzip_header_with_a_name_or_comment_of_megabytes_is_not_read_to_its_end(flag):
    whole = files.tgz({})
    data = whole[:3] + bytes([flag]) + whole[4:10] + b"n" * 10_000_000 + b"\0" + whole[10:]
    with pytest.raises(DataError, match=r"reading stopped at byte 655\d\d \(a name of over 65536 bytes in its header"):
        read_archive(data)
