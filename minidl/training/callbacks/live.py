"""LiveCurves: the learning curves of a run while it trains, on a page that updates itself and in a notebook."""

import sys
import time
import warnings
from collections.abc import Collection, Sequence
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from minidl._core.bars import in_notebook
from minidl._core.checks import as_path
from minidl._core.errors import InputError
from minidl._core.tables import escape
from minidl._core.types import PathLike
from minidl._storage.files import write_whole
from minidl.training.callback import Observer
from minidl.training.describe import percent
from minidl.training.history import History, Monitor, metrics
from minidl.training.trainer import Trainer

if TYPE_CHECKING:
    from minidl.report.blocks import Figure, Table

# The pause between two pages is 60 times as long as writing one took, so that pages take less than 2 % of the time; but
# at most 2.2 seconds.
_PATIENCE, _LONGEST_REST = 60, 2.2

# A page may not read its own file, but it may load it in a hidden frame, which sends back what it shows. So only what
# has changed is replaced. After three frames without an answer (the last page has no script, or the browser forbids
# frames), the page reloads itself.
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
    """Draw the learning curves during training, into one HTML file, and in a notebook also below the cell.

    Open the file in a browser: it shows each epoch within three seconds and needs no other file. It shows the
    optimizer and the regularizer, the elapsed and the remaining time, the curves, and the last epoch's numbers and
    learning rate. When training ends, the page says how, and stops updating. If it was written long ago and does not
    say so, the process was killed.

    Writing the page takes less than 2 % of the time, without matplotlib. Several short epochs share one update.

    Parameters
    ----------
    path : str or PathLike or None
        The file; its folder is created if it is missing. None writes no file: the curves show only in a notebook.
    quantities : sequence of str
        Columns of the history, each drawn with its ``val_`` column; by default cost, loss and accuracy, if measured.

    Raises
    ------
    InputError
        If an argument is invalid; when training begins, if the file cannot be written; before or after the first
        epoch, if there is no such column.

    Warns
    -----
    UserWarning
        Once, if the file cannot be written later on; training continues.
    """

    runs_last = True

    def __init__(self, path: PathLike | None = "live.html", *, quantities: Sequence[str] = ()) -> None:
        self.path = path
        if path is not None:
            as_path("path", path)
        if isinstance(quantities, str) or not all(isinstance(name, str) for name in quantities):
            raise InputError(f"quantities: expected a list of columns of the history, got {quantities!r:.80}")
        self.quantities = tuple(dict.fromkeys(name.removeprefix("val_") for name in quantities))

    def _reset(self) -> None:
        self._begun = False
        self._interrupted = False
        self._failed = False
        self._outside: BaseException | None = None
        self._output: Any = None
        # When this process began, and how many epochs it has finished since.
        self._pace = perf_counter(), 0
        # The status that no page shows yet, and the time from which the next page may be written.
        self._waiting = ""
        self._next_page = 0.0

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        # The whole fit may be inside an ``except`` block.
        self._outside = sys.exception()
        self._check(trainer.expected_columns)
        self._show(trainer, f"{_position(trainer)}: training has begun")
        self._begun = True

    def _check(self, columns: Collection[str] | None) -> None:
        """Refuse a quantity that no column measures; None means that the columns are not known yet."""
        names = None if columns is None else [name.removeprefix("val_") for name in columns]
        for name in self.quantities:
            Monitor(name).check(names, self)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._check(trainer.history.columns)
        self._pace = self._pace[0], self._pace[1] + 1
        self._waiting = f"{_position(trainer)}: training is running"
        self.on_batch_end(trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        # The next epoch may be long, so this does not wait for its end.
        if self._waiting and perf_counter() >= self._next_page:
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
        # Importing minidl must stay quick.
        from minidl.plotting.charts import learning_chart
        from minidl.report.blocks import Figure

        start, self._waiting = perf_counter(), ""
        measured = {name.removeprefix("val_") for name in trainer.history.columns}
        names = [name for name in self.quantities or ("cost", "loss", "accuracy") if name in measured]
        drawn = [(name, learning_chart(trainer.history, name).encode()) for name in names]
        charts = [Figure(Path(f"{name}.svg"), svg, _alt(name, trainer.history), "") for name, svg in drawn]
        if self.path is not None:
            self._write(trainer, charts, status, ended)
        self._display(charts, f"{status}; {self._time(trainer)}")
        end = perf_counter()
        self._next_page = end + min(_LONGEST_REST, _PATIENCE * (end - start))

    def _time(self, trainer: Trainer) -> str:
        """Return the elapsed time, and the remaining time at the same pace."""
        start, epochs = self._pace
        elapsed = perf_counter() - start
        text = f"{timedelta(seconds=round(elapsed))} elapsed"
        left = trainer.last_epoch - trainer.history.rows[-1]["epoch"] if epochs else 0
        return f"{text}, about {timedelta(seconds=round(left * elapsed / epochs))} left" if left else text

    def _write(self, trainer: Trainer, charts: "list[Figure]", status: str, ended: bool) -> None:
        from minidl.report.blocks import Block, Figures, Heading, Paragraph
        from minidl.report.html import to_html

        name = getattr(trainer.train_data, "name", "") or "Training"
        setting = f"{trainer.optimizer}, {trainer.model.regularizer or 'no regularizer'}"
        written = f"{self._time(trainer)}; written {time.strftime('%Y-%m-%d %H:%M:%S')}"
        blocks: list[Block] = [Heading(status, 2), Paragraph([written]), Paragraph([setting])]
        if len(trainer.history):
            drawn = [Figures(charts, columns=min(3, len(charts)))] if charts else []
            blocks += [*drawn, _numbers(trainer.history.rows[-1])]
        else:
            blocks += [Paragraph([f"No epoch {'was finished' if ended else 'is finished yet'}."])]
        page = to_html(f"{_position(trainer)} · {name}", blocks, heading=name, script="" if ended else _SCRIPT)
        try:
            write_whole(self.path or "", page)
        except OSError as error:
            if not self._begun:
                raise InputError(f"{self!r}: cannot write the page ({error.strerror})") from error
            if not self._failed:
                warnings.warn(f"{self!r}: cannot write the page ({error.strerror}); training continues", stacklevel=2)
            self._failed = True

    def _display(self, charts: "list[Figure]", status: str) -> None:
        """Show the curves below a notebook's cell, in place of the previous ones."""
        if not in_notebook():
            return
        from IPython.display import display

        show: Any = display
        drawn = [it.content.decode().replace("role=", f'aria-label="{escape(it.alt)}" role=', 1) for it in charts]
        content = {"text/plain": status, "text/html": "\n".join([f"<p>{escape(status)}</p>", *drawn])}
        if self._output is None:
            self._output = show(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)


def _position(trainer: Trainer) -> str:
    return f"epoch {trainer.epoch} of {trainer.last_epoch}"


def _alt(name: str, history: History) -> str:
    """Return what the chart of a quantity shows."""
    return f"{name} over {len(history)} epochs, last {', '.join(map(' '.join, _texts(history.rows[-1], name).items()))}"


def _texts(row: dict[str, int | float], name: str) -> dict[str, str]:
    """Return a metric in training and validation as texts, shares in per cent; those that were measured."""
    from minidl.plotting.texts import is_share, value_texts

    values = {kind: row[p + name] for kind, p in [("training", ""), ("validation", "val_")] if p + name in row}
    if is_share(name, values.values()):
        return {kind: percent(value) for kind, value in values.items()}
    return dict(zip(values, value_texts([*values.values()]), strict=True))


def _numbers(row: dict[str, int | float]) -> "Table":
    """Return the numbers of an epoch as a table: each metric in training and validation, then the rest."""
    from minidl.report.blocks import Table

    rows: list[list[Any]] = [[name, *map(_texts(row, name).get, ("training", "validation"))] for name in metrics(row)]
    rows += [["learning rate", row["learning_rate"], None], ["seconds per epoch", row["seconds"], None]]
    return Table([f"epoch {row['epoch']}", "training", "validation"], rows, "Numbers of the latest epoch")
