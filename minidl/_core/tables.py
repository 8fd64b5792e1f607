"""Tables: rows of cells as aligned text and as HTML."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minidl._core.texts import legible

# A number may start with a sign; "0.weight" is not a number. (Compiled on first use, to save a millisecond at import.)
_NUMBER = r"\W?\s?\d(?!\d*\.[^\W\d])|not a number$|-?infinity$|-?$"
# If aligned decimals would need more digits than this, the column is not aligned: they would suggest false precision.
_MOST_DIGITS = 6
_WORDS = {"nan": "not a number", "inf": "infinity", "-inf": "-infinity"}


def cell(value: Any) -> str:
    """Return `value` as the text of a cell.

    Floats get four significant digits, NaN and infinity are written as words, and None is a dash. Control characters
    in a text are replaced.
    """
    if value is None:
        return "-"
    if isinstance(value, float | np.floating):
        text = f"{value:.4g}"
        return _WORDS.get(text, text)
    return legible(str(value))


def cells(rows: Iterable[Sequence[Any]]) -> list[list[str]]:
    """Return all cells as texts; floats in a column of numbers get the same number of decimals.

    If some are far smaller than others, each keeps its own four digits instead.

    Examples
    --------
    >>> cells([["SGD", 1.9], ["Adam", 1.899], ["none", None]])
    [['SGD', '1.900'], ['Adam', '1.899'], ['none', '-']]
    """
    columns = map(_column, zip(*rows, strict=True))
    return [list(row) for row in zip(*columns, strict=True)]


def _column(values: Sequence[Any]) -> list[str]:
    texts = [cell(value) for value in values]
    floats = {i: v for i, v in enumerate(values) if isinstance(v, float | np.floating) and np.isfinite(v)}
    if any("e" in texts[i] for i in floats) or number_columns([*zip(texts)], 1) != [True]:
        return texts
    decimals = max((len(texts[i].partition(".")[2]) for i in floats), default=0)
    aligned = {i: f"{value:.{decimals}f}" for i, value in floats.items()}
    if any(len(text.replace(".", "").lstrip("-0")) > _MOST_DIGITS for text in aligned.values()):
        return texts
    return [aligned.get(i, text) for i, text in enumerate(texts)]


def number_columns(rows: Sequence[Sequence[str]], columns: int) -> list[bool]:
    """Return for each column whether all its cells are numbers (possibly with a unit) or mark a missing one."""
    by_column = zip(*rows, strict=True) if rows else [()] * columns
    return [any(column) and all(re.match(_NUMBER, text) for text in column) for column in by_column]


def text_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an aligned table with numbers on the right of their columns; no line ends with a space.

    Examples
    --------
    >>> print(text_table(["layer", "parameters"], [["dense", 12], ["softmax", 0]]))
    layer    parameters
    dense            12
    softmax           0
    """
    texts = cells(rows)
    header = [legible(name) for name in header]
    columns = []
    for number, *column in zip(number_columns(texts, len(header)), header, *texts, strict=True):
        width = max(map(len, column))
        columns.append([text.rjust(width) if number else text.ljust(width) for text in column])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def html_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a ``<table>`` whose texts are escaped; columns of numbers have the class ``number``."""
    texts = cells(rows)
    kinds = [' class="number"' if number else "" for number in number_columns(texts, len(header))]
    head = (f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(header, kinds, strict=True))
    lines = [f"<table><thead><tr>{''.join(head)}</tr></thead>", "<tbody>"]
    for row in texts:
        lines.append(f"<tr>{''.join(f'<td{k}>{escape(text)}</td>' for text, k in zip(row, kinds, strict=True))}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def escape(text: str) -> str:
    """Return `text` as HTML that shows it literally."""
    # Imported here to save 2 ms at start-up.
    import html

    return html.escape(legible(str(text)))
