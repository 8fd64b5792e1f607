"""SweepResult: the trials of a sweep as a table."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

from minidl._core.checks import as_count, as_path
from minidl._core.errors import DataError, InputError
from minidl._core.spelling import nearest
from minidl._core.tables import escape, html_table, text_table
from minidl._core.types import PathLike
from minidl.sweeps.trial import Trial
from minidl.sweeps.trial_file import read_trials
from minidl.training.history import Monitor

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN = 20


class SweepResult:
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
        file = as_path("path", path)
        if not file.exists():
            raise DataError(f"{file}: there is no such file")
        return cls({trial.key: trial for _, trial in read_trials(file)[0]}.values())  # of a key the last one counts

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
        _check_name("column", column, self.header)
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
            Whether smaller or larger is better; "auto" takes "max" for a metric that ends with "accuracy", else "min".
        count : int

        Raises
        ------
        InputError
            If no trial has such a metric; the message names the nearest ones.
        """
        monitor = Monitor(metric, mode)
        _check_name("metric", metric, [name for trial in self.trials for name in trial.metrics])
        trials = [trial for trial in self.trials if trial.ok]
        trials.sort(key=lambda trial: monitor.minimised(trial.metrics.get(metric, math.nan)))
        return SweepResult(trials[: as_count("count", count)])

    @property
    def header(self) -> list[str]:
        """The names of the columns: parameters first, then metrics, each as first seen."""
        parameters = dict.fromkeys(name for trial in self.trials for name in trial.config)
        return list(parameters | dict.fromkeys(name for trial in self.trials for name in trial.metrics))

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
        of_trial = ("key", "seed", "seconds", "host", "error")
        return DataFrame(
            [t.metrics | t.config | {f"trial_{name}": getattr(t, name) for name in of_trial} for t in self.trials],
            columns=[*self.header, *(f"trial_{name}" for name in of_trial)],
        )

    def __str__(self) -> str:
        more = [f"... and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return "\n".join([text_table(self.header, self.rows[:_SHOWN]), *more, *self._failures()])

    def _repr_html_(self) -> str:
        more = [f"... and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        notes = "".join(f"\n<p>{escape(line)}</p>" for line in [*more, *self._failures()])
        return html_table(self.header, self.rows[:_SHOWN]) + notes

    def _failures(self) -> list[str]:
        """Return a line that counts the failed trials and some that name them."""
        failed = self.failed
        if not failed:
            return []
        more = [f"  ... and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
        return [f"failed: {len(failed)} of {len(self)}", *(f"  {trial}" for trial in failed[:_SHOWN]), *more]

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        trials = f"{len(self)} trial{'' if len(self) == 1 else 's'}"
        return f"SweepResult({trials}{failed}: {', '.join(self.header) or 'empty'})"


def _check_name(what: str, name: object, known: Iterable[str]) -> None:
    """Refuse a name that is not `known`, with the nearest one."""
    known = list(dict.fromkeys(known))
    if name not in known:
        hint = f"; did you mean {meant[0]!r}?" if (meant := nearest(name, known, 1)) else ""
        raise InputError(f"SweepResult: no {what} {name!r}, there is {', '.join(known) or 'nothing'}{hint}")
