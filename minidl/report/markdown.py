"""A report as Markdown, with links to its figures."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from minidl._core.tables import number_columns
from minidl._core.texts import legible
from minidl.report.blocks import Block, Code, Figure, Figures, Heading, Link, Paragraph, Pictures, Points, Table
from minidl.report.cells import shown_cells


def to_markdown(title: str, blocks: Iterable[Block], folder: Path) -> str:
    """Return the document for a file in `folder`; figures are links relative to it."""
    return "\n\n".join([f"# {_line(title)}", *filter(None, (_text(block, folder) for block in blocks))]) + "\n"


def _text(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_line(text)}"
        case Paragraph(parts, _):
            return _line(*parts)
        case Points(items, _):
            return "\n".join(f"- {_line(item)}" for item in items)
        case Code(text):
            fence = max(["``", *re.findall("`+", text)], key=len) + "`"
            return f"{fence}\n{legible(text)}\n{fence}"
        case Table():
            return _table(block)
        case Figures():
            return _figures(block, folder)
        case Pictures(rows, _, _, fallback):
            texts = [_line(f"{label}: {', '.join(picture.caption for picture in row)}") for label, row in rows]
            return "\n\n".join([*([_image(fallback, folder)] if fallback else texts), _caption(block)])


def _table(table: Table) -> str:
    rows, header = shown_cells(table), table.header or ["", ""]
    rule = ["---:" if number else "---" for number in number_columns(rows, len(header))]
    texts = [[_line(part) for part in row] for row in [header, *rows]]
    lines = [f"| {' | '.join(cells)} |" for cells in [texts[0], rule, *texts[1:]]]
    return "\n".join([f"{_caption(table)}\n"] * bool(table.caption) + lines)


def _figures(block: Figures, folder: Path) -> str:
    """Return figures below each other; or side by side in a table, if they are one figure."""
    count = block.columns
    if not block.caption or count == 1:
        shown = (part for figure in block.figures for part in (_image(figure, folder), _caption(figure)))
        return "\n\n".join(filter(None, [*shown, _caption(block)]))
    cells = ["<br>".join(filter(None, [_image(f, folder), _line(f.caption)])) for f in block.figures]
    cells += [""] * (-len(cells) % count)
    lines = [f"| {' | '.join(cells[i : i + count])} |" for i in range(0, len(cells), count)]
    return "\n".join([*lines[:1], f"|{' --- |' * count}", *lines[1:], "", _caption(block)])


def _caption(block: Table | Figure | Figures | Pictures) -> str:
    return f"**{block.name}.** " * bool(block.name) + _line(block.caption)


def _image(figure: Figure, folder: Path) -> str:
    link = quote(Path(os.path.relpath(figure.path, folder)).as_posix(), safe="/=")
    return f"![{_line(figure.alt)}]({link})"


def _line(*parts: str) -> str:
    """Return texts and links on one line, with a backslash before every sign that Markdown would act on."""
    line = "".join(
        f"[{_signs(part)}]({quote(part.url, safe=':/?#=&%@+,;~')})" if isinstance(part, Link) else _signs(part)
        for part in parts
    )
    return re.sub(r"^(\d*)([-+#=.)])(?=\s|[-=#]|$)", r"\1\\\2", line.strip())


def _signs(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", legible(re.sub(r"\s+", " ", str(text))))
