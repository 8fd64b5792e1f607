"""Drawings as SVG text without matplotlib: texts that stay texts and have room, numbers as a reader writes them.

Colours are written as ``#rrggbb`` in styles alone, so that a page can put its own in their place.
"""

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple
from unicodedata import east_asian_width

from minidl._core.tables import cell, escape

# On a phone a drawing is 343 pixels wide, and its texts are still 12 pixels high.
WIDTH, SIZE, LEADING = 360.0, 13.0, 18.0
LARGEST = 1e300

_STYLES = {
    "text": f"font:{SIZE:g}px system-ui,sans-serif;fill:#000000;pointer-events:none",
    ".quiet": "fill:#595959",
    ".title": "font-weight:600",
    "path": "fill:none;stroke:#000000;stroke-width:1.8;stroke-linejoin:round",
    ".ground": "fill:#ffffff;stroke:none",
    ".grid": "stroke:#d9d9d9;stroke-width:1",
    ".axis": "stroke:#595959;stroke-width:1",
    ".chance": "stroke:#595959;stroke-dasharray:2 4",
    ".lead": "stroke-width:1",
    ".point": "stroke-width:6;stroke-linecap:round",
    ".pale": "stroke-opacity:.5",
    ".area": "stroke:none;fill-opacity:.14",
    ".hover path": "stroke:none;pointer-events:stroke",
}
_CSS = "".join(f".minidl-chart {kind}{{{style}}}" for kind, style in _STYLES.items())


class Stroke(NamedTuple):
    """Colour and dashes of a line."""

    colour: str
    dashes: str = "none"

    @property
    def style(self) -> str:
        """The style of its path."""
        return f"stroke:{self.colour};stroke-dasharray:{self.dashes}"


class Drawing:
    """Texts and paths on a ground of fixed width; `bottom` is where the next line of text goes."""

    def __init__(self, title: str, *lines: str) -> None:
        self._parts: list[str] = []
        self.bottom = 4.0
        self.write(title, "title")
        for line in lines:
            self.write(line)

    def text(
        self, x: float, y: float, text: str, kind: str = "", anchor: str = "start", *, turned: bool = False
    ) -> None:
        """Write `text` with its middle at height `y`; or turned upwards, with its middle at `x`."""
        place = f'x="{x:.1f}" y="{y + 0.35 * SIZE:.1f}"'
        if turned:
            place = f'transform="translate({x + 0.35 * SIZE:.1f} {y:.1f})rotate(-90)"'
        text = escape(" ".join(text.split()))
        self._parts.append(f'<text class="{kind}" text-anchor="{anchor}" {place}>{text}</text>')

    def path(self, d: str, kind: str = "", style: str = "", title: str = "") -> None:
        """Add a path, whose `title` shows where the mouse rests on it."""
        if d:
            hover = f"<title>{escape(title)}</title>" if title else ""
            self._parts.append(f'<path class="{kind}" style="{style}" d="{d}">{hover}</path>')

    def hover(self, strips: Iterable[tuple[str, str]], width: float) -> None:
        """Add unseen paths of this width, each with what shows where the mouse rests on it."""
        paths = (f'<path d="{d}"><title>{escape(title)}</title></path>' for d, title in strips)
        self._parts += [f'<g class="hover" style="stroke-width:{width:.1f}">', *paths, "</g>"]

    def write(self, text: str, kind: str = "quiet", x: float = 0.0) -> None:
        """Add lines of text at the bottom, each with its middle as near to `x` as it has room."""
        for line in wrapped(text, WIDTH - 8):
            middle = max(4 + text_width(line) / 2, min(x, WIDTH - 4 - text_width(line) / 2))
            place, anchor = (middle, "middle") if x else (4.0, "start")
            self.text(place, self.bottom + LEADING / 2, line, kind, anchor)
            self.bottom += LEADING

    def key(self, items: Iterable[tuple[Sequence[tuple[str, ...]], str]]) -> None:
        """Add samples at the bottom, each some paths (d from 0 to 22, kind, style) and what they mean."""
        x = WIDTH
        for paths, text in items:
            text = cut(text, WIDTH - 40)
            if x + 28 + text_width(text) > WIDTH - 4:
                x, self.bottom = 4.0, self.bottom + LEADING
            self._parts.append(f'<g transform="translate({x:.1f} {self.bottom - LEADING / 2:.1f})">')
            for path in paths:
                self.path(*path)
            self._parts.append("</g>")
            self.text(x + 28, self.bottom - LEADING / 2, text)
            x += 36 + text_width(text)

    def __str__(self) -> str:
        height = f"{self.bottom + 4:.0f}"
        size = f'viewBox="0 0 {WIDTH:g} {height}" width="{WIDTH:g}" height="{height}" role="img"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{_CSS}</style>\n<g class="minidl-chart">'
        # What is empty need not be written, and is at most everywhere.
        parts = "\n".join(self._parts).replace(' class=""', "").replace(' style=""', "")
        return f'{head}\n<path class="ground" d="M0 0H{WIDTH:g}V{height}H0z"></path>\n{parts}\n</g>\n</svg>\n'


