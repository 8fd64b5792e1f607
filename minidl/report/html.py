"""A report as one page of HTML that needs no other file and no network."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from string import Template

from minidl._core.tables import escape, html_table
from minidl.report.blocks import Block, Figure, Figures, Heading, Paragraph, Table

_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


def to_html(title: str, blocks: Iterable[Block], *, heading: str = "", script: str = "") -> str:
    """Return the page, figures embedded, readable on a phone and on a wide screen, by day and by night.

    Parameters
    ----------
    title : str
        Of the window; taken literally.
    blocks : iterable of Block
        What stands below the heading.
    heading : str
        Of the page, taken literally; "" is the title.
    script : str
        The only one that the page may run; it may load the page itself into a frame.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'; frame-src 'self' file:" if script else ""
    script = f"<script>{script}</script>\n" if script else ""
    body = "\n".join(map(_element, blocks))
    # Its policy forbids the browser whatever would make the page depend on another file, or run anything.
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return page.substitute(
        allowed=allowed, script=script, title=escape(title), heading=escape(heading or title), body=body
    )


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
