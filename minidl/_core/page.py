"""A page: an HTML document by itself, readable on a phone and on a wide screen, by day and by night."""

from pathlib import Path
from string import Template

from minidl._core.tables import escape


def html_page(title: str, body: str, *, heading: str = "", renewed_after: int | None = None) -> str:
    """Return a page that needs no other file and no network.

    Parameters
    ----------
    title : str
        Of the window; taken literally.
    body : str
        HTML below the heading. Figures stand in a ``<div class="figures">``, wide tables in a ``<div class="scroll">``.
    heading : str
        Of the page, taken literally; "" is the title.
    renewed_after : int, optional
        So many seconds after it was shown the browser is to load the page again.
    """
    renewal = "" if renewed_after is None else f'<meta http-equiv="refresh" content="{renewed_after}">\n'
    # Its policy forbids the browser whatever would make the page depend on another file, or run anything.
    page = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return page.substitute(renewal=renewal, title=escape(title), heading=escape(heading or title), body=body)
