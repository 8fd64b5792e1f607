"""A report as one page of HTML that needs no other file and no network."""

import base64
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from string import Template

from minidl._core.tables import escape, number_columns
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
from minidl.report.svg import inline_svg

_MEDIA_TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
_WIDTHS = {"narrow": (42, 1.2), "middle": (80, 3), "broad": (130, 3), "huge": (160, 3)}
"""Up to how many letters a table fits on a phone, beside the text, across the page, across a wide page.

The second number is what lies between two columns.
"""
_OPTION, _WHOLE = r"(?<!\S)-\S{1,40}(?!\S)", r'<span class="whole">\g<0></span>'
_LONG = 20
"""From how many letters on a word may be broken, so that it does not take the room of the other columns."""


def to_html(
    title: str,
    blocks: Iterable[Block],
    *,
    heading: str = "",
    byline: str = "",
    contents: bool = False,
    renewed_after: int | None = None,
) -> str:
    """Return the page, figures embedded, readable on a phone and on a wide screen, by day and by night.

    Parameters
    ----------
    title : str
        Of the window; taken literally.
    blocks : iterable of Block
        What stands below the heading.
    heading : str
        Of the page, taken literally; "" is the title.
    byline : str
        Who made it and when; stands below the heading.
    contents : bool
        Whether a list of the sections comes first.
    renewed_after : int, optional
        So many seconds after it was shown the browser is to load the page again.
    """
    renewal = "" if renewed_after is None else f'<meta http-equiv="refresh" content="{renewed_after}">\n'
    blocks = list(blocks)
    targets = {f"{kind} {number}" for kind, number in map(_target, _numbered(blocks))}
    body = [f'<p class="byline">{escape(byline)}</p>'] if byline else []
    body += [_contents(blocks)] if contents else []
    body += [_element(block, targets, f"S{place}") for place, block in enumerate(blocks)]
    # Its policy forbids the browser whatever would make the page depend on another file, or run anything.
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    # A line should not end within a name such as CIFAR-10.
    shown = re.sub(r"\w+-\d\w*", _WHOLE, escape(heading or title))
    return page.substitute(renewal=renewal, title=escape(title), heading=shown, body="\n".join(body))


def _contents(blocks: Iterable[Block]) -> str:
    sections = [block for block in blocks if isinstance(block, Heading) and block.level == 2]
    links = (f'<li><a href="#{section.anchor}">{escape(section.text)}</a></li>' for section in sections)
    return "\n".join(['<nav aria-label="Contents"><ul>', *links, "</ul></nav>"])


def _numbered(blocks: Iterable[Block]) -> Iterator[Table | Figure | Figures | Pictures]:
    """Yield what has a number, of its kind."""
    for block in blocks:
        parts = [block, *(block.figures if isinstance(block, Figures) else [])]
        yield from (part for part in parts if isinstance(part, Table | Figure | Figures | Pictures) and part.number)


def _target(block: Table | Figure | Figures | Pictures) -> tuple[str, int]:
    """Return what a reference to a block calls it."""
    return "Table" if isinstance(block, Table) else "Figure", block.number


def _element(block: Block, targets: Container[str], prefix: str) -> str:
    match block:
        case Heading(text, level, anchor):
            name = f' id="{escape(anchor)}"' if anchor else ""
            return f"<h{level}{name}>{escape(text)}</h{level}>"
        case Paragraph(parts):
            return f"<p>{_text(parts, targets)}</p>"
        case Points(items):
            return "\n".join(["<ul>", *(f"<li>{_text([item], targets)}</li>" for item in items), "</ul>"])
        case Code(text):
            # A line may end before an option of a command, and not after its first hyphen.
            return f"<pre>{re.sub(_OPTION, _WHOLE, escape(text))}</pre>"
        case Table():
            return _table(block)
        case Figures():
            return _figures(block, prefix)
        case Pictures():
            return _pictures(block)


