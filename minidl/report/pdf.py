"""A report as a PDF, drawn by matplotlib: its blocks flow down the pages."""

import io
from collections.abc import Iterable, Sequence

import numpy as np

from minidl._core.errors import DataError
from minidl._core.types import Array
from minidl.report.blocks import Block, Figure, Figures, Heading, Paragraph, Table
from minidl.report.pages import HEIGHT, WIDTH, Pages
from minidl.report.table_layout import ABOVE, LEADING, PADDING, Row, TableLayout, table_layout
from minidl.report.typeset import Style, Typesetter

_TITLE, _BODY, _CAPTION = Style(16, bold=True), Style(10), Style(8.5, color="#5b6168")
_HEADINGS = {2: Style(13, bold=True), 3: Style(10.5, bold=True)}
_RULE, _SHADE = "#d9dce0", "#f4f5f7"
_GAP = 14.0  # between figures, in points

_Laid = Heading | Paragraph | TableLayout | Figures


def to_pdf(title: str, blocks: Iterable[Block]) -> bytes:
    """Return the file; see `Report.to_pdf`."""
    import matplotlib

    with matplotlib.rc_context():  # the settings of the user are for other figures
        matplotlib.rcdefaults()
        matplotlib.rcParams["pdf.fonttype"] = 42  # letters stay letters, Greek ones too
        document = _Document()
        document.lines(title, _TITLE, after=6)
        laid = [table_layout(b, document.typesetter) if isinstance(b, Table) else b for b in blocks]
        for place in range(len(laid)):
            document.add(laid[place:])
        return document.pages.content(document.typesetter.plain(title))


