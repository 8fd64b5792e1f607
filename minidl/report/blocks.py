"""Blocks: what a report is made of. Each kind of file, in a module of its own, says how it shows them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from minidl._core.checks import as_path
from minidl._core.errors import InputError
from minidl._core.texts import check_text
from minidl._core.types import PathLike
from minidl._storage.kinds import read_regular


class Link(str):
    """A text that leads to a web page, or to a file beside the report.

    Parameters
    ----------
    text : str
    url : str
        An address that begins with ``https://``, or the name of a file relative to the report, such as "results.csv".

    Raises
    ------
    InputError
        If the url leads elsewhere.
    """

    url: str

    def __new__(cls, text: str, url: str) -> Self:
        check_text("Link: url", url)
        elsewhere = not url or ":" in url or url[0] in "/\\" or ".." in Path(url).parts
        if (elsewhere and not url.startswith("https://")) or set(url) & set(" \t\r\n<>"):
            wanted = "an address that begins with https://, or the name of a file beside the report"
            raise InputError(f"Link: expected as url {wanted}, got {url!r:.200}")
        link = super().__new__(cls, text)
        link.url = url
        return link

    def __repr__(self) -> str:
        return f"Link({str(self)!r}, {self.url!r})"

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.url


class Heading(NamedTuple):
    text: str
    level: int
    anchor: str = ""


class Paragraph(NamedTuple):
    parts: Sequence[str]
    kind: str = ""


class Points(NamedTuple):
    items: Sequence[str]
    kind: str = ""


class Code(NamedTuple):
    text: str


class Table(NamedTuple):
    """A table; without a header the first cell of each row says what the others are."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str
    name: str = ""


class Figure(NamedTuple):
    """A figure; its name is "Figure 3", or nothing where no text can refer to it."""

    path: Path
    content: bytes
    alt: str
    caption: str
    name: str = ""


class Figures(NamedTuple):
    figures: Sequence[Figure]
    caption: str = ""
    name: str = ""
    columns: int = 2


class Pictures(NamedTuple):
    rows: Sequence[tuple[str, Sequence[Figure]]]
    caption: str
    name: str
    fallback: Figure | None


Block = Heading | Paragraph | Points | Code | Table | Figures | Pictures


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


def make_picture(pixels: Any, alt: str, caption: str) -> Figure:
    """Return an image, (height, width) or (height, width, 3) of bytes, as a figure of its size."""
    from matplotlib.image import imsave

    image, content = np.asarray(pixels), io.BytesIO()
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or not image.size:
        wanted = "an image as a uint8 array (height, width) or (height, width, 3)"
        raise InputError(f"Report.pictures: expected {wanted}, got {image.dtype} of shape {image.shape}")
    colours = image if image.ndim == 3 else image[..., None].repeat(3, axis=2)
    imsave(content, colours, format="png", metadata={"Software": None})  # type: ignore[dict-item]
    return Figure(Path("picture.png"), content.getvalue(), alt, caption)
