"""Blocks: what a report is made of. Each kind of file, in a module of its own, says how it shows them."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minidl._core.checks import as_path
from minidl._core.errors import InputError
from minidl._core.texts import check_text
from minidl._core.types import PathLike
from minidl._storage.kinds import read_regular


class Link(NamedTuple):
    """A text that leads to a web page or to a file beside the report.

    Attributes
    ----------
    text : str
    url : str
        An address that begins with ``https://``, or the name of a file relative to the report, such as "results.csv".
    """

    text: str
    url: str


Text = str | Link


class Heading(NamedTuple):
    text: str
    level: int
    anchor: str = ""


class Paragraph(NamedTuple):
    parts: Sequence[Text]


class Points(NamedTuple):
    items: Sequence[Text]


class Code(NamedTuple):
    text: str


class Table(NamedTuple):
    """A table; a `number` of 0 is none, and without a header the first cell of each row names the others."""

    header: list[str]
    rows: Sequence[Sequence[Any]]
    caption: str
    number: int = 0


class Figure(NamedTuple):
    path: Path
    content: bytes
    alt: str
    caption: str
    number: int = 0


class Figures(NamedTuple):
    figures: Sequence[Figure]
    caption: str = ""
    number: int = 0
    columns: int = 2
    wide: bool = False


class Picture(NamedTuple):
    png: bytes
    alt: str
    caption: str


class Pictures(NamedTuple):
    rows: Sequence[tuple[str, Sequence[Picture]]]
    caption: str
    number: int
    fallback: Figure | None


Block = Heading | Paragraph | Points | Code | Table | Figures | Pictures


def check_part(where: str, part: Any) -> Text:
    """Return a part of a text; refuse a link that leads to another kind of place."""
    if not isinstance(part, Link):
        return str(part)
    check_text(f"{where}: url", part.url)
    relative = part.url and part.url[0] not in "/\\" and ":" not in part.url and ".." not in Path(part.url).parts
    if not (relative or part.url.startswith("https://")) or set(part.url) & set(" \t\r\n<>"):
        wanted = "an address that begins with https://, or the name of a file beside the report"
        raise InputError(f"{where}: expected as url {wanted}, got {part.url!r:.200}")
    return part


def read_figure(figure: tuple[PathLike, str, str], number: int = 0) -> Figure:
    """Return the figure in a PNG or SVG file.

    Parameters
    ----------
    figure : (path, alt, caption)
    number : int
        Of the figure, if it gets one and has a caption.
    """
    try:
        place, alt, caption = figure
        path = Path(place)
    except (TypeError, ValueError):
        wanted = "a list of (path of a file, alternative text, caption), such as save_figure writes"
        raise InputError(f"Report.figures: expected {wanted}, got {figure!r:.200}") from None
    path = as_path("Report.figures: path", path)
    kind = path.suffix.lower()
    if kind not in (".png", ".svg"):
        raise InputError(f"Report.figures: expected a .png or .svg file, got {path}")
    if not str(alt).strip():
        raise InputError(f"Report.figures: expected an alternative text for {path}, got {alt!r}")
    return Figure(path, read_regular(path), alt, caption, number if caption else 0)


def make_pictures(rows: Iterable[tuple[str, Iterable[tuple[Any, str, str]]]]) -> list[tuple[str, list[Picture]]]:
    """Return rows of small pictures, each encoded as PNG."""
    return [(str(label), [Picture(_png(pixels), alt, text) for pixels, alt, text in row]) for label, row in rows]


def _png(pixels: Any) -> bytes:
    """Return an image of bytes, (height, width) or (height, width, 3), as the content of a PNG file."""
    image = np.asarray(pixels)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        wanted = "an image as a uint8 array (height, width) or (height, width, 3)"
        raise InputError(f"Report.pictures: expected {wanted}, got {image.dtype} of shape {image.shape}")
    height, width = image.shape[:2]
    # Each line of the image begins with the number of its filter, 0 for none.
    lines = np.insert(image.reshape(height, -1), 0, 0, axis=1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if image.ndim == 3 else 0, 0, 0, 0)
    chunks = {b"IHDR": head, b"IDAT": zlib.compress(lines, 9), b"IEND": b""}
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
