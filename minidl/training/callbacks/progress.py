"""ProgressBar: how far training is."""

import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any, TextIO

from minidl._core.bars import Expendable, new_bar, verbosity
from minidl._core.errors import InputError
from minidl.training.callback import Observer
from minidl.training.history import metrics
from minidl.training.trainer import Trainer

# Seconds: what takes less is not worth a bar of its own.
_SLOW = 0.5
# Columns: a bar that has less is left out.
_SHORT = 8
# Columns of a terminal: one with less gets shorter numbers; one that does not say.
_NARROW, _USUAL = 55, 80
# Of a number in a bar, and of one without decimals; and in a line, where decimals matter more than length.
_WIDTH, _WHOLE, _FREE = 5, 7, 9
_FIRST = ("accuracy", "loss", "cost")
# Between two numbers, until the line is whole; and what shows there once, so that a reader knows which is which.
_SLASH, _LEGEND = "\0", "/val "


class ProgressBar(Observer):
    """A bar that counts the epochs, with the time left and the last epoch's numbers as training/validation.

    A second bar below counts the batches of an epoch, where that takes a while, and is gone when training ends. Bar and
    numbers keep their places while digits change; numbers that have no room on their line are left out. Where no bar
    can be drawn (no terminal, ``TERM=dumb``, a notebook without ipywidgets) there is one line per epoch.

    Parameters
    ----------
    verbose : {0, 1, 2} or None
        Nothing, a bar, or a line an epoch; None takes what the environment variable ``MINIDL_VERBOSE`` says, else 1.
    file : text file or None
        Where to write; None is standard error, so that what a program prints stays clean.

    Raises
    ------
    InputError
        If an argument is not as above; when training begins, if ``MINIDL_VERBOSE`` is not.
    """

    runs_last = True

    def __init__(self, verbose: int | None = None, file: TextIO | None = None) -> None:
        self.verbose = None if verbose is None else verbosity(verbose)
        if file is not None and not hasattr(file, "write"):
            raise InputError(f"file: expected a text file, got {file!r:.80}")
        self.file = file

    def _reset(self) -> None:
        self._begun = False
        self._done = 0
        self._bar: Any = None
        self._batches: Any = None
        self._lines: Expendable | None = None
        self._logs: Mapping[str, float] = {}
        self._shown = 0.0
        self._widths: dict[str, int] = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        self._wanted = verbosity(self.verbose)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._count(trainer, trainer.batch)
        now = perf_counter()
        # Before an epoch the next chance may come late, as this one has if the last epoch was a slow one.
        waited = 0.0 if trainer.batch else trainer.logs.get("seconds", 1.0)
        # Not if it was shown just now, and nothing that took its time has happened since.
        if self._bar is not None and max(now - self._shown, waited) >= self._bar.mininterval:
            self._shown = now
            self._show(trainer, "eta {remaining:>5}")
            self._show_batches(trainer)

    on_batch_end = on_epoch_begin

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._count(trainer, trainer.batches_per_epoch)
        self._logs = trainer.logs
        if self._lines is not None:
            seconds = self._steady("seconds", f"{self._logs['seconds']:.2f} s")
            line = "  ".join([_position(trainer), *self._pairs(self._logs, _FREE), seconds])
            line = line.replace(_SLASH, _LEGEND, 1).replace(_SLASH, "/")
            print(line, file=self._lines, flush=True)

    def on_train_end(self, trainer: Trainer) -> None:
        if self._batches is not None:
            self._batches.n = self._batches.total  # a notebook keeps what is not complete
            self._batches.close()
        if self._bar is not None:
            self._show(trainer, "in {elapsed}", last=True)
            self._bar.close()
        self._reset()

    def _pairs(self, logs: Mapping[str, float | None], width: int) -> list[str]:
        """Return each metric once, as training/validation, the most telling ones first."""
        # Sorting keeps the order of all others.
        names = sorted(metrics(logs), key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        texts = {key: self._steady(key, _number(value, width)) for key, value in logs.items()}
        values = {name: [texts[key] for key in (name, f"val_{name}") if key in texts] for name in names}
        return [f"{name} {'' if name in texts else 'val '}{_SLASH.join(of)}" for name, of in values.items()]

    def _steady(self, what: str, text: str) -> str:
        """Return `text` as wide as the widest of its kind in this run: what stands beside it keeps its place."""
        self._widths[what] = max(self._widths.get(what, 0), len(text))
        return text.rjust(self._widths[what])

    def _count(self, trainer: Trainer, batch: int) -> None:
        """Count the batches done, and at first, when it is known where a resumed run goes on, draw the bar."""
        self._done = (trainer.epoch - trainer.first_epoch - 1) * trainer.batches_per_epoch + batch
        if self._begun:
            return
        self._begun = True
        stream = self.file or sys.stderr  # which is None in a program without a console
        if stream is None or self._wanted == 0:
            return
        if self._wanted == 1:
            total = trainer.epochs * trainer.batches_per_epoch
            self._bar = new_bar(total, stream, initial=self._done, desc=_position(trainer), bar_format="{desc}")
        if self._bar is None:
            self._lines = Expendable(stream)
        elif self._bar.disable:  # by TQDM_DISABLE
            self._bar = None
        elif trainer.history.rows:
            self._logs = trainer.history.rows[-1]

    def _show(self, trainer: Trainer, time: str, *, last: bool = False) -> None:
        bar = self._bar
        bar.n, bar.desc = self._done, _position(trainer)
        facts = bar.format_dict
        start = bar.format_meter(**facts | {"bar_format": f"{{desc}}  {time}", "ncols": None, "postfix": ""})
        columns = 1000 if hasattr(bar, "container") else facts["ncols"] or _USUAL  # a notebook has room
        room, numbers = columns - len(start), list[str]()
        # Before the first epoch the places are kept for what it will measure.
        logs = self._logs or dict.fromkeys(trainer.measured_columns)
        for text in self._pairs(logs, _WIDTH - (columns < _NARROW)):
            # The first number counts for more than the bar, and that for more than the others.
            if len(text) + 2 <= room - (_SHORT if numbers else 0):
                numbers.append(text)
                room -= len(text) + 2
        postfix = ", ".join(numbers)
        if _SLASH in postfix and room >= _SHORT + len(_LEGEND):
            postfix = postfix.replace(_SLASH, _LEGEND, 1)
            room -= len(_LEGEND) - 1
        bar.set_postfix_str(postfix.replace(_SLASH, "/"), refresh=False)
        # Below a bar of the caller's, this one goes up to that one's line at last: nothing of it must stay behind it.
        whole = last and bar.pos != 0
        graph = "{bar}" if whole else _graph(bar, room)
        bar.bar_format = (f"{{desc}} |{graph}| " if room >= _SHORT else "{desc}  ") + time + "{postfix}"
        bar.bar_format += " " * room if whole and room < _SHORT else ""
        if room < 0:
            bar.desc, bar.bar_format = bar.desc[:columns], "{desc}"
        bar.refresh()

    def _show_batches(self, trainer: Trainer) -> None:
        total = trainer.batches_per_epoch
        if self._batches is None and trainer.epoch_seconds >= _SLOW and trainer.batch < total:
            self._batches = new_bar(total, self.file or sys.stderr, leave=False, bar_format="{desc}")
        if (bar := self._batches) is not None:
            bar.n, bar.desc = trainer.batch, f"batch {_count_of(trainer.batch, total)}"
            loss = trainer.logs.get("batch_loss")
            text = f" loss {_number(loss, _WIDTH)}" if loss is not None else ""
            room = (bar.format_dict["ncols"] or _USUAL) - len(f"{bar.desc} ||{text}")
            bar.bar_format = f"{{desc}} |{_graph(bar, room)}|{text}"
            bar.refresh()


def _graph(bar: Any, room: int) -> str:
    """Return the bar itself, for a layout: on a terminal it leaves room for the ^C that Ctrl-C shows behind it."""
    return "{bar}" if hasattr(bar, "container") or room < _SHORT else "{bar:-2}"


def _position(trainer: Trainer) -> str:
    return f"epoch {_count_of(trainer.epoch, trainer.last_epoch)}"


def _count_of(done: int, total: int) -> str:
    """Return how many are done, as wide as when all are."""
    separator = "," if total >= 10_000 else ""
    all_of_them = f"{total:{separator}}"
    return f"{done:{len(all_of_them)}{separator}}/{all_of_them}"


def _number(value: float | None, width: int) -> str:
    """Return a number with three decimals, or those that `width` has room for; a tiny or huge one gets a wider text."""
    decimals = min(width, _WIDTH) - 2
    texts = (f"{value:,.{n}f}" for n in range(decimals, -1, -1) if value is not None)
    # A whole number is longer, but shorter than one with an exponent.
    text = next((text for text in texts if len(text) <= (width if "." in text else max(width, _WHOLE))), "")
    if value and not text.strip("-0."):
        text = f"{value:#.{decimals}g}"
    return (text or "-").rjust(decimals + 2)
