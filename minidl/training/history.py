"""History: the measurements of a run, one row per epoch; Monitor: which of two values of a column is better."""

import csv
import io
import json
import math
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_path, check_type, is_number
from minidl._core.errors import DataError, InputError
from minidl._core.quality import LARGER_IS_BETTER, SMALLER_IS_BETTER
from minidl._core.spelling import check_known, nearest
from minidl._core.tables import html_table, text_table
from minidl._core.types import PathLike
from minidl._storage.files import write_whole
from minidl._storage.kinds import read_regular

if TYPE_CHECKING:
    import pandas

Row = dict[str, int | float]

_SHOWN = 20
"""The number of rows that are shown. A longer history shows only its first and last rows."""
_MOST_BITS = 1023
"""An integer with at most this number of bits is less than the largest float."""
NOT_METRICS = ("epoch", "learning_rate", "seconds")
"""The columns of a trainer's history that are not metrics."""
_ORDER = ("epoch", "loss", "cost", "accuracy", "val_loss", "val_cost", "val_accuracy", "learning_rate", "seconds")


class History(Declared):
    """A table of measurements, with one row per epoch and one column per quantity.

    Parameters
    ----------
    rows : iterable of mappings
        The first rows; each is appended.

    Attributes
    ----------
    rows : list of dict
        One ``{column: int or float}`` per epoch. A row may lack columns that other rows have.

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
            If the row is not a mapping, a name is not printable text, or a value is not an int or a float (NumPy's
            numbers are allowed) or is an int that no float can hold.
        """
        check_type("History", "row", row, Mapping, "pass one dict per epoch, {column: number}")
        self.rows.append({"epoch": len(self) + 1} | as_row(row))

    @property
    def columns(self) -> list[str]:
        """The columns: the usual ones in their usual order, then all others in the order of the rows."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return [name for name in _ORDER if name in names] + [name for name in names if name not in _ORDER]

    def __getitem__(self, column: str) -> list[int | float]:
        """Return one value per epoch, NaN where the epoch has none; an unknown column raises `InputError`."""
        check_known("History", "column", column, self.columns)
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
        # NaN is not equal to itself, so NaN is compared as text.
        return bool(for_json(self.rows) == for_json(other.rows))

    def __repr__(self) -> str:
        return f"History({len(self)} epoch{'' if len(self) == 1 else 's'}: {', '.join(self.columns) or 'empty'})"

    def __str__(self) -> str:
        rows, left_out = self._shown()
        return "\n".join(filter(None, [text_table(self.columns, rows), left_out])) if rows else repr(self)

    def _repr_html_(self) -> str:
        """Return the rows as an HTML table; a long table leaves out the rows in the middle."""
        rows, left_out = self._shown()
        table = html_table(self.columns, rows) if rows else ""
        return table + f"\n<p>{left_out}</p>" if left_out else table or f"<p>{self!r}</p>"

    def _shown(self) -> tuple[list[list[Any]], str]:
        """Return the rows to show, and a sentence about the rows that are left out."""
        columns, half = self.columns, _SHOWN // 2
        rows: list[list[Any]] = [[row.get(name) for name in columns] for row in self.rows]
        if len(rows) <= _SHOWN:
            return rows, ""
        left_out = f"{len(rows)} epochs; epochs {rows[half][0]} to {rows[-half - 1][0]} are not shown"
        return [*rows[:half], [""] * len(columns), *rows[-half:]], left_out

    def to_frame(self) -> "pandas.DataFrame":
        """Return the rows as a pandas DataFrame, indexed by epoch; a missing number becomes NaN.

        Raises
        ------
        ImportError
            If pandas is not installed; the extra ``pandas`` installs it.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('History.to_frame needs pandas; install it with: pip install "minidl[pandas]"') from error
        return pandas.DataFrame(self.rows, columns=self.columns or ["epoch"]).set_index("epoch")

    def to_csv(self, path: PathLike) -> Path:
        """Write a table with one line per epoch; floats keep every digit, and a missing number is an empty cell."""
        text = io.StringIO()
        table = csv.DictWriter(text, self.columns or ["epoch"], lineterminator="\n")
        table.writeheader()
        table.writerows(for_json(self.rows))
        return write_whole(path, text.getvalue())

    @classmethod
    def from_csv(cls, path: PathLike) -> Self:
        """Read a file that `to_csv` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, or a pipe or a device; the message names the file and the row.
        """
        text = _read(path)
        try:
            header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        except (csv.Error, ValueError) as error:
            raise DataError(f"{path}: expected a table with a header ({error})") from None
        if "epoch" not in header or len(set(header)) != len(header):
            raise DataError(f"{path}: expected a column 'epoch' and no column twice, got the header {header!r:.80}")
        for number, cells in enumerate(lines, 1):
            if len(cells) != len(header):
                raise DataError(f"{path}, row {number}: expected {len(header)} cells, got {len(cells)}")
        # An empty cell is a missing number.
        return cls._from_rows(path, ({k: v for k, v in zip(header, cells, strict=True) if v} for cells in lines))

    def to_json(self, path: PathLike) -> Path:
        """Write a list with one line per row; NaN and infinity become the texts "NaN", "Infinity" and "-Infinity"."""
        rows = ",\n ".join(map(_json, self.rows))
        return write_whole(path, f"[{rows}]\n")

    @classmethod
    def from_json(cls, path: PathLike) -> Self:
        """Read a file that `to_json` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, or a pipe or a device; the message names the file and the row.
        """
        rows = _parsed(path, _read(path))
        if not isinstance(rows, list):
            raise DataError(f"{path}: expected a list of rows, got {type(rows).__name__}")
        return cls._from_rows(path, rows)

    def to_jsonl(self, path: PathLike) -> Path:
        """Write one JSON object per epoch, each on its own line; numbers are written as in `to_json`."""
        return write_whole(path, "".join(f"{_json(row)}\n" for row in self.rows))

    @classmethod
    def from_jsonl(cls, path: PathLike) -> Self:
        """Read a file that `to_jsonl` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged, or a pipe or a device; the message names the file and the row.
        """
        lines = _read(path).splitlines()
        return cls._from_rows(path, (_parsed(f"{path}, row {n}", line) for n, line in enumerate(lines, 1)))

    @classmethod
    def _from_rows(cls, path: PathLike, rows: Iterable[Any]) -> Self:
        """Return the history of the rows of a file, converting texts to numbers."""
        history = cls()
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise DataError(f"{path}, row {number}: expected an object {{column: number}}, got {row!r:.80}")
            try:
                history.append({k: _as_number(v) if isinstance(v, str) else v for k, v in row.items()})
            except ValueError as error:
                raise DataError(f"{path}, row {number}: {error}") from None
        return history


