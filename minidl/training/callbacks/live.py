"""LiveCurves: the learning curves of a run while it goes on, in a page that renews itself and in a notebook."""

import base64
import sys
import time
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from minidl._core.bars import in_notebook
from minidl._core.checks import as_count, as_path
from minidl._core.errors import InputError
from minidl._core.tables import cell
from minidl._core.texts import legible
from minidl._core.types import Figure, PathLike
from minidl._storage.files import write_whole
from minidl.training.callback import Observer
from minidl.training.history import BESIDES, Monitor, metrics
from minidl.training.trainer import Trainer

if TYPE_CHECKING:
    from minidl.report import blocks


_RENEWAL = 3  # seconds from one look of the browser at the page to the next
_PATIENCE = 20  # times as long as a drawing took must have passed before the next one: it then takes 5 % at most


class LiveCurves(Observer):
    """Draw the learning curves while training goes on, into one HTML file, and in a notebook into one output too.

    Open the file in a browser: it loads itself anew every few seconds, and needs nothing but itself. It shows the
    epoch, when it was written, the curves and the last numbers. When training ends, however it ends, the page says so
    and stays as it is; one whose time of writing is long ago is of a process that was killed.

    Drawing takes no more than about 5 % of the time: epochs that come quickly are drawn together.

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

    def _forget(self) -> None:
        self._begun = False
        self._interrupted = False
        self._failed = False
        self._outside: BaseException | None = None
        self._output: Any = None
        self._rested = 0.0  # the moment from which on the next drawing may begin

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        self._outside = sys.exception()  # of an ``except`` block that the whole fit may stand in
        self._check(trainer.expected_columns)
        import matplotlib.backends.backend_agg  # noqa: F401  (what cannot be drawn must not show after hours)

        self._show(trainer, f"{_position(trainer)}: training has begun", renewed=True)
        self._begun = True

    def _check(self, columns: Collection[str] | None) -> None:
        """Refuse a quantity of which an epoch has neither of both columns; with None, nobody knows them yet."""
        names = None if columns is None else [name.removeprefix("val_") for name in columns]
        for name in self.quantities:
            Monitor(name).check(names, self)

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._check(trainer.history.columns)
        if trainer.epoch % self.every == 0 and perf_counter() >= self._rested:
            self._show(trainer, f"{_position(trainer)}: training goes on", renewed=True)

    def on_interrupt(self, trainer: Trainer) -> None:
        self._interrupted = True

    def on_train_end(self, trainer: Trainer) -> None:
        if self._begun:
            self._show(trainer, f"{_position(trainer)}: {self._end(trainer)}", renewed=False)

    def _end(self, trainer: Trainer) -> str:
        """Return how training ended."""
        error = sys.exception()
        error = None if error is self._outside else error
        if self._interrupted or isinstance(error, KeyboardInterrupt):
            return "training was interrupted"
        if error is not None:
            return f"training ended by an error, {type(error).__name__}: {' '.join(str(error).split()):.400}"
        return "training was stopped early" if trainer.epoch < trainer.last_epoch else "training is finished"

    def _show(self, trainer: Trainer, status: str, *, renewed: bool) -> None:
        start = perf_counter()
        measured = {name.removeprefix("val_") for name in trainer.history.columns}
        names = [name for name in self.quantities or ("cost", "loss", "accuracy") if name in measured]
        if self.path is not None:
            self._write(trainer, names, status, renewed)
        self._display(trainer, names, status)
        end = perf_counter()
        self._rested = end + _PATIENCE * (end - start)

    def _write(self, trainer: Trainer, names: list[str], status: str, renewed: bool) -> None:
        from minidl.report.blocks import Block, Figures, Heading, Paragraph, Table  # importing minidl must stay quick
        from minidl.report.html import to_html

        name = getattr(trainer.train_data, "name", "") or "Training"
        blocks: list[Block] = [Heading(status, 2), Paragraph(f"written {time.strftime('%Y-%m-%d %H:%M:%S')}")]
        if len(trainer.history):
            blocks += [Figures([_figure(name, trainer) for name in names])] if names else []
            blocks += [Table(*_numbers(trainer.history.rows[-1]), "last numbers")]
        else:
            blocks += [Paragraph(f"No epoch {'is finished yet' if renewed else 'was finished'}.")]
        title, renewal = f"{_position(trainer)} · {name}", _RENEWAL if renewed else None
        try:
            write_whole(self.path or "", to_html(title, blocks, heading=name, renewed_after=renewal))
        except OSError as error:
            if not self._begun:
                raise InputError(f"{self!r}: cannot write the page ({error.strerror})") from error
            if not self._failed:
                warnings.warn(f"{self!r}: cannot write the page ({error.strerror}); training goes on", stacklevel=2)
            self._failed = True

    def _display(self, trainer: Trainer, names: list[str], status: str) -> None:
        """Show the curves in the output of a notebook's cell, in the place of those before."""
        if not in_notebook():
            return
        from IPython.display import display

        show: Any = display
        content = {"text/plain": status}
        if len(trainer.history) and names:
            from minidl.plotting.style import content_of

            content["image/png"] = base64.b64encode(content_of(_joint_figure(trainer, names, status), dpi=100)).decode()
        if self._output is None:
            self._output = show(content, raw=True, display_id=True)
        else:
            self._output.update(content, raw=True)


def _position(trainer: Trainer) -> str:
    return f"epoch {trainer.epoch} of {trainer.last_epoch}"


def _figure(name: str, trainer: Trainer) -> "blocks.Figure":
    """Return the curves of a quantity as a figure of the page."""
    from minidl.plotting import plot_curves
    from minidl.plotting.style import content_of
    from minidl.report.blocks import Figure

    row = trainer.history.rows[-1]
    kinds = {"training": name, "validation": f"val_{name}"}
    last = ", ".join(f"{kind} {cell(row[key])}" for kind, key in kinds.items() if key in row)
    alt = f"{name} over {len(trainer.history)} epochs, at last {last}"
    return Figure(Path(f"{name}.png"), content_of(plot_curves(trainer.history, name)), alt, caption="")


def _joint_figure(trainer: Trainer, names: list[str], status: str) -> Figure:
    import matplotlib.figure

    from minidl.plotting import plot_curves

    figure = matplotlib.figure.Figure(figsize=(4.5 * len(names), 3.8), layout="constrained", facecolor="white")
    for name, ax in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        plot_curves(trainer.history, name, ax=ax)
    figure.suptitle(legible(status), fontsize=11, parse_math=False)
    return figure


def _numbers(row: dict[str, int | float]) -> tuple[list[str], list[list[Any]]]:
    """Return the numbers of an epoch as a table: each metric in training and validation, then the rest."""
    rows: list[list[Any]] = [[name, row.get(name), row.get(f"val_{name}")] for name in metrics(row)]
    rows += [[name.replace("_", " "), row[name], None] for name in BESIDES[1:] if name in row]
    return [f"epoch {row['epoch']}", "training", "validation"], rows
