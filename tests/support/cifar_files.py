"""Tiny CIFAR-10: six batches of three pictures, and writers of the file formats that the real ones come in.

The official batches were pickled by Python 2, which no writer of today can do; here they are written opcode by opcode.
"""

import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from minidl.data.datasets import cifar10_content
from minidl.data.datasets.download import TransientError

ROWS = 3
NAMES = cifar10_content.NAMES


def _tiny(number):
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (ROWS, 3072), np.uint8), [number, 9, (3 * number) % 10]


PIXELS = {name: _tiny(number)[0] for number, name in enumerate(NAMES)}
LABELS = {name: _tiny(number)[1] for number, name in enumerate(NAMES)}
CONTENTS = {name: PIXELS[name].tobytes() + bytes(LABELS[name]) for name in NAMES}
TITLES = {name: f"training batch {name[-1]} of 5".encode() for name in NAMES} | {"test_batch": b"testing batch 1 of 1"}


@contextmanager
def tiny_cifar10():
    """Make minidl take the tiny batches for CIFAR-10."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10_content, "ROWS", ROWS)
        patch.setattr(cifar10_content, "DIGESTS", {n: hashlib.sha256(c).hexdigest() for n, c in CONTENTS.items()})
        yield


# The official pickles.


def string(text):
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text


def integer(number):
    if 0 <= number < 256:
        return b"K" + bytes([number])
    return b"M" + struct.pack("<H", number) if 0 <= number < 65536 else b"J" + struct.pack("<i", number)


def array(data, shape=(ROWS, 3072), dtype=b"u1", fortran=b"\x89", memo=7):
    """Write a NumPy array as Python 2 did; `fortran` is the opcode for False or True."""
    put = [b"q" + bytes([memo + k]) if memo + k < 256 else b"r" + struct.pack("<I", memo + k) for k in range(5)]
    shape_code = b"".join(map(integer, shape)) + {2: b"\x86", 3: b"\x87"}.get(len(shape), b"t")
    return (
        (b"cnumpy.core.multiarray\n_reconstruct\n" + put[0])
        + (b"cnumpy\nndarray\n" + put[1] + b"K\0\x85U\x01b\x87R" + put[2])
        + (b"(K\x01" + (b"(" if shape_code[-1:] == b"t" else b"") + shape_code)
        + (b"cnumpy\ndtype\n" + put[3] + string(dtype) + b"K\0K\x01\x87R" + put[4])
        + (b"(K\x03U\x01|NNN" + integer(-1) + integer(-1) + b"K\0tb" + fortran + string(data) + b"tb")
    )  # fmt: skip


def label_list(labels):
    return b"](" + b"".join(map(integer, labels)) + b"e"


def dictionary(items):
    """Write a pickled dict whose values are given as opcodes."""
    return b"\x80\x02}q\x01(" + b"".join(string(key) + value for key, value in items.items()) + b"u."


def official_items(name, memo=7):
    """Return the four entries of the official batch `name`, the values as opcodes."""
    files = b"".join(string(f"picture_{row}.png".encode()) + b"q" + bytes([20 + row]) for row in range(ROWS))
    return {
        b"batch_label": string(TITLES[name]) + b"q\x03",
        b"labels": label_list(LABELS[name]),
        b"data": array(PIXELS[name].tobytes(), memo=memo),
        b"filenames": b"]q\x13(" + files + b"e",
    }


def official(name):
    return dictionary(official_items(name))


def official_folder(folder):
    """Write the six batches as the official archive unpacks them, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).write_bytes(official(name))
    return folder


# The cache.

CACHED = {f"{name}.u8": content for name, content in CONTENTS.items()}


def fill(cache, **changes):
    """Write the six batches as minidl caches them, some with another content, and return the folder."""
    cache.mkdir(parents=True)
    for name, content in (CONTENTS | changes).items():
        (cache / f"{name}.u8").write_bytes(content)
    return cache


def held(folder):
    """Return the files in `folder` with what they hold."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


# Archives.


def tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def tgz(members):
    return gzip.compress(tar(members), 1, mtime=0)


def official_tgz(order=NAMES[3:] + NAMES[:3]):
    return tgz({f"cifar-10-batches-py/{name}": official(name) for name in order})


@dataclass
class FakeSource:
    """Delivers an archive, or fails, and counts how often it was asked to; a slow one works when it is the last."""

    archive: bytes
    name: str = "fake"
    error: Exception | None = None
    asked: int = 0

    @contextmanager
    def open(self, last):
        self.asked += 1
        if self.error and not (last and isinstance(self.error, TransientError)):
            raise self.error
        yield io.BytesIO(self.archive)


# The npm package.


def chunk(kind, data):
    """Write a chunk of a PNG, with a true check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels, width=1024, height=ROWS, depth=8, colour=2):
    """Write channel-first rows (n, 3072) as an RGB picture with one of them a row; the header may claim otherwise."""
    lines = np.ascontiguousarray(pixels.reshape(len(pixels), 3, 1024).transpose(0, 2, 1)).reshape(len(pixels), 3072)
    data = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def npm_members():
    train = [label for name in NAMES[:5] for label in LABELS[name]]
    return {
        **{f"package/{name}.png": png(PIXELS[name]) for name in NAMES},
        "package/index.js": b"// nothing",
        "package/test_lables.json": json.dumps(LABELS["test_batch"]).encode(),
        "package/train_lables.json": json.dumps(train).encode(),
    }