class Monitor:
    """A column to watch, and which of two of its values is better.

    Parameters
    ----------
    name : str
        A column of the history, or a number that a callback adds to the logs.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; "auto" takes "max" for a name that ends with "accuracy", "acc", "f1",
        "auc", "precision", "recall" or "r2", else "min".
    """

    def __init__(self, name: str, mode: str = "auto") -> None:
        if mode not in ("auto", "min", "max"):
            raise InputError(f"mode: expected 'auto', 'min' or 'max', got {mode!r}")
        if not isinstance(name, str):
            raise InputError(f"monitor: expected the name of a column of the history, got {name!r:.80}")
        self.name = name
        self.larger_is_better = mode == "max" or (mode == "auto" and name.endswith(LARGER_IS_BETTER))

    def check_sense(self, stacklevel: int) -> None:
        """Refuse a column that does not measure quality, and warn about a mode that picks the worst value."""
        if self.name in NOT_METRICS:
            raise InputError(f"monitor: {self.name!r} does not measure quality; choose a metric, such as 'loss'")
        if self.name.endswith(SMALLER_IS_BETTER if self.larger_is_better else LARGER_IS_BETTER):
            mode = "max" if self.larger_is_better else "min"
            warnings.warn(f"mode={mode!r} picks the worst {self.name!r}; leave mode out", stacklevel=stacklevel + 1)

    def minimised(self, value: float) -> float:
        """Return `value`, negated if larger is better, so that smaller is always better; NaN becomes infinity."""
        # Negated, not multiplied by -1.0: an integer may be larger than any float.
        return math.inf if value != value else -value if self.larger_is_better else value

    def read(self, logs: Mapping[str, float], owner: object, earlier: Iterable[Row] = ()) -> float | None:
        """Return the epoch's value, `minimised`; None if only `earlier` rows of the run have one.

        If no epoch of the run has a value, the name is refused as in `check`.
        """
        if self.name not in logs and any(self.name in row for row in earlier):
            return None
        self.check(logs, owner)
        return self.minimised(logs[self.name])

    def check(self, names: Collection[str] | None, owner: object, later: Collection[object] = ()) -> None:
        """Refuse the name if no column of an epoch has it.

        Parameters
        ----------
        names : collection of str or None
            The columns of an epoch; None if they are not known yet.
        owner : object
            The callback that monitors the column.
        later : collection of Callback
            Callbacks after the owner that may add columns.

        Raises
        ------
        InputError
            Names the nearest columns.
        """
        if names is None or self.name in names:
            return
        validated = any(name.startswith("val_") for name in names)
        known = [*names, *([] if validated else [f"val_{name}" for name in names if name not in NOT_METRICS])]
        hint = f"the nearest names are {', '.join(nearest(self.name, known) or names)}"
        if self.name.startswith("val_") and not validated:
            hint = "pass validation data to fit" + ("" if self.name in known else f"; {hint}")
        if later:
            adds = type(next(iter(later))).__name__
            hint += f"; if {adds} adds it, put {adds} before this callback"
        raise InputError(f"{owner!r}: an epoch has no {self.name!r}; {hint}")


