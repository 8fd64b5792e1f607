"""LiveCurves: the learning curves of a run while it goes on, in a page that renews itself and in a notebook."""

import math
import sys
import time
import warnings
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

from minidl._core.bars import in_notebook
from minidl._core.checks import as_count, as_path
from minidl._core.errors import InputError
from minidl._core.tables import cell, escape
from minidl._core.types import PathLike
from minidl._storage.files import write_whole
from minidl.training.callback import Observer
from minidl.training.history import NOT_METRICS, Monitor, metrics
from minidl.training.trainer import Trainer

# After a page was written, the next one waits so many times as long (it then takes less than 2 % of the time), but not
# more seconds than this.
_PATIENCE, _LONGEST_REST = 60, 2.2

# A page may not read a file, but one in a frame may say what it shows. So nothing moves but what has changed. If three
# give no answer (the last page has no script, a browser may forbid frames), the page itself is loaded again.
_SCRIPT = """
const main = document.querySelector("main");
let frame, missed = 0;
function look() {
  frame?.remove();
  if (missed++ > 2) return location.reload();
  frame = Object.assign(document.createElement("iframe"), {hidden: true, src: "?" + Date.now()});
  frame.onload = () => setTimeout(look, 500);
  document.body.append(frame);
}
function show({source, data}) {
  if (source !== frame?.contentWindow) return;
  missed = 0;
  if (main.innerHTML !== data[1]) [document.title, main.innerHTML] = data;
}
addEventListener("message", show);
if (parent === self) look(); else parent.postMessage([document.title, main.innerHTML], "*");
"""


