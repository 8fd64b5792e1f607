"""Cells as a reader wants them: separators of thousands, a real minus sign, decimal points that line up."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.tables import cell
from minidl.report.blocks import Link, Table, Text

_MOST_DECIMALS = 6


def shown_cells(table: Table) -> list[list[Text]]:
    """Return the rows of a table as texts and links; where the rows have names, each number stands alone."""
    if not table.header:
        return [[part for value in row for part in shown_column([value])] for row in table.rows]
    columns = [shown_column(column) for column in zip(*table.rows, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def shown_column(values: Sequence[Any]) -> list[Text]:
    """Return the cells of a column as texts; links stay links.

    Its floats have the same number of decimals: as many as one of them needs for four significant digits. If that is
    more than six, each has its own. A text stays as it is, but a hyphen before a digit becomes a minus sign.

    Examples
    --------
    >>> shown_column([1.79, 0.0593, None, "- 5"])
    ['1.7900', '0.0593', '-', '- 5']
    >>> shown_column([1234567, 12345.6])
    ['1,234,567', '12,346']
    """
    texts = [_alone(float(value)) for value in values if isinstance(value, float | np.floating)]
    needed = max([len(text.partition(".")[2]) for text in texts], default=0)
    aligned = needed <= _MOST_DECIMALS and not any("e" in text for text in texts)
    return [_shown(value, needed if aligned else None) for value in values]


def _shown(value: Any, decimals: int | None) -> Text:
    if isinstance(value, Link):
        return value
    text = cell(value)
    if isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value):
        separator = "," if abs(float(value)) >= 10_000 else ""
        if isinstance(value, float | np.floating):
            text = _alone(float(value)) if decimals is None else f"{value:{separator}.{decimals}f}"
        elif separator:
            text = f"{value:,}"
    return re.sub(r"^-(?=\d)", "\N{MINUS SIGN}", text)


def _alone(value: float) -> str:
    """Return a float with four significant digits, or as a whole number where that has more."""
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"
