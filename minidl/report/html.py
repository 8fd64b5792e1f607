"""A report as one page of HTML that needs no other file and no network."""

import base64
import hashlib
import re
from collections.abc import Container, Iterable
from pathlib import Path
from string import Template

from minidl._core.tables import escape, number_columns
from minidl.report.blocks import Block, Code, Figure, Figures, Heading, Link, Paragraph, Pictures, Points, Table
from minidl.report.cells import shown_cells
from minidl.report.svg import inline_svg

_WIDTHS = {"narrow": (42, 1.2), "middle": (90, 3), "large": (100, 3), "broad": (130, 3), "huge": (160, 3)}
"""Up to how many letters a table fits on a phone, in the column of the text, on a tablet, on pages from narrow to wide.

The second number is what lies between two columns.
"""
_LONG = 20
"""From how many letters on a word may be broken, so that it does not take the room of the other columns."""
_OPTION, _WHOLE = r"(?<!\S)-\S{1,40}(?!\S)", r'<span class="whole">\g<0></span>'


def to_html(title: str, blocks: Iterable[Block], *, heading: str = "", author: str = "", script: str = "") -> str:
    """Return the page, figures embedded, readable on a phone and on a wide screen, by day and by night.

    Parameters
    ----------
    title : str
        Of the window; taken literally.
    blocks : iterable of Block
        What stands below the heading.
    heading : str
        Of the page, taken literally; "" is the title.
    author : str
        For programs; readers get it with the blocks.
    script : str
        The only one that the page may run; it may load the page itself into a frame.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'; frame-src 'self' file:" if script else ""
    script = f"<script>{script}</script>\n" if script else ""
    blocks = list(blocks)
    names = {getattr(part, "name", "") for block in blocks for part in [block, *getattr(block, "figures", ())]}
    body = "\n".join(_element(block, names, f"S{place}") for place, block in enumerate(blocks))
    # On paper a browser keeps an element on the page of the next one, but not a heading and a text both.
    body = re.sub(r"<h3.*\n<p.*(?=\n<(figure|div))", r"<section>\g<0></section>", body)
    # Its policy forbids the browser whatever would make the page depend on another file, or run anything.
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    # A line should not end within a name such as CIFAR-10.
    shown = re.sub(r"\w+-\d\w*", _WHOLE, escape(heading or title))
    meta = f'\n<meta name="author" content="{escape(author)}">' if author else ""
    return page.substitute(allowed=allowed, script=script, title=escape(title), author=meta, heading=shown, body=body)


def _element(block: Block, names: Container[str], prefix: str) -> str:
    match block:
        case Heading(text, level, anchor):
            return f"<h{level}{_id(anchor)}>{_text([text])}</h{level}>"
        case Paragraph(parts, kind):
            return f"<p{_class(kind)}>{_text(parts, names)}</p>"
        case Points(items, kind):
            return "\n".join([f"<ul{_class(kind)}>", *(f"<li>{_text([item], names)}</li>" for item in items), "</ul>"])
        case Code(text):
            # A line may end before an option of a command, and not after its first hyphen.
            return f"<pre>{re.sub(_OPTION, _WHOLE, escape(text))}</pre>"
        case Table():
            return _table(block)
        case Figures():
            return _figures(block, prefix)
        case Pictures():
            return _pictures(block)


def _text(parts: Iterable[str], names: Container[str] = ()) -> str:
    """Return parts of a text; where one names a figure or a table, that is a link to it."""

    def reference(found: re.Match[str]) -> str:
        return f'<a href="#{found[1]}-{found[2]}">{found[0]}</a>' if found[0] in names else found[0]

    texts = (
        f'<a href="{escape(part.url)}">{escape(part)}</a>'
        if isinstance(part, Link)
        else re.sub(r"\b(Figure|Table) (\d+)\b", reference, escape(part))
        for part in parts
    )
    # A line should not begin with a unit, or end within an equation such as λ = 0.1.
    return re.sub(r"\b(\w) = (?=\d)", r"\1&nbsp;=&nbsp;", "".join(texts).replace(" %", "&nbsp;%"))


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _id(name: str) -> str:
    return f' id="{escape(name.replace(" ", "-"))}"' if name else ""


def _caption(block: Table | Figure | Figures | Pictures, tag: str = "figcaption") -> str:
    name = f"<b>{block.name}.</b> " if block.name else ""
    return f"<{tag}>{name}{_text([block.caption])}</{tag}>" if block.caption else ""


def _table(table: Table) -> str:
    rows, header = shown_cells(table), table.header or ["", ""]
    kinds: list[str] = []
    letters = 0.0
    for name, number, *texts in zip(header, number_columns(rows, len(header)), *rows, strict=True):
        # Numbers and short names of rows stay on one line; other texts and the header are broken between words.
        whole = number or (not kinds and max(map(len, texts), default=0) <= _LONG)
        words = [*name.split(), *(texts if whole else " ".join(texts).split())]
        longest = max(map(len, words), default=0)
        kinds.append(_class("number" if number else "whole" if whole else "long" * (longest > _LONG)))
        letters += min(longest, _LONG)
    ends = [f'{kind} data-label="{escape(name)}"' if name else kind for name, kind in zip(header, kinds, strict=True)]
    names = [f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True)]
    lines = [f"<thead><tr>{''.join(names)}</tr></thead>"] if table.header else []
    for row in rows:
        cells = [f"<td{end}>{_text([part])}</td>" for part, end in zip(row, ends, strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
        if not table.header:
            lines[-1] = lines[-1].replace("<td", '<th scope="row"', 1).replace("</td>", "</th>", 1)
    fitting = (name for name, (room, gap) in _WIDTHS.items() if letters + gap * len(header) <= room)
    head = f'<table{_id(table.name)} class="{next(fitting, "endless")}">{_caption(table, "caption")}'
    return "\n".join([head, *lines, "</table>"])


def _figures(block: Figures, prefix: str) -> str:
    tag = "figure" if block.caption else "div"
    head = f'<{tag}{_id(block.name)} class="figures c{block.columns}">'
    drawn = [_figure(figure, f"{prefix}-{place}") for place, figure in enumerate(block.figures)]
    # On paper a browser can keep what stands side by side on one page, and the caption with it, if that is an element.
    size = 3 if block.columns == 3 else 2
    rows = ("\n".join(['<div class="row">', *drawn[i : i + size], "</div>"]) for i in range(0, len(drawn), size))
    return "\n".join([head, *rows, f"{_caption(block)}</{tag}>"])


def _figure(figure: Figure, prefix: str) -> str:
    return f"<figure{_id(figure.name)}>{_image(figure, prefix)}{_caption(figure)}</figure>"


def _image(figure: Figure, prefix: str = "") -> str:
    is_svg = figure.path.suffix.lower() == ".svg"
    if is_svg and (element := inline_svg(figure.content, figure.alt, prefix)):
        return element
    source = f"data:image/{'svg+xml' if is_svg else 'png'};base64,{base64.b64encode(figure.content).decode()}"
    return f'<img src="{source}" alt="{escape(figure.alt)}">'


def _pictures(block: Pictures) -> str:
    lines = [f'<figure{_id(block.name)} class="pictures">']
    for label, row in block.rows:
        items = (f"<li>{_image(picture)}{escape(picture.caption)}</li>" for picture in row)
        lines += [*[f"<p>{escape(label)}</p>"] * bool(label), "<ul>", *items, "</ul>"]
    return "\n".join([*lines, f"{_caption(block)}</figure>"])
