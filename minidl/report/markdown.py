"""A report as Markdown, with links to its figures."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from minidl._core.tables import number_columns
from minidl._core.texts import legible
from minidl.report.blocks import Block, Figure, Figures, Heading, Paragraph, Table


def to_markdown(title: str, blocks: Iterable[Block], folder: Path) -> str:
    """Return the document for a file in `folder`; figures are links relative to it."""
    return "\n\n".join([f"# {_escape(title)}", *(_text(block, folder) for block in blocks)]) + "\n"


def _text(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_escape(text)}"
        case Paragraph(text):
            return _escape(text)
        case Table():
            return _table(block)
        case Figures(figures):
            return "\n\n".join(_figure(figure, folder) for figure in figures)


def _table(table: Table) -> str:
    rule = ["---:" if number else "---" for number in number_columns(table.rows, len(table.header))]
    texts = [[_escape(cell) for cell in row] for row in [table.header, *table.rows]]
    lines = [f"| {' | '.join(cells)} |" for cells in [texts[0], rule, *texts[1:]]]
    return "\n".join([f"{_escape(table.caption)}\n"] * bool(table.caption) + lines)


def _figure(figure: Figure, folder: Path) -> str:
    link = quote(Path(os.path.relpath(figure.path, folder)).as_posix(), safe="/=")
    caption = f"\n\n{_escape(figure.caption)}" if figure.caption else ""
    return f"![{_escape(figure.alt)}]({link}){caption}"


def _escape(text: str) -> str:
    """Return `text` on one line, with a backslash before every sign that Markdown would act on."""
    line = re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", legible(" ".join(str(text).split())))
    return re.sub(r"^(\d*)([-+#=.)])(?=\s|[-=#]|$)", r"\1\\\2", line)
