"""Drawings as SVG text without matplotlib: texts that stay texts and never touch, round numbers on axes.

Colours are written as ``#rrggbb`` in styles alone, so that a page can put its own in their place.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple
from unicodedata import east_asian_width

from minidl._core.tables import escape

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
    ".cell": "stroke:none",
    ".area": "stroke:none;fill-opacity:.14",
    ".hover": "stroke:none;pointer-events:stroke",
}
_CSS = "".join(f".minidl-chart {kind}{{{style}}}" for kind, style in _STYLES.items())


class Stroke(NamedTuple):
    """Colour and dashes of a line."""

    colour: str
    dashes: str = "none"

    @property
    def style(self) -> str:
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
        self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "start", turned: bool = False
    ) -> None:
        """Write `text` with its middle at height `y`; what is turned reads upwards."""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        place = f'x="{x:.1f}" y="{y + 0.35 * SIZE:.1f}" text-anchor="{anchor}"{turn}'
        self._parts.append(f"<text {_class(kind)}{place}>{escape(' '.join(text.split()))}</text>")

    def path(self, d: str, kind: str = "", style: str = "", title: str = "") -> None:
        if not d:
            return
        told = f"<title>{escape(title)}</title>" if title else ""
        styled = f'style="{style}" ' if style else ""
        self._parts.append(f'<path {_class(kind)}{styled}d="{d}">{told}</path>')

    def write(self, text: str, kind: str = "quiet", x: float | None = None) -> None:
        """Add lines of text at the bottom, from the left or around `x`."""
        for line in wrapped(text, WIDTH - 8):
            half = text_width(line) / 2
            middle = 4 + half if x is None else min(max(x, 4 + half), WIDTH - 4 - half)
            self.text(
                4 if x is None else middle,
                self.bottom + LEADING / 2,
                line,
                kind,
                anchor="start" if x is None else "middle",
            )
            self.bottom += LEADING

    def key(self, items: Iterable[tuple[Sequence[tuple[str, str, str]], str]]) -> None:
        """Add samples at the bottom, each paths of (d from 0 to 22, kind, style), and its text."""
        x = 0.0
        for paths, text in items:
            text = cut(text, WIDTH - 40)
            if x == 0 or x + 40 + text_width(text) > WIDTH:
                x, self.bottom = 4.0, self.bottom + LEADING
            y = self.bottom - LEADING / 2
            self._parts.append(f'<g transform="translate({x:.1f} {y:.1f})">')
            for path in paths:
                self.path(*path)
            self._parts.append("</g>")
            self.text(x + 28, y, text)
            x += 40 + text_width(text)

    def __str__(self) -> str:
        size = f'viewBox="0 0 {WIDTH:g} {self.bottom + 4:.0f}" width="{WIDTH:g}" height="{self.bottom + 4:.0f}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{_CSS}</style>\n<g class="minidl-chart">'
        ground = f'<path class="ground" d="M0 0H{WIDTH:g}V{self.bottom + 4:.0f}H0z"></path>'
        return "\n".join([head, ground, *self._parts, "</g>\n</svg>\n"])


def _class(kind: str) -> str:
    return f'class="{kind}" ' if kind else ""


def text_width(text: str) -> float:
    """Return how wide `text` is at most, in the fonts that browsers take."""
    wide = {True: 1.0, False: 0.64}
    return SIZE * sum(0.8 if c.isupper() or c in "+=<>~#&\u2212\u00b1\u00d7" else wide[_is_wide(c)] for c in text)


def _is_wide(letter: str) -> bool:
    return letter in "MWmw@%…\u2014" or east_asian_width(letter) in "WF"


def wrapped(text: str, width: float) -> list[str]:
    """Return `text` in lines no wider than `width`."""
    letters = max(1, len(text))
    lines = textwrap.wrap(text, letters)
    while letters > 1 and any(text_width(line) > width for line in lines):
        letters = int(0.9 * letters)
        lines = textwrap.wrap(text, letters)
    return lines


def cut(text: str, width: float) -> str:
    """Return `text` on one line of at most this width, letters in its middle left out if need be."""
    text = " ".join(text.split())
    if text_width(text) <= width:
        return text
    for kept in range(min(len(text) - 1, int(width / (0.6 * SIZE))), 0, -1):
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if text_width(short) <= width:
            return short
    return "…"


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
            common = sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, zip(*words, strict=False)))
            words = [["…"] * bool(common) + name[common:] for name in words]
            words = [name[::-1] for name in words]
    short = [cut(" ".join(name), width) for name in words]
    if len(set(short)) == len(short):
        return short
    return [cut(f"{number}: {' '.join(name)}", width) for number, name in enumerate(words, 1)]


def number_text(value: float, decimals: int) -> str:
    """Return a number with so many decimals, or as a power of ten where that is shorter.

    Examples
    --------
    >>> number_text(1234.5, 1), number_text(-0.25, 2), number_text(3e300, 0)
    ('1,234.5', '\u22120.25', '3e300')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity" if value > 0 else "\u2212infinity"
    if decimals <= 6 and abs(value) < 1e7:
        text = f"{value:,.{decimals}f}"
        text = text.lstrip("-") if float(text.replace(",", "")) == 0 else text
    else:
        mantissa, _, exponent = f"{value:.3g}".partition("e") if abs(value) >= 1e7 else f"{value:.3e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return text.replace("-", "\u2212")


def value_texts(values: Sequence[float]) -> list[str]:
    """Return numbers with equally many decimals, four digits for the largest and at least two for each."""
    sizes = [abs(value) if math.isfinite(value) else 0.0 for value in values]
    places = max(0, 3 - magnitude(max([1e-290, *sizes])))
    shown = [places if size == 0 or size >= 10.0**-places else 1 - magnitude(size) for size in sizes]
    return [number_text(value, decimals) for value, decimals in zip(values, shown, strict=True)]


def magnitude(value: float) -> int:
    """Return the power of ten of the first digit."""
    return math.floor(math.log10(abs(value)))