def text_width(text: str) -> float:
    """Return how wide `text` is at most, in the fonts that browsers take."""
    full, middle = set("MWmw@%…—"), set("+=<>~#&±\u2212\u00d7")
    widths = (
        1.0 if c in full or east_asian_width(c) in "WF" else 0.8 if c in middle or c.isupper() else 0.64 for c in text
    )
    return SIZE * sum(widths)


def wrapped(text: str, width: float) -> list[str]:
    """Return `text` in lines no wider than `width`."""
    letters = max(1, len(text))
    while any(text_width(line) > width for line in textwrap.wrap(text, letters)) and letters > 1:
        letters = int(0.9 * letters)
    return textwrap.wrap(text, letters)


def cut(text: str, width: float) -> str:
    """Return `text` on one line of at most this width, letters in its middle left out if need be."""
    text = " ".join(text.split())
    short, kept = text, min(len(text), int(width / (0.6 * SIZE)) + 1)
    while text_width(short) > width and kept:
        kept -= 1
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return short


def short_names(names: Sequence[str], width: float) -> list[str]:
    """Return different `names`, each cut to this width: first the words that all have in common, then the middle.

    Examples
    --------
    >>> short_names(["lambda 0.1, eta 0.001, seed 0", "lambda 0.1, eta 0.001, seed 1"], 60)
    ['… 0', '… 1']
    """
    words = [name.split() for name in names]
    if len(names) > 1 and any(text_width(name) > width for name in names):
        for _ in range(2):
            common = len(list(takewhile(lambda parts: len(set(parts)) == 1, zip(*words, strict=False))))
            words = [(["…"] * bool(common) + name[common:])[::-1] for name in words]
    short = [cut(" ".join(name), width) for name in words]
    same = len(set(short)) < len(short)
    return [cut(f"{number}: {name}", width) if same else name for number, name in enumerate(short, 1)]


def number_text(value: float, decimals: int) -> str:
    """Return a number with so many decimals, or with a power of ten where that is shorter.

    Examples
    --------
    >>> number_text(1234.5, 1), number_text(0.25, 3), number_text(3e300, 0)
    ('1,234.5', '0.250', '3e300')
    """
    value = float(value)
    text = cell(value)
    if math.isfinite(value):
        # Adding 0 takes the sign from a zero.
        text = f"{round(value, decimals) + 0.0:,.{decimals}f}"
        if abs(value) >= 1e7 or decimals > 5:
            text = re.sub(r"\.?0*e\+?(-?)0*", r"e\1", f"{value:.3e}").removesuffix("e")
    return text.replace("-", "\N{MINUS SIGN}")


def value_texts(values: Sequence[float]) -> list[str]:
    """Return numbers with equally many decimals, four digits for the largest and at least two for each."""
    sizes = [abs(value) if math.isfinite(value) else 0.0 for value in values]
    places = max(0, 3 - magnitude(max(sizes, default=0.0)))
    own = [places if size == 0 or size >= 10.0**-places else 1 - magnitude(size) for size in sizes]
    return [number_text(value, decimals) for value, decimals in zip(values, own, strict=True)]


def magnitude(value: float) -> int:
    """Return the power of ten of the first digit; 0 for what has none."""
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
