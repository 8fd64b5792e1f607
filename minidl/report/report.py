"""Report: a small document of headings, paragraphs, tables and figures, written as HTML and Markdown."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Self

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_path, check_type
from minidl._core.environment import environment
from minidl._core.errors import InputError
from minidl._core.texts import check_text
from minidl._core.types import PathLike
from minidl._storage.files import write_whole
from minidl.report import blocks
from minidl.report.html import to_html
from minidl.report.markdown import to_markdown


class Report(Declared):
    """A document that grows block by block, and that is a page by itself.

    Every text is taken literally: what looks like HTML or Markdown comes out as it went in. The same blocks give the
    same bytes, wherever and whenever they are written. The page prints well: a browser makes a PDF of it.

    Tables with a caption and figures have numbers. Where a paragraph says "Figure 3" or "Table 2", that is a link.

    Parameters
    ----------
    title : str
        Like headings, without control characters; in other texts a sign stands for them.
    author, date : str
        Stand below the title.
    contents : bool
        Whether the page begins with links to its sections.

    Examples
    --------
    >>> report = Report("Softmax on CIFAR-10")
    >>> report.heading("Accuracy").table(["lambda", "test accuracy"], [[0.1, "39.4 %"]])
    Report('Softmax on CIFAR-10', 2 blocks)
    >>> print(report.to_markdown())
    # Softmax on CIFAR-10
    <BLANKLINE>
    ## Accuracy
    <BLANKLINE>
    | lambda | test accuracy |
    | ---: | ---: |
    | 0.1 | 39.4 % |
    <BLANKLINE>
    """

    def __init__(self, title: str, *, author: str = "", date: str = "", contents: bool = False) -> None:
        check_text("Report: title", title)
        self.title, self.author, self.date, self.contents = title, author, date, contents
        self._blocks: list[blocks.Block] = []
        self._counts: Counter[str] = Counter()

    @property
    def figure_number(self) -> int:
        """The number of the next figure that gets one."""
        return self._counts["Figure"] + 1

    @property
    def table_number(self) -> int:
        """The number of the next table with a caption."""
        return self._counts["Table"] + 1

    def heading(self, text: str, level: int = 2) -> Self:
        """Begin a section (level 2) or a subsection (level 3)."""
        if level not in (2, 3):
            raise InputError(f"Report.heading: expected level 2 or 3, got {level!r}")
        check_text("Report.heading", text)
        # As GitHub does it for Markdown, so that the same links lead there in both files.
        name = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        taken = {"", *(block.anchor for block in self._blocks if isinstance(block, blocks.Heading))}
        anchor = next(x for x in chain([name], (f"{name}-{i}" for i in count(1))) if x not in taken)
        return self._add(blocks.Heading(text, level, anchor))

    def paragraph(self, *parts: str) -> Self:
        """Add a paragraph of texts and links.

        Parameters
        ----------
        *parts : str or Link
            Stand one after the other, with nothing between them.
        """
        return self._add(blocks.Paragraph(parts))

    def points(self, items: Iterable[str]) -> Self:
        """Add a list of short texts or links, one a line."""
        return self._add(blocks.Points(list(items)))

    def code(self, text: str) -> Self:
        """Add a command or a short output, in a font of fixed width, with its line breaks."""
        return self._add(blocks.Code(str(text)))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Self:
        """Add a table; columns of numbers, or of texts that begin with a digit, are aligned to the right.

        Parameters
        ----------
        header : sequence of str
        rows : iterable of sequences
            As many cells each as the header has; a cell may be a `Link`. The floats of a column get as many decimals
            as the one that needs most for four significant digits; from 10,000 on, thousands are separated. NaN and
            infinity are put into words, and None is a dash.
        caption : str
            With a caption the table has a number.

        Raises
        ------
        InputError
            If a row has another number of cells.
        """
        cells = [[_kept(value) for value in row] for row in rows]
        for number, row in enumerate(cells, 1):
            if len(row) != len(header):
                raise InputError(f"Report.table: expected {len(header)} cells in row {number}, got {len(row)}")
        return self._add(blocks.Table([str(name) for name in header], cells, caption, self._name("Table", caption)))

    def settings(self, values: Mapping[str, Any], caption: str = "") -> Self:
        """Add a table of names and values, such as ``{"epochs": 40, "batch size": 100}``."""
        check_type("Report.settings", "values", values, Mapping, 'write a dict such as {"epochs": 40}')
        rows = [[str(name), _kept(value)] for name, value in values.items()]
        return self._add(blocks.Table([], rows, caption, self._name("Table", caption)))

    def environment(self) -> Self:
        """Add a table of what the numbers were computed with: versions, processor, threads; see `environment`."""
        return self.settings(environment())

    def figures(self, figures: Iterable[tuple[PathLike, str, str]], caption: str = "", *, columns: int = 2) -> Self:
        """Add figures side by side; on a phone they stand below each other.

        A PNG file is shown as it is. An SVG file becomes a part of the page: its texts can be searched, and its black,
        white and grey and minidl's own colours follow the page into the dark. One with a script, a link to elsewhere
        or the like is shown as a picture.

        Parameters
        ----------
        figures : iterable of (path, alt, caption)
            A PNG or SVG file; what it shows, for those who cannot see it; and the text below it, or "".
        caption : str
            Of all of them: they are one figure, with one number. Without it, each one with a caption has a number.
        columns : {1, 2, 3, 4}
            How many stand side by side where there is room.

        Raises
        ------
        InputError
            If a figure is not such a triple, its file neither PNG nor SVG by its name, or its alternative text empty.
        DataError
            If a file cannot be read.
        """
        if columns not in (1, 2, 3, 4):
            raise InputError(f"Report.figures: expected columns from 1 to 4, got {columns!r}")
        read = [blocks.read_figure(figure) for figure in figures]
        if not caption:
            read = [figure._replace(name=self._name("Figure", figure.caption)) for figure in read]
        return self._add(blocks.Figures(read, caption, self._name("Figure", caption), columns))

    def pictures(
        self,
        rows: Iterable[tuple[str, Iterable[tuple[Any, str, str]]]],
        caption: str,
        fallback: PathLike | None = None,
    ) -> Self:
        """Add rows of small pictures, with a text below each, as one figure.

        Parameters
        ----------
        rows : iterable of (label, pictures)
            The text before a row, or "", and its pictures: (pixels, alt, caption) each. Pixels are a uint8 array
            (height, width) or (height, width, 3).
        caption : str
            Of the figure.
        fallback : str or PathLike, optional
            The PNG or SVG file that Markdown shows in their place.

        Raises
        ------
        InputError
            If the pixels are something else.
        """
        made = [(str(label), [blocks.make_picture(*picture) for picture in pictures]) for label, pictures in rows]
        shown = None if fallback is None else blocks.read_figure((fallback, caption, ""))
        return self._add(blocks.Pictures(made, caption, self._name("Figure", caption), shown))

    def to_html(self) -> str:
        """Return the page, figures embedded: it needs no other file and no network."""
        return to_html(self.title, self._document(), author=self.author)

    def to_markdown(self, folder: PathLike = ".") -> str:
        """Return the document as Markdown for a file in `folder`; figures are links relative to it."""
        return to_markdown(self.title, self._document(), Path(folder))

    def write(self, folder: PathLike) -> list[Path]:
        """Write ``report.html`` and ``report.md`` into `folder`, each whole or not at all, and return their paths."""
        folder = as_path("folder", folder)
        contents = {"report.html": self.to_html(), "report.md": self.to_markdown(folder)}
        return [write_whole(folder / name, content) for name, content in contents.items()]

    def _document(self) -> list[blocks.Block]:
        """Return the blocks, after those that the constructor was asked for."""
        byline = " · ".join(filter(None, [self.author, self.date]))
        sections = [block for block in self._blocks if isinstance(block, blocks.Heading) and block.level == 2]
        contents = blocks.Points([blocks.Link(section.text, f"#{section.anchor}") for section in sections], "contents")
        return [*[blocks.Paragraph([byline], "byline")] * bool(byline), *[contents] * self.contents, *self._blocks]

    def _name(self, kind: str, caption: str) -> str:
        """Return what a figure or table with a caption is called."""
        self._counts[kind] += bool(caption)
        return f"{kind} {self._counts[kind]}" if caption else ""

    def _add(self, block: blocks.Block) -> Self:
        self._blocks.append(block)
        return self

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self._blocks)} block{'' if len(self._blocks) == 1 else 's'})"


def _kept(value: Any) -> Any:
    """Return a value of a table; what can change until the table is written becomes a text now."""
    return value if isinstance(value, str | int | float | np.number | None) else str(value)
