"""ProgressBar: show the progress of training."""

import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any, TextIO

from minidl._core.bars import SafeStream, new_bar, verbosity
from minidl._core.errors import InputError
from minidl.training.callback import Observer
from minidl.training.history import metrics
from minidl.training.trainer import Trainer

# An epoch of at least this number of seconds gets a bar of its batches.
_SLOW = 0.5
# A bar with fewer columns is left out.
_SHORT = 8
# A terminal with fewer columns gets shorter numbers; and the columns of a terminal of unknown width.
_NARROW, _USUAL = 55, 80
# Columns of a number in a bar, of a number without decimals, and of a number in a line, which needs more decimals.
_WIDTH, _WHOLE, _FREE = 5, 7, 9
_FIRST = ("accuracy", "loss", "cost")
# The mark between training and validation until the line is complete; the first one is then shown as "/val ".
_SLASH, _LEGEND = "\0", "/val "


class ProgressBar(Observer):
    """A bar that counts the epochs, with the remaining time and the last epoch's numbers as training/validation.

    If an epoch is slow, a second bar below counts its batches; it disappears when training ends. Bar and numbers keep
    their places while digits change; numbers without room on the line are left out. If no bar can be drawn (no
    terminal, ``TERM=dumb``, a notebook without ipywidgets), one line per epoch is printed.

    Parameters
    ----------
    verbose : {0, 1, 2} or None
        0 prints nothing, 1 draws a bar, 2 prints one line per epoch. None takes the value of the environment variable
        ``MINIDL_VERBOSE``, or 1 if it is not set.
    file : text file or None
        Where to write; None is standard error, which keeps the output of the program clean.

    Raises
    ------
    InputError
        If an argument is not as above; when training begins, if ``MINIDL_VERBOSE`` has another value.
    """

    runs_last = True

    def __init__(self, verbose: int | None = None, file: TextIO | None = None) -> None:
        self.verbose = None if verbose is None else verbosity(verbose)
        if file is not None and not hasattr(file, "write"):
            raise InputError(f"file: expected a text file, got {file!r:.80}")
        self.file = file

    def _reset(self) -> None:
        self._started = False
        self._done = 0
        self._bar: Any = None
        self._batches: Any = None
        self._lines: SafeStream | None = None
        self._logs: Mapping[str, float] = {}
        self._shown = 0.0
        self._widths: dict[str, int] = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        self._wanted = verbosity(self.verbose)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self._count(trainer, trainer.batch)
        now = perf_counter()
        # Between epochs, count the time of the last epoch as waiting: after a slow epoch the bar is always updated.
        waited = 0.0 if trainer.batch else trainer.logs.get("seconds", 1.0)
        # Do not update a bar that was updated just now.
        if self._bar is not None and max(now - self._shown, waited) >= self._bar.mininterval:
            self._shown = now
            self._show(trainer, "eta {remaining:>5}")
            self._show_batches(trainer)

    on_batch_end = on_epoch_begin

    def on_epoch_end(self, trainer: Trainer) -> None:
        self._count(trainer, trainer.batches_per_epoch)
        self._logs = trainer.logs
        if self._lines is not None:
            seconds = self._padded("seconds", f"{self._logs['seconds']:.2f} s")
            line = "  ".join([_position(trainer), *self._pairs(self._logs, _FREE), seconds])
            line = line.replace(_SLASH, _LEGEND, 1).replace(_SLASH, "/")
            print(line, file=self._lines, flush=True)

    def on_train_end(self, trainer: Trainer) -> None:
        if self._batches is not None:
            # A notebook would keep an incomplete bar.
            self._batches.n = self._batches.total
            self._batches.close()
        if self._bar is not None:
            self._show(trainer, "in {elapsed}", last=True)
            self._bar.close()
        self._reset()

    def _pairs(self, logs: Mapping[str, float | None], width: int) -> list[str]:
        """Return each metric once, as training/validation, the most important ones first."""
        # Sorting is stable, so the other metrics keep their order.
        names = sorted(metrics(logs), key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
        texts = {key: self._padded(key, _number(value, width)) for key, value in logs.items()}
        values = {name: [texts[key] for key in (name, f"val_{name}") if key in texts] for name in names}
        return [f"{name} {'' if name in texts else 'val '}{_SLASH.join(of)}" for name, of in values.items()]

    def _padded(self, name: str, text: str) -> str:
        """Return `text` padded to the widest text of this name in this run, so that texts beside it do not move."""
        self._widths[name] = max(self._widths.get(name, 0), len(text))
        return text.rjust(self._widths[name])

    def _count(self, trainer: Trainer, batch: int) -> None:
        """Count the finished batches. The first call, which knows where a resumed run continues, draws the bar."""
        self._done = (trainer.epoch - trainer.first_epoch - 1) * trainer.batches_per_epoch + batch
        if self._started:
            return
        self._started = True
        # sys.stderr is None in a program without a console.
        stream = self.file or sys.stderr
        if stream is None or self._wanted == 0:
            return
        if self._wanted == 1:
            total = trainer.epochs * trainer.batches_per_epoch
            self._bar = new_bar(total, stream, initial=self._done, desc=_position(trainer), bar_format="{desc}")
        if self._bar is None:
            self._lines = SafeStream(stream)
        elif self._bar.disable:
            # The environment variable TQDM_DISABLE is set.
            self._bar = None
        elif trainer.history.rows:
            self._logs = trainer.history.rows[-1]

    def _show(self, trainer: Trainer, time: str, *, last: bool = False) -> None:
        bar = self._bar
        bar.n, bar.desc = self._done, _position(trainer)
        facts = bar.format_dict
        start = bar.format_meter(**facts | {"bar_format": f"{{desc}}  {time}", "ncols": None, "postfix": ""})
        # A notebook has room for everything.
        columns = 1000 if hasattr(bar, "container") else facts["ncols"] or _USUAL
        room, numbers = columns - len(start), list[str]()
        # Before the first epoch, reserve room for the numbers that it will measure.
        logs = self._logs or dict.fromkeys(trainer.measured_columns)
        for text in self._pairs(logs, _WIDTH - (columns < _NARROW)):
            # The first number is more important than the bar; the bar is more important than the other numbers.
            if len(text) + 2 <= room - (_SHORT if numbers else 0):
                numbers.append(text)
                room -= len(text) + 2
        postfix = ", ".join(numbers)
        if _SLASH in postfix and room >= _SHORT + len(_LEGEND):
            postfix = postfix.replace(_SLASH, _LEGEND, 1)
            room -= len(_LEGEND) - 1
        bar.set_postfix_str(postfix.replace(_SLASH, "/"), refresh=False)
        # Below a bar of the caller, tqdm finally moves this bar up to that bar's line, so it must cover the whole line.
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
    """Return the bar's placeholder in the format; on a terminal the bar leaves room for the ^C that Ctrl-C prints."""
    return "{bar}" if hasattr(bar, "container") or room < _SHORT else "{bar:-2}"


def _position(trainer: Trainer) -> str:
    return f"epoch {_count_of(trainer.epoch, trainer.last_epoch)}"


def _count_of(done: int, total: int) -> str:
    """Return the text "done/total", padded to its final width."""
    separator = "," if total >= 10_000 else ""
    all_of_them = f"{total:{separator}}"
    return f"{done:{len(all_of_them)}{separator}}/{all_of_them}"


def _number(value: float | None, width: int) -> str:
    """Return a number with at most three decimals that fit into `width`; a tiny or huge number gets a wider text."""
    decimals = min(width, _WIDTH) - 2
    texts = (f"{value:,.{n}f}" for n in range(decimals, -1, -1) if value is not None)
    # A number without decimals may be wider than `width`: it is still shorter than a number with an exponent.
    text = next((text for text in texts if len(text) <= (width if "." in text else max(width, _WHOLE))), "")
    if value and not text.strip("-0."):
        text = f"{value:#.{decimals}g}"
    return (text or "-").rjust(decimals + 2)
