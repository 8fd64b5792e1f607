"""Comparison: several runs in one table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minidl._core.checks import check_type
from minidl._core.errors import InputError
from minidl._core.spelling import check_known
from minidl._core.tables import html_table, text_table
from minidl.training.history import History, Monitor

Cell = str | int | float | None


@dataclass(frozen=True)
class Comparison:
    """A table with one row per run; `print` and a notebook show it, ``report.table(c.header, c.rows)`` adds it.

    Attributes
    ----------
    header : list of str
    rows : list of list
        Texts and numbers, one per entry of the header; None where a run has not measured the quantity.
    """

    header: list[str]
    rows: list[list[Cell]]

    def __str__(self) -> str:
        return text_table(self.header, self.rows)

    def _repr_html_(self) -> str:
        return html_table(self.header, self.rows)

    def __repr__(self) -> str:
        names = ", ".join(str(row[0]) for row in self.rows)
        return f"Comparison({len(self.rows)} run{'' if len(self.rows) == 1 else 's'}: {names})"


def compare_runs(runs: Mapping[str, History], quantities: Sequence[str] = ()) -> Comparison:
    """Return a table of several runs: epochs, and for each quantity the last value, the best one and its epoch.

    The best value is the highest one of a quantity whose name ends with "accuracy", "acc", "f1", "auc", "precision",
    "recall" or "r2", and the lowest one of any other. NaN and infinity are never the best value.

    Parameters
    ----------
    runs : mapping of str to History
        The histories by the names of the runs.
    quantities : sequence of str
        Columns of the histories. The default is loss and accuracy, in validation if any run has it. (The cost is left
        out: runs with different penalties minimise different costs.)

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If an argument is not as above, there is no run, or no run has a quantity; names the columns and the nearest.

    Examples
    --------
    >>> low, high = History([{"loss": 2.0}, {"loss": 1.5}]), History([{"loss": 2.0}, {"loss": 8.0}, {"loss": 4.0}])
    >>> print(compare_runs({"low rate": low, "high rate": high}))
    run        epochs  loss  lowest  in epoch  seconds
    low rate        2   1.5     1.5         2        -
    high rate       3   4.0     2.0         1        -
    """
    check_type("compare_runs", "runs", runs, Mapping, "pass a dict, {name: history}")
    for name, run in runs.items():
        check_type("compare_runs", f"runs[{name!r}]", run, History, "read one from a file with History.from_csv")
    if not runs:
        raise InputError("compare_runs: expected at least one run, got none")
    if isinstance(quantities, str):
        raise InputError(f"compare_runs: expected quantities to be a list of columns, got {quantities!r:.80}")
    columns = list(dict.fromkeys(column for run in runs.values() for column in run.columns))
    usual = [f"val_{name}" if f"val_{name}" in columns else name for name in ("loss", "accuracy")]
    chosen = [Monitor(name) for name in list(quantities) or [name for name in usual if name in columns]]
    header = ["run", "epochs"]
    for column in chosen:
        check_known("compare_runs", "column", column.name, columns)
        header += [column.name, "highest" if column.larger_is_better else "lowest", "in epoch"]
    rows = [[str(name), len(run), *_cells(run, chosen), _seconds(run)] for name, run in runs.items()]
    return Comparison([*header, "seconds"], rows)


def _cells(run: History, columns: Sequence[Monitor]) -> list[Cell]:
    """Return for each column the last value, the best value and its epoch; None where there is no value."""
    cells: list[Cell] = []
    for column in columns:
        measured = [(row[column.name], row["epoch"]) for row in run if column.name in row]
        finite = [(column.minimised(value), epoch, value) for value, epoch in measured if math.isfinite(value)]
        _, epoch, best = min(finite, default=(None, None, None))
        cells += [measured[-1][0] if measured else None, best, epoch]
    return cells


def _seconds(run: History) -> float | None:
    """Return the seconds of all epochs, without decimals from 100 on."""
    total = sum(row.get("seconds", math.nan) for row in run) if len(run) else math.nan
    if not math.isfinite(total):
        return None
    return round(total) if total >= 100 else round(total, 1)
