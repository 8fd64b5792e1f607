"""Blocks: what a report is made of. Each kind of file, in a module of its own, says how it shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minidl.errors import DataError, InputError


class Heading(NamedTuple):
    text: str
    level: int


class Paragraph(NamedTuple):
    text: str


class Table(NamedTuple):
    header: list[str]
    rows: list[list[str]]
    caption: str


class Figure(NamedTuple):
    path: Path
    content: bytes
    raster: bytes | None  # as PNG, for a file that cannot hold an SVG
    alt: str
    caption: str


class Figures(NamedTuple):
    figures: Sequence[Figure]


Block = Heading | Paragraph | Table | Figures


def read_figure(path: Path, alt: str, caption: str) -> Figure:
    """Return the figure in a PNG or SVG file; of an SVG also the PNG of the same name beside it, if there is one."""
    kind = path.suffix.lower()
    if kind not in (".png", ".svg"):
        raise InputError(f"Report.figures: expected a .png or .svg file, got {path}")
    if not alt.strip():
        raise InputError(f"Report.figures: expected an alternative text for {path}, got {alt!r}")
    twin = path if kind == ".png" else path.with_suffix(".png")
    try:
        content = path.read_bytes()
        raster = content if twin == path else twin.read_bytes() if twin.exists() else None
    except OSError as error:
        raise DataError(f"Report.figures: cannot read {error.filename} ({error.strerror})") from None
    return Figure(path.absolute(), content, raster, alt, caption)
