"""SweepResult: the trials of a sweep as a table."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from minidl._core.attributes import Declared
from minidl._core.checks import as_count, as_path
from minidl._core.reprs import counted
from minidl._core.spelling import check_known
from minidl._core.tables import escape, html_table, text_table
from minidl._core.types import PathLike
from minidl.sweeps.trial import TRIAL_FIELDS, Trial, read_trials, row_of
from minidl.training.history import Monitor

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN = 20


class SweepResult(Declared):
    """The trials of a sweep, in the order of the space, as a table with one column per parameter and per metric.

    ``Report.table(result.header, result.rows)`` adds it to a report.

    Parameters
    ----------
    trials : iterable of Trial

    Attributes
    ----------
    trials : list of Trial

    Examples
    --------
    >>> from minidl.sweeps import Trial
    >>> found = [(0.1, 0.37), (1, 0.39)]
    >>> tried = [Trial({"lam": lam}, f"key{lam}", 0, {"val_accuracy": a}, 2.5, "here") for lam, a in found]
    >>> result = SweepResult(tried)
    >>> print(result.best("val_accuracy", count=1))
    lam  val_accuracy
      1          0.39
    >>> result["lam"]
    [0.1, 1]
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self.trials = list(trials)

    @classmethod
    def from_file(cls, path: PathLike) -> Self:
        """Read the trials from a sweep's file, in the order in which they finished; the sweep may still be running.

        Raises
        ------
        DataError
            If there is no such file, or a line is not a trial.
        """
        # The last trial of a key is used.
        return cls({trial.key: trial for _, trial in read_trials(as_path("path", path))}.values())

    @property
    def failed(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.trials if not trial.ok]

    def __getitem__(self, column: str) -> list[Any]:
        """Return the values of a parameter or metric for all trials that did not fail, NaN for missing ones.

        If a metric and a parameter have the same name, the column has the parameter's values.

        Raises
        ------
        InputError
            If there is no such column; the message lists the columns.
        """
        check_known("SweepResult", "column", column, self.header)
        return [(trial.metrics | trial.config).get(column, math.nan) for trial in self.trials if trial.ok]

    def __contains__(self, column: object) -> bool:
        return column in self.header

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def best(self, metric: str, mode: str = "auto", count: int = 3) -> "SweepResult":
        """Return the `count` best trials by a metric, the best first; of equal trials the earlier one comes first.

        Parameters
        ----------
        metric : str
        mode : {"auto", "min", "max"}
            Whether smaller or larger is better; "auto" means "max" for a metric that ends with "accuracy", "acc", "f1",
            "auc", "precision", "recall" or "r2", else "min".
        count : int

        Raises
        ------
        InputError
            If no trial has such a metric; the message lists the metrics.
        """
        monitor = Monitor(metric, mode)
        check_known("SweepResult", "metric", metric, self._names("metrics"))
        trials = [trial for trial in self.trials if trial.ok]
        trials.sort(key=lambda trial: monitor.minimised(trial.metrics.get(metric, math.nan)))
        return SweepResult(trials[: as_count("count", count)])

    @property
    def header(self) -> list[str]:
        """The names of the columns: parameters first, then metrics, each in order of first appearance."""
        return list(dict.fromkeys([*self._names("config"), *self._names("metrics")]))

    @property
    def rows(self) -> list[list[Any]]:
        """One list of cells per trial, None for a missing value."""
        header = self.header
        return [[(trial.metrics | trial.config).get(name) for name in header] for trial in self.trials]

    def to_frame(self) -> "DataFrame":
        """Return a pandas DataFrame, one row per trial, with additional columns ``trial_seed``, ``trial_seconds``, ...

        Raises
        ------
        ImportError
            If pandas is not installed; run ``pip install 'minidl[pandas]'``.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("SweepResult.to_frame needs pandas; run: pip install 'minidl[pandas]'") from error
        columns = [*self.header, *(f"trial_{name}" for name in TRIAL_FIELDS)]
        return DataFrame(map(row_of, self.trials), columns=columns)

    def __str__(self) -> str:
        return "\n".join([text_table(self.header, self.rows[:_SHOWN]), *self._notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"\n<p>{escape(line)}</p>" for line in self._notes())
        return html_table(self.header, self.rows[:_SHOWN]) + notes

    def _notes(self) -> list[str]:
        """Return the number of trials that the table omits, and the failed trials."""
        notes = [f"... and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        if failed := self.failed:
            notes += [f"failed: {len(failed)} of {len(self)}", *(f"  {trial}" for trial in failed[:_SHOWN])]
            notes += [f"  ... and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
        return notes

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"SweepResult({counted(len(self), 'trial')}{failed}: {', '.join(self.header) or 'empty'})"

    def _names(self, of: str) -> list[str]:
        """Return the names in "config" or "metrics" of the trials, each once, in order of first appearance."""
        return list(dict.fromkeys(name for trial in self.trials for name in getattr(trial, of)))
