"""Cells as a reader wants them: separators of thousands, a real minus sign, decimal points that line up."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._core.tables import cell
from minidl.report.blocks import Link, Table


def shown_cells(table: Table) -> list[list[str]]:
    """Return the rows of a table as texts and links; where the rows have names, each number stands alone."""
    if not table.header:
        return [[shown_column([value])[0] for value in row] for row in table.rows]
    columns = [shown_column(column) for column in zip(*table.rows, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def shown_column(values: Sequence[Any]) -> list[str]:
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
    floats = [float(value) for value in values if isinstance(value, float | np.floating) and np.isfinite(value)]
    texts = [_float(value, ".4g") for value in floats]
    decimals = max([len(text.partition(".")[2]) for text in texts], default=0)
    aligned = decimals <= 6 and not any("e" in text for text in texts)
    return [_shown(value, f".{decimals}f" if aligned else ".4g") for value in values]


def _shown(value: Any, form: str) -> str:
    if isinstance(value, Link):
        return value
    text = cell(value)
    if isinstance(value, int | np.integer) and abs(int(value)) >= 10_000:
        text = f"{value:,}"
    if isinstance(value, float | np.floating) and np.isfinite(value):
        text = _float(float(value), form)
    return re.sub(r"^-(?=\d)", "\N{MINUS SIGN}", text)


def _float(value: float, form: str) -> str:
    large = 10_000 <= abs(value) < 1e15
    return f"{value:{',' * large}{'.0f' if large and form == '.4g' else form}}"
