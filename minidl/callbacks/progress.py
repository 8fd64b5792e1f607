"""ProgressBar: how far training is."""

import sys
from typing import TYPE_CHECKING, Any, TextIO

from minidl.callbacks.base import Callback

if TYPE_CHECKING:
    from minidl.trainer import Trainer


class ProgressBar(Callback):
    """One line that counts the epochs down, with the last one's numbers as training/validation; where there is no
    terminal, one line an epoch.

    Parameters
    ----------
    file : text file or None
        Where to write; None is standard error, so that what a program prints stays clean.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._bar: Any = None

    def on_train_begin(self, trainer: "Trainer") -> None:
        stream = self._stream()
        if stream is not None and stream.isatty():
            from tqdm import tqdm  # here: importing minidl must stay quick

            total = trainer.epochs * trainer.batches_per_epoch
            layout = "{desc} {percentage:3.0f}% {elapsed}<{remaining}{postfix}"  # the numbers need the room of the bar
            self._bar = tqdm(total=total, file=stream, dynamic_ncols=True, bar_format=layout)

    def on_batch_begin(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.set_description_str(self._position(trainer), refresh=False)

    def on_batch_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:  # by what is done, since a resumed run does not begin at the beginning
            done = (trainer.epoch - trainer.first_epoch - 1) * trainer.batches_per_epoch + trainer.batch
            self._bar.update(done - self._bar.n)

    def on_epoch_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(_pairs(trainer.logs))
        elif (stream := self._stream()) is not None:
            numbers = {k: v for k, v in trainer.logs.items() if k not in ("epoch", "learning_rate", "seconds")}
            text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            print(f"{self._position(trainer)}  {text}  {trainer.logs['seconds']:.2f} s", file=stream, flush=True)

    def on_train_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _stream(self) -> TextIO | None:
        return self.file or sys.stderr  # which is None in a program without a console

    @staticmethod
    def _position(trainer: "Trainer") -> str:
        return f"epoch {trainer.epoch}/{trainer.last_epoch}"

    def __repr__(self) -> str:
        return "ProgressBar()"


_FIRST = ("accuracy", "loss", "cost")


def _pairs(logs: dict[str, float]) -> str:
    """Show each metric once, as training/validation, the telling ones first: what has no room on the line is cut."""
    metrics = [name for name in logs if name not in ("epoch", "learning_rate", "seconds")]
    plain = dict.fromkeys(name.removeprefix("val_") for name in metrics)
    names = [name for name in _FIRST if name in plain] + [name for name in plain if name not in _FIRST]
    values = {name: [logs[key] for key in (name, f"val_{name}") if key in logs] for name in names}
    return "  ".join(f"{name} {'/'.join(f'{value:.4g}' for value in values[name])}" for name in names)
