"""A report as Markdown, with links to its figures."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from minidl._core.tables import number_columns
from minidl._core.texts import legible
from minidl.report.blocks import (
    Block,
    Code,
    Figure,
    Figures,
    Heading,
    Link,
    Paragraph,
    Pictures,
    Points,
    Table,
    Text,
)
from minidl.report.cells import shown_cells


def to_markdown(title: str, blocks: Iterable[Block], folder: Path, *, byline: str = "", contents: bool = False) -> str:
    """Return the document for a file in `folder`; figures are links relative to it."""
    blocks = list(blocks)
    parts = [f"# {_escape(title)}", *[_escape(byline)] * bool(byline)]
    if contents:
        sections = [block for block in blocks if isinstance(block, Heading) and block.level == 2]
        parts.append("\n".join(f"- [{_escape(section.text)}](#{quote(section.anchor)})" for section in sections))
    return "\n\n".join(filter(None, [*parts, *(_block(block, folder) for block in blocks)])) + "\n"


def _block(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escape(text)}"
        case Paragraph(parts):
            return _line("".join(map(_text, parts)))
        case Points(items):
            return "\n".join(f"- {_line(_text(item))}" for item in items)
        case Code(text):
            fence = max(["``", *re.findall("`+", text)], key=len) + "`"
            return f"{fence}\n{legible(text)}\n{fence}"
        case Table():
            return _table(block)
        case Figures():
            return _figures(block, folder)
        case Pictures(rows, _, _, fallback):
            texts = [_escape(f"{label}: {', '.join(picture.caption for picture in row)}") for label, row in rows]
            return "\n\n".join([*([_figure(fallback, folder)] if fallback else texts), _caption(block, "Figure")])


def _text(part: Text) -> str:
    if isinstance(part, Link):
        return f"[{_escape(part.text)}]({quote(part.url, safe=':/?#=&%@+,;~')})"
    return re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", legible(re.sub(r"\s+", " ", part)))


def _caption(block: Table | Figure | Figures | Pictures, kind: str) -> str:
    return f"**{kind} {block.number}.** " * bool(block.number) + _escape(block.caption)


def _table(table: Table) -> str:
    rows = shown_cells(table)
    columns = len(table.header) or 2
    plain = [[part.text if isinstance(part, Link) else part for part in row] for row in rows]
    rule = ["---:" if number else "---" for number in number_columns(plain, columns)]
    names = [_escape(name) for name in table.header] or [""] * columns
    cells = [[_line(_text(part)) for part in row] for row in rows]
    lines = [f"| {' | '.join(texts)} |" for texts in [names, rule, *cells]]
    return "\n".join([f"{_caption(table, 'Table')}\n"] * bool(table.caption) + lines)


def _figures(block: Figures, folder: Path) -> str:
    """Return figures below each other; as a table of so many columns, if they are one figure."""
    if not block.caption or block.columns == 1 or len(block.figures) == 1:
        shown = (part for figure in block.figures for part in (_figure(figure, folder), _caption(figure, "Figure")))
        return "\n\n".join(filter(None, [*shown, _caption(block, "Figure")]))
    cells = ["<br>".join(filter(None, [_figure(f, folder), _escape(f.caption)])) for f in block.figures]
    cells += [""] * (-len(cells) % block.columns)
    lines = [f"| {' | '.join(cells[i : i + block.columns])} |" for i in range(0, len(cells), block.columns)]
    return "\n".join([lines[0], f"|{' --- |' * block.columns}", *lines[1:], "", _caption(block, "Figure")])


def _figure(figure: Figure, folder: Path) -> str:
    link = quote(Path(os.path.relpath(figure.path, folder)).as_posix(), safe="/=")
    return f"![{_escape(figure.alt)}]({link})"


def _escape(text: str) -> str:
    """Return `text` on one line, with a backslash before every sign that Markdown would act on."""
    return _line(_text(str(text)))


def _line(text: str) -> str:
    """Return an escaped text as a line that begins neither a list nor a heading."""
    return re.sub(r"^(\d*)([-+#=.)])(?=\s|[-=#]|$)", r"\1\\\2", text.strip())