def _text(parts: Iterable[Text], targets: Container[str] = ()) -> str:
    """Return parts of a text; what is said of a figure or table becomes a link to it."""

    def reference(found: re.Match[str]) -> str:
        return f'<a href="#{found[1]}-{found[2]}">{found[0]}</a>' if found[0] in targets else found[0]

    texts = (
        f'<a href="{escape(part.url)}">{escape(part.text)}</a>'
        if isinstance(part, Link)
        else re.sub(r"\b(Figure|Table) (\d+)\b", reference, escape(part))
        for part in parts
    )
    return "".join(texts).replace(" %", "&nbsp;%")  # a line should not begin with a unit


def _caption(block: Table | Figure | Figures | Pictures, tag: str) -> str:
    """Return the numbered caption of a block as an element, or nothing."""
    number = f"<b>{' '.join(map(str, _target(block)))}.</b> " if block.number else ""
    return f"<{tag}>{number}{escape(block.caption)}</{tag}>" if block.caption else ""


def _anchor(block: Table | Figure | Figures | Pictures) -> str:
    return f' id="{"-".join(map(str, _target(block)))}"' if block.number else ""


def _table(table: Table) -> str:
    rows = shown_cells(table)
    plain = [[part.text if isinstance(part, Link) else part for part in row] for row in rows]
    header = table.header or ["", ""]
    kinds, letters = [], 0
    for name, number, *texts in zip(header, number_columns(plain, len(header)), *plain, strict=True):
        # Numbers stay on one line; other texts and the name are broken between words.
        words = [*name.split(), *(texts if number else " ".join(texts).split())]
        longest = max(map(len, words), default=0)
        kinds.append(' class="number"' if number else ' class="long"' * (longest > _LONG))
        letters += min(longest, _LONG)
    labels = [f' data-label="{escape(name)}"' * bool(name) for name in header]
    lines = []
    if table.header:
        names = (f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True))
        lines.append(f"<thead><tr>{''.join(names)}</tr></thead>")
    for row in rows:
        cells = [f"<td{k}{label}>{_text([part])}</td>" for part, k, label in zip(row, kinds, labels, strict=True)]
        if not table.header:
            cells[0] = f'<th scope="row">{_text(row[:1])}</th>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    fitting = (name for name, (room, gap) in _WIDTHS.items() if letters + gap * len(header) <= room)
    return "\n".join(
        [f'<table{_anchor(table)} class="{next(fitting, "endless")}">{_caption(table, "caption")}', *lines, "</table>"]
    )


def _figures(block: Figures, prefix: str) -> str:
    kind = f"figures c{block.columns}{' wide' * block.wide}"
    drawn = [_figure(figure, f"{prefix}-{place}") for place, figure in enumerate(block.figures)]
    if not block.caption:
        return "\n".join([f'<div class="{kind}">', *drawn, "</div>"])
    return "\n".join(
        [
            f'<figure{_anchor(block)} class="group"><div class="{kind}">',
            *drawn,
            f"</div>{_caption(block, 'figcaption')}</figure>",
        ]
    )


def _figure(figure: Figure, prefix: str) -> str:
    kind = figure.path.suffix.lower()
    image = inline_svg(figure.content, figure.alt, prefix) if kind == ".svg" else None
    image = image or _image(_MEDIA_TYPES[kind], figure.content, figure.alt)
    return f"<figure{_anchor(figure)}>{image}{_caption(figure, 'figcaption')}</figure>"


def _image(media_type: str, content: bytes, alt: str) -> str:
    return f'<img src="data:{media_type};base64,{base64.b64encode(content).decode()}" alt="{escape(alt)}">'


def _pictures(block: Pictures) -> str:
    lines = [f'<figure{_anchor(block)} class="pictures">']
    for label, row in block.rows:
        items = (f"<li>{_image('image/png', p.png, p.alt)}{escape(p.caption)}</li>" for p in row)
        lines += [f"<p>{escape(label)}</p>"] * bool(label) + ["<ul>", *items, "</ul>"]
    return "\n".join([*lines, f"{_caption(block, 'figcaption')}</figure>"])
