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
    """The trials of a sweep, in the order of the space, as a table with one column a parameter and one a metric.

    ``Report.table(result.header, result.rows)`` puts it into a report.

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
        """Read the trials of a sweep's file, in the order in which they ended; also while the sweep is still running.

        Raises
        ------
        DataError
            If there is no such file, or a line is not a trial's.
        """
        # Of a key the last trial counts.
        return cls({trial.key: trial for _, trial in read_trials(as_path("path", path))}.values())

    @property
    def failed(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.trials if not trial.ok]

    def __getitem__(self, column: str) -> list[Any]:
        """Return a parameter's or a metric's value of each trial that did not fail, NaN where it has none.

        Where a metric has the name of a parameter, the column is the parameter's.

        Raises
        ------
        InputError
            If there is no such column; the message names the nearest ones.
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
        """Return the `count` best trials by a metric, the best first; of equals the earlier ones.

        Parameters
        ----------
        metric : str
        mode : {"auto", "min", "max"}
            Whether smaller or larger is better; "auto" takes "max" for a metric that ends with "accuracy", "acc", "f1",
            "auc", "precision", "recall" or "r2", else "min".
        count : int

        Raises
        ------
        InputError
            If no trial has such a metric; the message names the nearest ones.
        """
        monitor = Monitor(metric, mode)
        check_known("SweepResult", "metric", metric, self._names("metrics"))
        trials = [trial for trial in self.trials if trial.ok]
        trials.sort(key=lambda trial: monitor.minimised(trial.metrics.get(metric, math.nan)))
        return SweepResult(trials[: as_count("count", count)])

    @property
    def header(self) -> list[str]:
        """The names of the columns: parameters first, then metrics, each as first seen."""
        return list(dict.fromkeys([*self._names("config"), *self._names("metrics")]))

    @property
    def rows(self) -> list[list[Any]]:
        """One list of cells a trial, None where it has no value."""
        header = self.header
        return [[(trial.metrics | trial.config).get(name) for name in header] for trial in self.trials]

    def to_frame(self) -> "DataFrame":
        """Return a pandas DataFrame, one row a trial, with columns ``trial_seed``, ``trial_seconds`` and so on besides.

        Raises
        ------
        ImportError
            Without pandas; ``pip install 'minidl[pandas]'`` brings it.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise ImportError("SweepResult.to_frame needs pandas: pip install 'minidl[pandas]'") from error
        columns = [*self.header, *(f"trial_{name}" for name in TRIAL_FIELDS)]
        return DataFrame(map(row_of, self.trials), columns=columns)

    def __str__(self) -> str:
        return "\n".join([text_table(self.header, self.rows[:_SHOWN]), *self._notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"\n<p>{escape(line)}</p>" for line in self._notes())
        return html_table(self.header, self.rows[:_SHOWN]) + notes

    def _notes(self) -> list[str]:
        """Return how many trials the table leaves out, how many failed, and which ones."""
        notes = [f"... and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        if failed := self.failed:
            notes += [f"failed: {len(failed)} of {len(self)}", *(f"  {trial}" for trial in failed[:_SHOWN])]
            notes += [f"  ... and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
        return notes

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"SweepResult({counted(len(self), 'trial')}{failed}: {', '.join(self.header) or 'empty'})"

    def _names(self, of: str) -> list[str]:
        """Return the names in "config" or "metrics" of the trials, each once, as first seen."""
        return list(dict.fromkeys(name for trial in self.trials for name in getattr(trial, of)))
