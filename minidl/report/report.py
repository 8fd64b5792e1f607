"""Report: a small document of headings, paragraphs, tables and figures, written as HTML and Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from minidl._core.attributes import Declared
from minidl._core.checks import as_path, check_type
from minidl._core.environment import environment
from minidl._core.errors import InputError
from minidl._core.tables import cell
from minidl._core.texts import check_text
from minidl._core.types import PathLike
from minidl._storage.files import write_whole
from minidl.report.blocks import Block, Figures, Heading, Paragraph, Table, read_figure
from minidl.report.html import to_html
from minidl.report.markdown import to_markdown


class Report(Declared):
    """A document that grows block by block, and that is a page by itself.

    Every text is taken literally: what looks like HTML or Markdown comes out as it went in. The same blocks give the
    same bytes, wherever and whenever they are written. The page prints well: a browser makes a PDF of it.

    Parameters
    ----------
    title : str
        Like headings, without control characters; in other texts a sign stands for them.

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

    def __init__(self, title: str) -> None:
        check_text("Report: title", title)
        self.title = title
        self._blocks: list[Block] = []

    def heading(self, text: str, level: int = 2) -> Self:
        """Begin a section (level 2) or a subsection (level 3)."""
        if level not in (2, 3):
            raise InputError(f"Report.heading: expected level 2 or 3, got {level!r}")
        check_text("Report.heading", text)
        return self._add(Heading(text, level))

    def paragraph(self, text: str) -> Self:
        """Add a paragraph."""
        return self._add(Paragraph(text))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Self:
        """Add a table; columns of numbers, or of texts that begin with a digit, are aligned to the right.

        Parameters
        ----------
        header : sequence of str
        rows : iterable of sequences
            As many cells each as the header has. Floats get four significant digits, NaN and infinity are put into
            words, and None is a dash.
        caption : str

        Raises
        ------
        InputError
            If a row has another number of cells.
        """
        cells = [[cell(value) for value in row] for row in rows]
        for number, row in enumerate(cells, 1):
            if len(row) != len(header):
                raise InputError(f"Report.table: expected {len(header)} cells in row {number}, got {len(row)}")
        return self._add(Table([str(name) for name in header], cells, caption))

    def settings(self, values: Mapping[str, Any], caption: str = "") -> Self:
        """Add a table of names and values, such as ``{"epochs": 40, "batch size": 100}``."""
        check_type("Report.settings", "values", values, Mapping, 'write a dict such as {"epochs": 40}')
        return self.table(["setting", "value"], values.items(), caption)

    def environment(self) -> Self:
        """Add a table of what the numbers were computed with: versions, processor, threads; see `environment`."""
        return self.table(["environment", "value"], environment().items())

    def figures(self, figures: Iterable[tuple[PathLike, str, str]]) -> Self:
        """Add figures side by side, as many as the page has room for.

        Parameters
        ----------
        figures : iterable of (path, alt, caption)
            A PNG or SVG file; what it shows, for those who cannot see it; and the text below it, or "".

        Raises
        ------
        InputError
            If a figure is not such a triple, its file neither PNG nor SVG by its name, or its alternative text empty.
        DataError
            If a file cannot be read.
        """
        return self._add(Figures([read_figure(figure) for figure in figures]))

    def to_html(self) -> str:
        """Return the page, figures embedded: it needs no other file and no network."""
        return to_html(self.title, self._blocks)

    def to_markdown(self, folder: PathLike = ".") -> str:
        """Return the document as Markdown for a file in `folder`; figures are links relative to it."""
        return to_markdown(self.title, self._blocks, Path(folder))

    def write(self, folder: PathLike) -> list[Path]:
        """Write ``report.html`` and ``report.md`` into `folder`, each whole or not at all, and return their paths."""
        folder = as_path("folder", folder)
        contents = {"report.html": self.to_html(), "report.md": self.to_markdown(folder)}
        return [write_whole(folder / name, content) for name, content in contents.items()]

    def _add(self, block: Block) -> Self:
        self._blocks.append(block)
        return self

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self._blocks)} block{'' if len(self._blocks) == 1 else 's'})"
