"""The content of CIFAR-10: six batches of 10,000 images, and the layout and digest of a batch in minidl.

The content of a batch is one array of bytes: the pixels of all its rows (3,072 each: a 32x32 plane of red, one of
green, one of blue), then one label per row. A batch from any file is converted to this layout, verified, and cached.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array

ROWS = 10_000
PIXELS = 3 * 32 * 32

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

DIGESTS = {
    "data_batch_1": "ba52cb2d72c412975d7556bb26bd094956f1c002d1937053f6f1252f2ac17114",
    "data_batch_2": "350ff9000489d02f2568c0dcf4912ffdbae9e50932147905fb1b8159ad54f0ac",
    "data_batch_3": "a2b8653fc457df407af6c38b7e0d1a12530f3b5f81fce9f81516efd065daf722",
    "data_batch_4": "133e6292c377755074c305db8a684d48d5397372cb0aba34f52b4335eab35d97",
    "data_batch_5": "eb08cdc11fd1267ef871cf4790f193684b3f556d13317be68f4eb374a078ea87",
    "test_batch": "9a4c74f5c8b6f2c4e13d3a1dfb43a5a8cda8a9da515e99fd620d2013a1a6287a",
}
"""SHA-256 of the content of each batch."""

NAMES = tuple(DIGESTS)


def batch_content(pixels: Array, labels: Sequence[object], name: str, where: str) -> Array:
    """Return the content of batch `name`, made of `pixels` (rows, 3072) and its labels, after verifying it.

    Raises
    ------
    DataError
        If there is not one label in 0..9 per row, or the digest is not that of the batch.
    """
    if len(labels) != len(pixels):
        raise DataError(f"{where}: expected {len(pixels)} labels, one per row, got {len(labels)}")
    for row, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < len(CLASS_NAMES):
            got = str(label)[:20] if isinstance(label, int) else type(label).__name__
            raise DataError(f"{where}: label of row {row}: expected an integer in 0..9, got {got}")
    content = np.concatenate([pixels.reshape(-1), np.array(labels, np.uint8)])
    check_content(content, name, where)
    return content


def check_content(content: Array, name: str, where: str) -> None:
    """Refuse a content whose SHA-256 is not that of batch `name`."""
    digest = hashlib.sha256(content.data).hexdigest()
    if digest == DIGESTS[name]:
        return
    twin = next((other for other, known in DIGESTS.items() if known == digest), None)
    if twin is not None:
        raise DataError(f"{where}: expected {name}, got the content of {twin}; download the file again")
    hint = "it is damaged or altered: delete it and download it again"
    raise DataError(f"{where}: expected pixels and labels with SHA-256 {DIGESTS[name]}, got {digest}; {hint}")