def metrics(columns: Iterable[str]) -> list[str]:
    """Return the names of the metrics in `columns`, each once, without ``val_``."""
    return list(dict.fromkeys(name.removeprefix("val_") for name in columns if name not in NOT_METRICS))


def as_row(logs: Mapping[str, Any], where: str = "History") -> Row:
    """Return `logs` as a row of a history: names of printable text, and Python's own numbers.

    Error messages begin with `where`.
    """
    for name, value in logs.items():
        # A line break in a name would split the line of a CSV file.
        if not isinstance(name, str) or not name or not name.isprintable():
            raise InputError(f"{where}: expected a column name of printable text, got {name!r}")
        if not is_number(value):
            raise InputError(f"{where}: expected a number for {name!r}, got {value!r:.80}")
        # Such an integer cannot be compared with a float, or even be written: Python's limit is 4,300 digits.
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            got = f"an integer of {value.bit_length()} bits; take its logarithm"
            raise InputError(f"{where}: expected a number for {name!r} that fits a float, got {got}")
    return {name: int(v) if isinstance(v, int | np.integer) else float(v) for name, v in logs.items()}


def as_columns(history: History) -> dict[str, dict[str, Any]]:
    """Return each column as the kinds of its cells (0: no number, 1: an int, 2: a float), its ints and its floats."""
    rows = history.rows
    # Nearly all rows are plain already, and a history may have many.
    if not all(type(value) in (int, float) for row in rows for value in row.values()):
        rows = [as_row(row) for row in rows]
    columns: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row.get(name) for row in rows]
        ints = [cell for cell in cells if type(cell) is int]
        columns[name] = {
            "kinds": np.array([(type(None), int, float).index(type(cell)) for cell in cells], np.uint8),
            # 64 bits hold the usual integers; a list holds larger ones.
            "ints": np.array(ints, np.int64) if all(abs(number) < 2**63 for number in ints) else ints,
            "floats": np.array([cell for cell in cells if type(cell) is float], np.float64),
        }
    return columns


def from_columns(columns: Mapping[str, Mapping[str, Any]]) -> History:
    """Return the history of columns that `as_columns` returned."""
    rows: list[dict[str, Any]] = []
    for name, column in columns.items():
        cells = {1: iter(column["ints"]), 2: iter(column["floats"])}
        rows = rows or [{} for _ in column["kinds"]]
        for row, kind in zip(rows, column["kinds"].tolist(), strict=True):
            if kind:
                row[name] = next(cells[kind], None)
    return History(rows)


def for_json(value: Any) -> Any:
    """Return `value` with texts for the floats that JSON lacks: "NaN", "Infinity" and "-Infinity"."""
    if isinstance(value, dict):
        return {str(key): for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [for_json(item) for item in value]
    return json.dumps(value) if isinstance(value, float) and not math.isfinite(value) else value


def _json(row: Row) -> str:
    return json.dumps(for_json(row), ensure_ascii=False, allow_nan=False)


def _parsed(where: PathLike, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected rows in JSON ({error})") from None


def _as_number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _read(path: PathLike) -> str:
    try:
        # Spreadsheets put a byte order mark first.
        return read_regular(as_path("path", path)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8 ({error})") from None
