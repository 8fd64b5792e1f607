"""History: what was measured, one row an epoch."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minidl._core.checks import check_type
from minidl._core.errors import DataError, InputError
from minidl._core.spelling import nearest
from minidl._core.tables import html_table
from minidl._core.types import PathLike
from minidl._storage.files import write_whole

if TYPE_CHECKING:
    import pandas

Row = dict[str, int | float]

_SHOWN = 20
"""Rows that a notebook shows; of more, the first and the last ones."""
BESIDES = ("epoch", "learning_rate", "seconds")
"""The columns of a trainer's history that are no metrics."""
_ORDER = ("epoch", "loss", "cost", "accuracy", "val_loss", "val_cost", "val_accuracy", "learning_rate", "seconds")


class History:
    """A table of measurements, one row an epoch and one column a quantity.

    Parameters
    ----------
    rows : iterable of mappings
        What to begin with; each is appended.

    Attributes
    ----------
    rows : list of dict
        One ``{column: int or float}`` an epoch. A row may lack columns that others have.

    Examples
    --------
    >>> history = History([{"loss": 2.0, "cost": 2.5}, {"loss": 1.5, "cost": 1.75}])
    >>> history["cost"]
    [2.5, 1.75]
    >>> history
    History(2 epochs: epoch, loss, cost)
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.rows: list[Row] = []
        for row in rows:
            self.append(row)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one epoch's measurements; a row without ``epoch`` gets the next number.

        Raises
        ------
        InputError
            For a row that is no mapping, a value that is not an int or a float (NumPy's count), or a name that is not
            printable text.
        """
        check_type("History", "row", row, Mapping, "one an epoch, {column: number}")
        self.rows.append({"epoch": len(self) + 1} | {_name(name): _number(name, value) for name, value in row.items()})

    @property
    def columns(self) -> list[str]:
        """The columns: the usual ones in their usual order, then all others as they were first seen."""
        seen = dict.fromkeys(name for row in self.rows for name in row)
        return [name for name in _ORDER if name in seen] + [name for name in seen if name not in _ORDER]

    def __getitem__(self, column: str) -> list[int | float]:
        """Return one value an epoch, NaN where the epoch has none; an unknown column is an `InputError`."""
        columns = self.columns
        if column not in columns:
            meant = nearest(column, columns, 1)
            hint = f"; did you mean {meant[0]!r}?" if meant else ""
            raise InputError(f"History: no column {column!r}, there is {', '.join(columns) or 'nothing yet'}{hint}")
        return [row.get(column, math.nan) for row in self.rows]

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        """Compare row by row, NaN being equal to NaN."""
        if not isinstance(other, History):
            return NotImplemented
        return [_plain(row) for row in self.rows] == [_plain(row) for row in other.rows]

    def __repr__(self) -> str:
        return f"History({len(self)} epoch{'' if len(self) == 1 else 's'}: {', '.join(self.columns) or 'empty'})"

    def _repr_html_(self) -> str:
        """Return the rows as an HTML table, those in the middle of many left out."""
        columns, half = self.columns, _SHOWN // 2
        rows: list[list[Any]] = [[row.get(name) for name in columns] for row in self.rows]
        told = ""
        if len(rows) > _SHOWN:
            told = f"\n<p>{len(rows)} epochs; those from {rows[half][0]} to {rows[-half - 1][0]} are left out</p>"
            rows = [*rows[:half], [""] * len(columns), *rows[-half:]]
        return f"<p>{self!r}</p>" if not rows else html_table(columns, rows) + told

    def to_frame(self) -> "pandas.DataFrame":
        """Return the rows as a pandas DataFrame, indexed by epoch; NaN is where an epoch lacks a number.

        Raises
        ------
        ImportError
            If pandas is not installed; it is the extra ``pandas``.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('History.to_frame needs pandas; install it with: pip install "minidl[pandas]"') from error
        return pandas.DataFrame(self.rows, columns=self.columns or ["epoch"]).set_index("epoch")

    def to_csv(self, path: PathLike) -> Path:
        """Write a table with one line an epoch; floats keep every digit, what is missing is an empty cell."""
        text = io.StringIO()
        table = csv.DictWriter(text, self.columns or ["epoch"], lineterminator="\n")
        table.writeheader()
        table.writerows(_plain(row) for row in self.rows)
        return write_whole(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: PathLike) -> Self:
        """Read what `to_csv` wrote.

        Raises
        ------
        DataError
            If the file is missing or damaged; the message names the file and the row.
        """
        try:
            lines = list(csv.reader(io.StringIO(_read(path), newline=""), strict=True))
        except (csv.Error, ValueError) as error:
            raise DataError(f"{path}: expected a table with a header ({error})") from None
        header, *lines = lines or [[]]
        if "epoch" not in header:
            raise DataError(f"{path}: expected a table with a column epoch, got the header {', '.join(header)!r:.80}")
        if len(set(header)) != len(header):
            raise DataError(f"{path}: the header names a column twice: {', '.join(header)}")
        history = cls()
        for number, cells in enumerate(lines, 1):
            if len(cells) != len(header):
                raise DataError(f"{path}, row {number}: expected {len(header)} cells, got {len(cells)}")
            history._append_read(path, number, {k: v for k, v in zip(header, cells, strict=True) if v})
        return history

    def to_json(self, path: PathLike) -> Path:
        """Write a list of rows, one line each; what JSON has no number for is "NaN", "Infinity" or "-Infinity"."""
        rows = ",\n ".join(map(_json, self.rows))
        return write_whole(path, f"[{rows}]\n")

    @classmethod
    def from_json(cls, path: PathLike) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        DataError
            If the file is missing or damaged; the message names the file and the row.
        """
        try:
            rows = json.loads(_read(path))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: expected a list of rows in JSON ({error})") from None
        if not isinstance(rows, list):
            raise DataError(f"{path}: expected a list of rows, got {type(rows).__name__}")
        history = cls()
        for number, row in enumerate(rows, 1):
            history._append_read(path, number, row)
        return history

    def to_jsonl(self, path: PathLike) -> Path:
        """Write a JSON object an epoch, each on a line of its own; numbers are as in `to_json`."""
        return write_whole(path, "".join(f"{_json(row)}\n" for row in self.rows))

    @classmethod
    def from_jsonl(cls, path: PathLike) -> Self:
        """Read what `to_jsonl` wrote.

        Raises
        ------
        DataError
            If the file is missing or damaged; the message names the file and the row.
        """
        history = cls()
        try:
            lines = _read(path).splitlines()
        except ValueError as error:
            raise DataError(f"{path}: expected rows in JSON ({error})") from None
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, row {number}: expected a row in JSON ({error})") from None
            history._append_read(path, number, row)
        return history

    def _append_read(self, path: PathLike, number: int, row: Any) -> None:
        """Append row `number` of a file, whose texts stand for numbers."""
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: expected a row of named numbers, got {row!r:.80}")
        try:
            self.append({name: _parse(value) if isinstance(value, str) else value for name, value in row.items()})
        except ValueError as error:
            raise DataError(f"{path}, row {number}: {error}") from None


def _name(name: Any) -> str:
    # A line break in a name would make the line of a CSV file something else than the row.
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InputError(f"History: expected a column name of printable text, got {name!r}")
    return name


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    raise InputError(f"History: expected a number for {name!r}, got {value!r:.80}")


def _plain(row: Row) -> dict[str, int | float | str]:
    """Return `row` with texts in place of the numbers that JSON lacks (and that are not equal to themselves)."""
    return {k: v if isinstance(v, int) or math.isfinite(v) else json.dumps(v) for k, v in row.items()}


def _json(row: Row) -> str:
    return json.dumps(_plain(row), ensure_ascii=False, allow_nan=False)


def _parse(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _read(path: PathLike) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")  # spreadsheets like to put a byte order mark first
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
