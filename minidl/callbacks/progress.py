"""ProgressBar: how far training is."""

import sys
from typing import TYPE_CHECKING, Any, TextIO

from minidl.callbacks.base import Callback

if TYPE_CHECKING:
    from minidl.trainer import Trainer


class ProgressBar(Callback):
    """One bar over all steps with the last epoch's numbers; where there is no terminal, one line an epoch.

    Parameters
    ----------
    file : text file or None
        Where to write; None is standard error, so that what a program prints stays clean.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._bar: Any = None

    def on_train_begin(self, trainer: "Trainer") -> None:
        if self._stream().isatty():
            from tqdm import tqdm  # here: importing minidl must stay quick

            total = trainer.epochs * trainer.batches_per_epoch
            self._bar = tqdm(total=total, file=self._stream(), unit="batch", dynamic_ncols=True)

    def on_epoch_begin(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.set_description_str(self._position(trainer), refresh=False)

    def on_batch_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, trainer: "Trainer") -> None:
        numbers = {name: value for name, value in trainer.logs.items() if name not in ("epoch", "learning_rate")}
        seconds = numbers.pop("seconds")
        text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
        else:
            print(f"{self._position(trainer)}  {text}  {seconds:.2f} s", file=self._stream(), flush=True)

    def on_train_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _stream(self) -> TextIO:
        return self.file or sys.stderr

    @staticmethod
    def _position(trainer: "Trainer") -> str:
        return f"epoch {trainer.epoch}/{trainer.last_epoch}"

    def __repr__(self) -> str:
        return "ProgressBar()"