class LiveCurves(Observer):
    """Draw the learning curves while training goes on, into one HTML file, and in a notebook into one output too.

    Open the file in a browser: it shows each epoch within three seconds and needs nothing but itself. It shows the
    optimizer, the regularizer and the learning rate, how long training has run and will still take, the curves, and the
    numbers of the last epoch. When training ends, the page says how, and no longer changes. If the time of writing is
    long ago, the process was killed.

    Writing the page takes less than 2 % of the time, without matplotlib: it shows several short epochs together.

    Parameters
    ----------
    path : str or PathLike or None
        The file; its folder is made if it is missing. None writes none: the curves then show in a notebook alone.
    quantities : sequence of str
        Columns of the history, each drawn with its ``val_`` column; without them cost, loss and accuracy, those that
        are measured.
    every : int
        Draw after every such epoch at most.

    Raises
    ------
    InputError
        If an argument is not as above; when training begins, if the file cannot be written; before or after the first
        epoch, if there is no such column.

    Warns
    -----
    UserWarning
        Once, if the file cannot be written later on: training is worth more than its picture.
    """

    runs_last = True

    def __init__(self, path: PathLike | None = "live.html", *, quantities: Sequence[str] = (), every: int = 1) -> None:
        self.path = path
        if path is not None:
            as_path("path", path)
        if isinstance(quantities, str) or not all(isinstance(name, str) for name in quantities):
            raise InputError(f"quantities: expected a list of columns of the history, got {quantities!r:.80}")
        self.quantities = tuple(dict.fromkeys(name.removeprefix("val_") for name in quantities))
        self.every = as_count("every", every)

    def _reset(self) -> None:
        self._begun = False
        self._interrupted = False
        self._failed = False
        self._outside: BaseException | None = None
        self._output: Any = None
        # When this process began, and how many epochs it has done since.
        self._pace = perf_counter(), 0
        # The epoch that no page shows yet, and the moment from which on the next one may be written.
        self._waiting = ""
        self._rested = 0.0

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        self._outside = sys.exception()  # of an ``except`` block that the whole fit may stand in
        self._check(trainer.expected_columns)
        self._show(trainer, f"{_position(trainer)}: training has begun")
        self._begun = True

    def _check(self, columns: Collection[str] | None) -> None:
        """Refuse a quantity of which an epoch has neither of both columns; with None, nobody knows them yet."""
        names = None if columns is None else [name.removeprefix("val_") for name in columns]
        for name in self.quantities:
            Monitor(name).check(names, self)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._check(trainer.history.columns)
        self._pace = self._pace[0], self._pace[1] + 1
        if trainer.epoch % self.every == 0:
            self._waiting = f"{_position(trainer)}: training is running"
        self.on_batch_end(trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        # Also within the next epoch, which may be a long one.
        if self._waiting and perf_counter() >= self._rested:
            self._show(trainer, self._waiting)

    def on_interrupt(self, trainer: Trainer) -> None:
        self._interrupted = True

    def on_train_end(self, trainer: Trainer) -> None:
        if self._begun:
            self._show(trainer, f"{_position(trainer)}: {self._end(trainer)}", ended=True)

    def _end(self, trainer: Trainer) -> str:
        """Return how training ended."""
        error = sys.exception()
        error = None if error is self._outside else error
        if self._interrupted or isinstance(error, KeyboardInterrupt):
            return "training was interrupted"
        if error is not None:
            return f"training ended by an error, {type(error).__name__}: {' '.join(str(error).split()):.400}"
        return "training was stopped early" if trainer.epoch < trainer.last_epoch else "training is finished"

    def _show(self, trainer: Trainer, status: str, *, ended: bool = False) -> None:
        from minidl.plotting.charts import learning_chart  # importing minidl must stay quick

        start, self._waiting = perf_counter(), ""
        measured = {name.removeprefix("val_") for name in trainer.history.columns}
        names = [name for name in self.quantities or ("cost", "loss", "accuracy") if name in measured]
        rows = trainer.history.rows
        columns = {key: [row.get(key, math.nan) for row in rows] for key in trainer.history.columns}
        charts = {name: learning_chart(columns, name) for name in names}
        alts = {name: _alt(name, trainer) for name in names}
        if self.path is not None:
            self._write(trainer, charts, alts, status, ended)
        self._display(charts, alts, f"{status}; {self._time(trainer)}")
        end = perf_counter()
        self._rested = end + min(_LONGEST_REST, _PATIENCE * (end - start))

    def _time(self, trainer: Trainer) -> str:
        """Return how long training has run, and will at the same pace."""
        start, epochs = self._pace
        elapsed = perf_counter() - start
        text = f"{timedelta(seconds=round(elapsed))} elapsed"
        left = trainer.last_epoch - trainer.history.rows[-1]["epoch"] if epochs else 0
        return f"{text}, about {timedelta(seconds=round(left * elapsed / epochs))} left" if left else text

    def _write(self, trainer: Trainer, charts: dict[str, str], alts: dict[str, str], status: str, ended: bool) -> None:
        from minidl.report.blocks import Block, Figure, Figures, Heading, Paragraph, Table
        from minidl.report.html import to_html

        name = getattr(trainer.train_data, "name", "") or "Training"
        rate = trainer.history.rows[-1]["learning_rate"] if len(trainer.history) else trainer.optimizer.learning_rate
        setting = f"{trainer.optimizer}, {trainer.model.regularizer or 'no regularizer'}, learning rate {cell(rate)}"
        written = f"{self._time(trainer)}; written {time.strftime('%Y-%m-%d %H:%M:%S')}"
        blocks: list[Block] = [Heading(status, 2), Paragraph([written]), Paragraph([setting])]
        if len(trainer.history):
            files = [Figure(Path(f"{key}.svg"), charts[key].encode(), alts[key], "") for key in charts]
            blocks += [Figures(files, columns=min(3, len(files)))] if files else []
            blocks += [Table(*_numbers(trainer.history.rows[-1]), "last numbers")]
        else:
            blocks += [Paragraph([f"No epoch {'was finished' if ended else 'is finished yet'}."])]
        page = to_html(f"{_position(trainer)} · {name}", blocks, heading=name, script="" if ended else _SCRIPT)
        try:
            write_whole(self.path or "", page)
        except OSError as error:
            if not self._begun:
                raise InputError(f"{self!r}: cannot write the page ({error.strerror})") from error
            if not self._failed:
                warnings.warn(f"{self!r}: cannot write the page ({error.strerror}); training goes on", stacklevel=2)
            self._failed = True

    def _display(self, charts: dict[str, str], alts: dict[str, str], status: str) -> None:
        """Show the curves in the output of a notebook's cell, in the place of those before."""
        if not in_notebook():
            return
        from IPython.display import display

        show: Any = display
        drawn = [
            chart.replace("role=", f'aria-label="{escape(alts[name])}" role=', 1) for name, chart in charts.items()
        ]
        content = {"text/plain": status, "text/html": "\n".join([f"<p>{escape(status)}</p>", *drawn])}
        if self._output is None:
            self._output = show(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)


def _position(trainer: Trainer) -> str:
    return f"epoch {trainer.epoch} of {trainer.last_epoch}"


def _alt(name: str, trainer: Trainer) -> str:
    """Return what the chart of a quantity shows."""
    row = trainer.history.rows[-1]
    kinds = {"training": name, "validation": f"val_{name}"}
    last = ", ".join(f"{kind} {cell(row[key])}" for kind, key in kinds.items() if key in row)
    return f"{name} over {len(trainer.history)} epochs, at last {last}"


def _numbers(row: dict[str, int | float]) -> tuple[list[str], list[list[str]]]:
    """Return the numbers of an epoch as a table: each metric in training and validation, then the rest."""
    from minidl.plotting.texts import value_texts

    rows = []
    for name in metrics(row):
        kinds = [key for key in (name, f"val_{name}") if key in row]
        texts = dict(zip(kinds, value_texts([row[key] for key in kinds]), strict=True))
        rows.append([name, texts.get(name, "-"), texts.get(f"val_{name}", "-")])
    rows += [[name.replace("_", " "), cell(row[name]), "-"] for name in NOT_METRICS[1:] if name in row]
    return [f"epoch {row['epoch']}", "training", "validation"], rows
