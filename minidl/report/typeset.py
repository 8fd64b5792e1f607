"""Typesetting: how wide a text is in the font of the PDF, and where its lines break."""

from collections.abc import Iterator
from typing import NamedTuple

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_BOUND = "\N{NO-BREAK SPACE}"  # a blank at which no line ends


class Style(NamedTuple):
    size: float  # points
    bold: bool = False
    color: str = "#1c1e21"


class Typesetter:
    """Knows the one font, DejaVu Sans, that every matplotlib brings along: so a text looks the same everywhere."""

    def __init__(self) -> None:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        self.fonts = [FontProperties(family="DejaVu Sans", weight=weight, size=100) for weight in ("normal", "bold")]
        normal, bold = (set(get_font(findfont(font)).get_charmap()) for font in self.fonts)
        self._drawable = normal & bold
        self._widths: dict[tuple[str, bool], float] = {}

    def plain(self, text: str) -> str:
        """Return `text` with one blank for each run of white space, and a box for what the font cannot draw.

        The blank before a unit is one at which no line ends.
        """
        line = " ".join(str(text).split())
        return "".join(c if ord(c) in self._drawable else _UNKNOWN for c in line).replace(" %", f"{_BOUND}%")

    def width(self, text: str, style: Style) -> float:
        """Return the width of `text` in points."""
        words = text.replace(_BOUND, " ").split(" ")
        parts = sum(self._unit_width(word, style.bold) for word in words)
        return style.size * (parts + (len(words) - 1) * self._unit_width(" ", style.bold))

    def lines(self, text: str, width: float, style: Style) -> list[str]:
        """Break a plain `text` into lines of at most `width` points, within a word only where that is wider itself."""
        lines: list[str] = []
        line, used, blank = "", 0.0, self.width(" ", style)
        for word in text.split(" "):
            for piece in self._pieces(word, width, style):
                more = self.width(piece, style)
                if line and used + blank + more <= width:
                    line, used = f"{line} {piece}", used + blank + more
                else:
                    lines += [line] * bool(line)
                    line, used = piece, more
        return [text.replace(_BOUND, " ") for text in [*lines, line]]

    def _pieces(self, word: str, width: float, style: Style) -> Iterator[str]:
        """Yield the word, or what of it fits on a line at a time; one letter at least."""
        if self.width(word, style) <= width:
            yield word
            return
        piece, used = "", 0.0
        for letter in word:
            more = self.width(letter, style)
            if piece and used + more > width:
                yield piece
                piece, used = "", 0.0
            piece, used = piece + letter, used + more
        yield piece

    def _unit_width(self, word: str, bold: bool) -> float:
        """Return the width of `word` at a size of one point; each word is measured once."""
        from matplotlib.textpath import text_to_path

        if (word, bold) not in self._widths:
            width = text_to_path.get_text_width_height_descent(word, self.fonts[bold], False)[0] if word else 0.0
            self._widths[word, bold] = width / 100
        return self._widths[word, bold]
