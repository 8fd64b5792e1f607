"""Blocks: what a report is made of. Each kind of file, in a module of its own, says how it shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minidl._core.checks import as_path
from minidl._core.errors import InputError
from minidl._core.types import PathLike
from minidl._storage.kinds import read_regular


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
    alt: str
    caption: str


class Figures(NamedTuple):
    figures: Sequence[Figure]


Block = Heading | Paragraph | Table | Figures


def read_figure(figure: tuple[PathLike, str, str]) -> Figure:
    """Return the figure in a PNG or SVG file.

    Parameters
    ----------
    figure : (path, alt, caption)
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
    return Figure(path, read_regular(path), alt, caption)