class _Document:
    def __init__(self) -> None:
        self.typesetter = Typesetter()
        self.pages = Pages(self.typesetter)

    def add(self, blocks: Sequence[_Laid]) -> None:
        """Put the first block; the others are what it may have to stay together with."""
        match blocks[0]:
            case Heading(text, level):
                self.space(1.2 * _HEADINGS[level].size)
                self.pages.need(self.beginning(blocks))
                self.lines(text, _HEADINGS[level], after=2)
            case Paragraph(text):
                self.pages.need(self.beginning(blocks))
                self.lines(text, _BODY, after=8)
            case TableLayout() as table:
                self.table(table)
            case Figures(figures):
                self.figures(figures)

    def beginning(self, blocks: Sequence[_Laid]) -> float:
        """Return how much of these blocks has to be on one page.

        A heading stays with what follows, a short paragraph with figures below it, and a short table in one piece.
        """
        match blocks[0] if blocks else None:
            case Heading(text, level):
                return min(HEIGHT, self.height(text, _HEADINGS[level], WIDTH) + 2 + self.beginning(blocks[1:]))
            case Paragraph(text):
                height = self.height(text, _BODY, WIDTH) + 8
                illustrated = isinstance(blocks[1] if blocks[1:] else None, Figures)
                return 60 if height > HEIGHT / 4 else height + (self.beginning(blocks[1:]) if illustrated else 0)
            case TableLayout() as table:
                whole = sum(map(table.height, [table.head, *table.body]))
                first = sum(min(table.height(row), HEIGHT / 3) for row in [table.head, *table.body[:1]])
                caption = self.height(table.caption, _CAPTION, WIDTH) + 2 if table.caption else 0
                return min(HEIGHT, 4 + caption + (whole if whole < HEIGHT / 3 else first))
            case Figures():
                return 180
        return 0

    def space(self, height: float) -> None:
        """Leave so much room, except at the top of a page."""
        self.pages.y += height if self.pages.y else 0

    def lines(self, text: str, style: Style, after: float, x: float = 0, width: float = WIDTH) -> None:
        """Put a text of as many lines as it takes."""
        for line in self.typesetter.lines(self.typesetter.plain(text), width, style):
            self.pages.need(LEADING * style.size)
            self.pages.y += style.size
            self.pages.text(x, line, style)
            self.pages.y += (LEADING - 1) * style.size
        self.pages.y += after

    def height(self, text: str, style: Style, width: float) -> float:
        """Return the height that `lines` takes for a text that is not empty."""
        lines = self.typesetter.lines(self.typesetter.plain(text), width, style) if text else []
        return LEADING * style.size * len(lines)

    def table(self, table: TableLayout) -> None:
        """Put a table; where a page ends within it, the next one begins with the header."""
        self.space(4)
        self.pages.need(self.beginning([table]))
        if table.caption:
            self.lines(table.caption, _CAPTION, after=2)
        style = Style(table.size)
        self.row(table.head, table, style._replace(bold=True))
        for row in table.body:
            if self.pages.need(min(table.height(row), HEIGHT / 3)):
                self.row(table.head, table, style._replace(bold=True))
            self.row(row, table, style)
        self.pages.y += 12

    def row(self, row: Row, table: TableLayout, style: Style) -> None:
        """Put a row; one that is higher than what is left of the page is broken between its lines."""
        pages, step, above = self.pages, LEADING * style.size, ABOVE * style.size
        count = max(map(len, row), default=1)
        while True:
            room = max(1, int((HEIGHT - pages.y - 2 * above) / step))
            top, height = pages.y, step * min(count, room) + 2 * above
            if style.bold:
                pages.box(0, sum(table.widths), height, _SHADE)
            x = 0.0
            for lines, width, number in zip(row, table.widths, table.right, strict=True):
                pages.y = top + above
                for line in lines[:room]:
                    pages.y += style.size
                    edge = width - PADDING * style.size if number else PADDING * style.size
                    pages.text(x + edge, line, style, right=number)
                    pages.y += step - style.size
                x += width
            pages.y = top + height
            pages.box(0, sum(table.widths), 0.5, _RULE)
            count -= room
            if count <= 0:
                return
            row = [lines[room:] for lines in row]
            pages.turn()

    def figures(self, figures: Sequence[Figure]) -> None:
        """Put two figures a row, each as wide as half of the page."""
        width = (WIDTH - _GAP) / 2
        self.space(4)
        for start in range(0, len(figures), 2):
            pair = figures[start : start + 2]
            pictures = [None if figure.raster is None else _pixels(figure) for figure in pair]
            notes = [_text_below(figure) for figure in pair]
            sizes = [(0.0, 0.0) if pixels is None else _fitted(pixels, width) for pixels in pictures]
            texts = [self.height(note, _CAPTION, width) for note in notes]
            beside = max(texts) < HEIGHT / 8  # longer ones go below both, and over pages if need be
            self.pages.need(max(size[1] for size in sizes) + 4 + (max(texts) if beside else 0))
            top, bottom = self.pages.y, 0.0
            for place, (pixels, size, note) in enumerate(zip(pictures, sizes, notes, strict=True)):
                self.pages.y, x = top, place * (width + _GAP)
                if pixels is not None:
                    self.pages.picture(x, *size, pixels)
                self.pages.y += size[1] + 4
                if note and beside:
                    self.lines(note, _CAPTION, after=0, x=x, width=width)
                bottom = max(bottom, self.pages.y)
            self.pages.y = bottom + 8
            for note in [] if beside else filter(None, notes):
                self.lines(note, _CAPTION, after=8)


def _text_below(figure: Figure) -> str:
    if figure.raster is not None:
        return figure.caption
    return (
        f"[{figure.alt}: {figure.path.name} cannot be shown in a PDF, and there is no PNG beside it.] {figure.caption}"
    )


def _pixels(figure: Figure) -> Array:
    """Return a figure as pixels without transparency, for which a PDF would need a second picture."""
    from matplotlib.image import imread

    try:
        pixels = imread(io.BytesIO(figure.raster or b""), format="png")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"Report: {figure.path}: cannot be read as PNG ({error})") from error
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 4:
        opacity = pixels[:, :, 3:]
        pixels = pixels[:, :, :3] * opacity + (1 - opacity)
    return np.round(255 * pixels).astype(np.uint8)


def _fitted(pixels: Array, width: float) -> tuple[float, float]:
    """Return width and height in points, at most `width` and three quarters of a page."""
    height = width * pixels.shape[0] / pixels.shape[1]
    scale = min(1.0, 0.75 * HEIGHT / height)
    return scale * width, scale * height
