"""Drawings as SVG text without matplotlib, whose texts stay texts and have room.

Colours are written as ``#rrggbb``, and only in styles, so that a page can replace them by its own.
"""

from collections.abc import Iterable, Sequence

from minidl._core.tables import escape
from minidl._core.texts import cut
from minidl.plotting.style import PALETTE
from minidl.plotting.texts import fold, width_of

# On a phone a drawing is 343 pixels wide, and its texts are still 12 pixels high.
WIDTH, SIZE, LEADING = 360.0, 13.0, 18.0

_DASHES = ("none", "7 3", "9 3 2 3", "2 3")

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
    ".pale": "stroke-opacity:.75",
    ".area": "stroke:none;fill-opacity:.14",
    ".hover path": "stroke:none;pointer-events:stroke",
}
_CSS = "".join(f".minidl-chart {kind}{{{style}}}" for kind, style in _STYLES.items())


def stroke(number: int) -> str:
    """Return the style of line `number`, from 0; the first 28 differ."""
    return f"stroke:{PALETTE[number % len(PALETTE)]};stroke-dasharray:{_DASHES[number % len(_DASHES)]}"


class Drawing:
    """Texts and paths on a ground of fixed width; `bottom` is where the next line of text goes."""

    def __init__(self, *lines: str, title: str = "") -> None:
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
        if text := escape(" ".join(text.split())):
            self._parts.append(f'<text class="{kind}" text-anchor="{anchor}" {place}>{text}</text>')

    def path(self, d: str, kind: str = "", style: str = "", title: str = "") -> None:
        """Add a path, whose `title` shows where the mouse rests on it."""
        if d:
            hover = f"<title>{escape(title)}</title>" if title else ""
            self._parts.append(f'<path class="{kind}" style="{style}" d="{d}">{hover}</path>')

    def hover(self, strips: Iterable[tuple[str, str]], width: float) -> None:
        """Add invisible paths of this width, each with the text that shows where the mouse rests on it."""
        paths = (f'<path d="{d}"><title>{escape(title)}</title></path>' for d, title in strips)
        self._parts += [f'<g class="hover" style="stroke-width:{width:.1f}">', *paths, "</g>"]

    def write(self, text: str, kind: str = "quiet", x: float = 0.0) -> None:
        """Add lines of text at the bottom, each with its middle as near to `x` as it has room."""
        for line in filter(None, fold(text, WIDTH - 8, SIZE).split("\n")):
            middle = max(4 + text_width(line) / 2, min(x, WIDTH - 4 - text_width(line) / 2))
            place, anchor = (middle, "middle") if x else (4.0, "start")
            self.text(place, self.bottom + LEADING / 2, line, kind, anchor)
            self.bottom += LEADING

    def key(self, items: Iterable[tuple[Sequence[tuple[str, ...]], str]]) -> None:
        """Add samples at the bottom, each with its paths (d from 0 to 22, kind, style) and their meaning."""
        x = WIDTH
        for paths, text in items:
            text = cut(text, WIDTH - 40, text_width)
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
        # Most attributes are empty, and need not be written.
        parts = "\n".join(self._parts).replace(' class=""', "").replace(' style=""', "")
        return f'{head}\n<path class="ground" d="M0 0H{WIDTH:g}V{height}H0z"></path>\n{parts}\n</g>\n</svg>\n'


def text_width(text: str) -> float:
    """Return how wide a text of a drawing is at most."""
    return width_of(text, SIZE)
