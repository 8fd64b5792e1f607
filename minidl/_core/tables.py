"""Tables: rows of cells as aligned text and as HTML, for every class that shows one."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minidl._core.texts import legible

# A sign may come first; "0.weight" is no number. (Compiled when it is used: a millisecond of start-up.)
_NUMBER = r"\W?\s?\d(?!\d*\.[^\W\d])|not a number$|-?infinity$|-?$"
_WORDS = {"nan": "not a number", "inf": "infinity", "-inf": "-infinity"}


def cell(value: Any) -> str:
    """Return `value` as the text of a cell.

    Floats get four significant digits, NaN and infinity are put into words, and None is a dash. Of a text, what could
    steer a terminal is replaced.
    """
    if value is None:
        return "-"
    if isinstance(value, float | np.floating):
        text = f"{value:.4g}"
        return _WORDS.get(text, text)
    return legible(str(value))


def number_columns(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """Return for each column whether all its cells are numbers (with a unit, maybe) or say that there is none."""
    by_column = zip(*rows, strict=True) if rows else [()] * columns
    return [any(column) and all(re.match(_NUMBER, text) for text in column) for column in by_column]


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an aligned table, numbers to the right; no line ends with a blank.

    Examples
    --------
    >>> print(text_table(["layer", "parameters"], [["dense", 12], ["softmax", 0]]))
    layer    parameters
    dense            12
    softmax           0
    """
    cells = [[cell(value) for value in row] for row in rows]
    header = [legible(name) for name in header]
    columns = []
    for number, *texts in zip(number_columns(cells, len(header)), header, *cells, strict=True):
        width = max(map(len, texts))
        columns.append([text.rjust(width) if number else text.ljust(width) for text in texts])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def html_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a ``<table>`` whose texts are taken literally; columns of numbers have the class ``number``."""
    cells = [[cell(value) for value in row] for row in rows]
    kinds = [' class="number"' if number else "" for number in number_columns(cells, len(header))]
    head = (f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True))
    lines = [f"<table><thead><tr>{''.join(head)}</tr></thead>", "<tbody>"]
    for row in cells:
        lines.append(f"<tr>{''.join(f'<td{k}>{escape(text)}</td>' for text, k in zip(row, kinds, strict=True))}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def escape(text: str) -> str:
    """Return `text` as HTML that shows it literally."""
    import html  # 2 ms of start-up, for those who make a page

    return html.escape(legible(str(text)))
