"""Pages: A4 sheets that fill from top to bottom, and become a PDF."""

import io
from typing import TYPE_CHECKING, Any

from minidl._core.types import Array
from minidl.report.typeset import Style, Typesetter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAPER = (210 / 25.4 * 72, 297 / 25.4 * 72)  # points, as all lengths here
_MARGIN = 54.0
_FOOT = Style(8, color="#5b6168")
WIDTH = _PAPER[0] - 2 * _MARGIN
HEIGHT = _PAPER[1] - 2 * _MARGIN
"""What a page has room for."""


class Pages:
    """Puts texts, rules and pictures below what is there already.

    Attributes
    ----------
    y : float
        How much of the current page is used; the next thing goes there.
    """

    def __init__(self, typesetter: Typesetter) -> None:
        self._typesetter = typesetter
        self._pages: list[Figure] = []
        self.turn()

    def turn(self) -> None:
        """Begin a new page."""
        from matplotlib.figure import Figure

        self.y = 0.0
        self._pages.append(Figure(figsize=(_PAPER[0] / 72, _PAPER[1] / 72)))

    def need(self, height: float) -> bool:
        """Begin a new page unless so much room is left on this one; return whether that was so."""
        if self.y == 0 or self.y + height <= HEIGHT:
            return False
        self.turn()
        return True

    def text(self, x: float, text: str, style: Style, *, right: bool = False) -> None:
        """Put one line of text with its baseline at the current height, from (with `right`: up to) `x`."""
        self._text(self._pages[-1], x, self.y, text, style, "right" if right else "left")

    def box(self, x: float, width: float, height: float, color: str) -> None:
        """Fill a box downwards from the current height; a flat one is a rule."""
        from matplotlib.patches import Rectangle

        page = self._pages[-1]
        left, bottom = self._place(x, self.y + height)
        size = (width / _PAPER[0], height / _PAPER[1])
        page.add_artist(Rectangle((left, bottom), *size, transform=page.transFigure, facecolor=color, linewidth=0))

    def picture(self, x: float, width: float, height: float, pixels: Array) -> None:
        """Put a picture downwards from the current height, pixel by pixel as it is."""
        left, bottom = self._place(x, self.y + height)
        axes = self._pages[-1].add_axes((left, bottom, width / _PAPER[0], height / _PAPER[1]))
        axes.set_axis_off()
        axes.imshow(pixels, aspect="auto", interpolation="none")

    def content(self, title: str) -> bytes:
        """Return the PDF, all pages numbered; it holds no date, so that the same pages are the same bytes."""
        from matplotlib.backends.backend_pdf import PdfPages

        buffer = io.BytesIO()
        facts: dict[str, Any] = {"Title": title, "Creator": "minidl", "Producer": None, "CreationDate": None}
        with PdfPages(buffer, metadata=facts) as content:
            for number, page in enumerate(self._pages, 1):
                foot = f"{number} / {len(self._pages)}"
                self._text(page, WIDTH, HEIGHT + 30, foot, _FOOT, "right")
                page.savefig(content, format="pdf", backend="pdf")
        return buffer.getvalue()

    def _text(self, page: "Figure", x: float, y: float, text: str, style: Style, side: str) -> None:
        font = self._typesetter.fonts[style.bold]
        place = self._place(x, y)
        look: dict[str, Any] = {"color": style.color, "ha": side, "va": "baseline", "parse_math": False}
        page.text(*place, text, fontproperties=font, fontsize=style.size, **look)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return (_MARGIN + x) / _PAPER[0], 1 - (_MARGIN + y) / _PAPER[1]
