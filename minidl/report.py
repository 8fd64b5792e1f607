"""Report: a small document of headings, paragraphs, tables and figures, written as HTML and as Markdown."""

import base64
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from minidl.errors import DataError, InputError
from minidl.files import write_whole
from minidl.tables import cell, escape, html_table, number_columns
from minidl.types import PathLike

_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}

# The policy forbids the browser whatever would make the page depend on another file, or run anything.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --text: #1c1e21; --quiet: #5b6168; --page: #fff; --line: #d9dce0; --head: #f4f5f7; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e6e9; --quiet: #a3a9b1; --page: #17191c; --line: #3a3f45; --head: #22262a; }
}
body { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 1rem 0; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 0.75rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2rem 0 0.5rem; }
p { max-width: 44rem; margin: 0.75rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.95rem; }
.caption, figcaption { color: var(--quiet); font-size: 0.9rem; text-align: left; }
.caption { margin: 1rem 0 -0.6rem; }
th, td { padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--head); font-weight: 600; line-height: 1.3; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem;
  margin: 1rem 0; align-items: start; }
figure { margin: 0; min-width: 0; }
img { display: block; box-sizing: border-box; width: 100%; max-width: 40rem; padding: 0.5rem; background: #fff;
  border: 1px solid var(--line); border-radius: 0.4rem; }
figcaption { margin-top: 0.4rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .figures { grid-template-columns: repeat(2, 1fr); }
  .scroll { overflow: visible; }
  h2, h3 { break-after: avoid; }
  p, figure, tr { break-inside: avoid; }
}
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")


class Report:
    """A document that grows block by block, and that is a page by itself.

    Every text is taken literally: what looks like HTML or Markdown comes out as it went in. The same blocks give the
    same bytes, wherever and whenever they are written.

    Parameters
    ----------
    title : str

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
        self.title = title
        self._blocks: list[_Heading | _Paragraph | _Table | _Figures] = []

    def heading(self, text: str, level: int = 2) -> Self:
        """Begin a section (level 2) or a subsection (level 3)."""
        if level not in (2, 3):
            raise InputError(f"Report.heading: expected level 2 or 3, got {level!r}")
        return self._add(_Heading(text, level))

    def paragraph(self, text: str) -> Self:
        """Add a paragraph."""
        return self._add(_Paragraph(text))

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
        return self._add(_Table([str(name) for name in header], cells, caption))

    def figures(self, figures: Iterable[tuple[PathLike, str, str]]) -> Self:
        """Add figures side by side, as many as the page has room for.

        Parameters
        ----------
        figures : iterable of (path, alt, caption)
            A PNG or SVG file; what it shows, for those who cannot see it; and the text below it, or "".

        Raises
        ------
        InputError
            If a file is neither PNG nor SVG by its name, or an alternative text is empty.
        DataError
            If a file cannot be read.
        """
        return self._add(_Figures([_read_figure(Path(path), alt, caption) for path, alt, caption in figures]))

    def to_html(self) -> str:
        """Return the page, figures embedded: it needs no other file and no network."""
        body = "\n".join(block.html() for block in self._blocks)
        return _PAGE.substitute(title=escape(self.title), body=body)

    def to_markdown(self, folder: PathLike = ".") -> str:
        """Return the document as Markdown for a file in `folder`; figures are links relative to it."""
        blocks = [f"# {_escape_markdown(self.title)}", *(block.markdown(Path(folder)) for block in self._blocks)]
        return "\n\n".join(blocks) + "\n"

    def write(self, folder: PathLike) -> list[Path]:
        """Write ``report.html`` and ``report.md`` into `folder`, each whole or not at all, and return their paths."""
        return [
            write_whole(Path(folder) / "report.html", self.to_html()),
            write_whole(Path(folder) / "report.md", self.to_markdown(folder)),
        ]

    def _add(self, block: "_Heading | _Paragraph | _Table | _Figures") -> Self:
        self._blocks.append(block)
        return self

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {len(self._blocks)} block{'' if len(self._blocks) == 1 else 's'})"


class _Heading(NamedTuple):
    text: str
    level: int

    def html(self) -> str:
        return f"<h{self.level}>{escape(self.text)}</h{self.level}>"

    def markdown(self, folder: Path) -> str:
        return f"{'#' * self.level} {_escape_markdown(self.text)}"


class _Paragraph(NamedTuple):
    text: str

    def html(self) -> str:
        return f"<p>{escape(self.text).replace(' %', '&nbsp;%')}</p>"  # a line should not begin with a unit

    def markdown(self, folder: Path) -> str:
        return _escape_markdown(self.text)


class _Table(NamedTuple):
    header: list[str]
    rows: list[list[str]]
    caption: str

    def html(self) -> str:
        # The caption stands outside of what scrolls, or a phone would cut it; that is focusable, for the keyboard.
        caption = [f'<p class="caption">{escape(self.caption)}</p>'] if self.caption else []
        scroll = f'<div class="scroll" role="region" aria-label="{escape(self.caption or "table")}" tabindex="0">'
        return "\n".join([*caption, f"{scroll}{html_table(self.header, self.rows)}</div>"])

    def markdown(self, folder: Path) -> str:
        rule = ["---:" if number else "---" for number in number_columns(self.rows, len(self.header))]
        texts = [[_escape_markdown(cell) for cell in row] for row in [self.header, *self.rows]]
        lines = [f"| {' | '.join(cells)} |" for cells in [texts[0], rule, *texts[1:]]]
        return "\n".join([f"{_escape_markdown(self.caption)}\n"] * bool(self.caption) + lines)


class _Figure(NamedTuple):
    path: Path
    content: bytes
    alt: str
    caption: str


class _Figures(NamedTuple):
    figures: list[_Figure]

    def html(self) -> str:
        lines = ['<div class="figures">']
        for figure in self.figures:
            source = (
                f"data:{_MEDIA_TYPES[figure.path.suffix.lower()]};base64,{base64.b64encode(figure.content).decode()}"
            )
            caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
            lines.append(f'<figure><img src="{source}" alt="{escape(figure.alt)}">{caption}</figure>')
        return "\n".join([*lines, "</div>"])

    def markdown(self, folder: Path) -> str:
        lines = []
        for figure in self.figures:
            link = quote(Path(os.path.relpath(figure.path, folder)).as_posix(), safe="/=")
            lines.append(f"![{_escape_markdown(figure.alt)}]({link})")
            if figure.caption:
                lines.append(_escape_markdown(figure.caption))
        return "\n\n".join(lines)


def _read_figure(path: Path, alt: str, caption: str) -> _Figure:
    if path.suffix.lower() not in _MEDIA_TYPES:
        raise InputError(f"Report.figures: expected a .png or .svg file, got {path}")
    if not alt.strip():
        raise InputError(f"Report.figures: expected an alternative text for {path}, got {alt!r}")
    try:
        return _Figure(path.absolute(), path.read_bytes(), alt, caption)
    except OSError as error:
        raise DataError(f"Report.figures: cannot read {path} ({error.strerror})") from None


def _escape_markdown(text: str) -> str:
    """Return `text` on one line, with a backslash before every sign that Markdown would act on."""
    line = re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"^(\d*)([-+#=.)])(?=\s|[-=#]|$)", r"\1\\\2", line)
