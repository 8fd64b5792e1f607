"""Tables in the PDF: as wide columns as there is room for, and lines that break where there is not."""

from collections.abc import Sequence
from typing import NamedTuple

from minidl._core.tables import number_columns
from minidl.report.blocks import Table
from minidl.report.pages import WIDTH
from minidl.report.typeset import Style, Typesetter

LEADING = 1.4  # from one baseline to the next, in sizes of the font
PADDING, ABOVE = 0.5, 0.35  # beside a cell's text, and above and below it, in sizes of its font

_LARGE, _SMALL = 9.0, 7.0  # the font is so large, and smaller rather than that a line breaks
_LONG = 10.0  # a word is not broken unless it is longer, in sizes of the font

Row = list[list[str]]
"""The lines of each cell."""


class TableLayout(NamedTuple):
    caption: str
    size: float  # of the font, in points
    widths: list[float]  # of the columns, in points
    right: list[bool]  # whether a column is aligned to the right
    head: Row
    body: list[Row]

    def height(self, row: Row) -> float:
        """Return the height of a row in points."""
        return self.size * (LEADING * max(map(len, row), default=1) + 2 * ABOVE)


def table_layout(table: Table, typesetter: Typesetter) -> TableLayout:
    """Return where everything in a table goes; nothing is left out, so a table of many columns gets a tiny font."""
    rows = [[typesetter.plain(cell) for cell in row] for row in [table.header, *table.rows]]
    size, widths = _columns(rows, typesetter)
    inner = [width - 2 * PADDING * size + 0.01 for width in widths]  # which rounding must not make too small
    head, *body = [
        [typesetter.lines(cell, width, Style(size, bold=i == 0)) for cell, width in zip(row, inner, strict=True)]
        for i, row in enumerate(rows)
    ]
    return TableLayout(table.caption, size, widths, number_columns(table.rows, len(table.header)), head, body)


def _columns(rows: Sequence[Sequence[str]], typesetter: Typesetter) -> tuple[float, list[float]]:
    """Return the size of the font and the widths of the columns."""
    unit = Style(1, bold=True)  # the wider of the two
    columns = list(zip(*rows, strict=True))
    whole = [max(typesetter.width(cell, unit) for cell in column) + 2 * PADDING for column in columns]
    if sum(whole) * _SMALL <= WIDTH:
        size = min(_LARGE, WIDTH / max(1.0, sum(whole)))
        return size, [size * width for width in whole]
    words = [[word for cell in column for word in cell.split(" ")] for column in columns]
    longest = (max(typesetter.width(word, unit) for word in column) for column in words)
    least = [min(width, _LONG) + 2 * PADDING for width in longest]
    size = min(_SMALL, WIDTH / sum(least))
    low, high = 0.0, WIDTH / size  # every column gets what it wants up to a common limit, which is found by halving
    for _ in range(40):
        limit = (low + high) / 2
        widths = [max(a, min(b, limit)) for a, b in zip(least, whole, strict=True)]
        low, high = (limit, high) if sum(widths) * size <= WIDTH else (low, limit)
    return size, [size * max(a, min(b, low)) for a, b in zip(least, whole, strict=True)]
