"""A report as one page of HTML that needs no other file and no network."""

import base64
from collections.abc import Iterable

from minidl._core.page import html_page
from minidl._core.tables import escape, html_table
from minidl.report.blocks import Block, Figure, Figures, Heading, Paragraph, Table

_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def to_html(title: str, blocks: Iterable[Block], *, heading: str = "", renewed_after: int | None = None) -> str:
    """Return the page, figures embedded; the options are those of `html_page`."""
    return html_page(title, "\n".join(map(_element, blocks)), heading=heading, renewed_after=renewed_after)


def _element(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text).replace(' %', '&nbsp;%')}</p>"  # a line should not begin with a unit
        case Table():
            return _table(block)
        case Figures(figures):
            return "\n".join(['<div class="figures">', *map(_figure, figures), "</div>"])


def _table(table: Table) -> str:
    # The caption stands outside of what scrolls, or a phone would cut it; that is focusable, for the keyboard.
    caption = [f'<p class="caption">{escape(table.caption)}</p>'] if table.caption else []
    scroll = f'<div class="scroll" role="region" aria-label="{escape(table.caption or "table")}" tabindex="0">'
    return "\n".join([*caption, f"{scroll}{html_table(table.header, table.rows)}</div>"])


def _figure(figure: Figure) -> str:
    source = f"data:{_MEDIA_TYPES[figure.path.suffix.lower()]};base64,{base64.b64encode(figure.content).decode()}"
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>" if figure.caption else ""
    return f'<figure><img src="{source}" alt="{escape(figure.alt)}">{caption}</figure>'
