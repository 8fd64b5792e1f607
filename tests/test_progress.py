import io
import re

import numpy as np
import pytest

from minidl import SGD, Callback, Dataset, Dense, Model, ProgressBar, SoftmaxCrossEntropy, Trainer


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit(callbacks, epochs=2):
    data = Dataset(np.zeros((6, 2)), [0, 1] * 3)
    trainer = Trainer(Model(Dense(2, 2, rng=0), SoftmaxCrossEntropy()), SGD(0.1), callbacks, rng=0)
    trainer.fit(data, data, epochs=epochs, batch_size=2)
    return trainer


def test_without_a_terminal_there_is_one_line_an_epoch():
    file = io.StringIO()
    fit([ProgressBar(file)])
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch 2/2  cost 0.69")
    assert "val_accuracy 0.5" in lines[1]
    assert lines[1].endswith(" s")
    assert "\r" not in file.getvalue()


def test_on_a_terminal_one_line_ends_with_the_last_numbers_of_training_and_validation():
    file = Terminal()
    fit([ProgressBar(file)])
    shown = file.getvalue().split("\r")[-1]
    assert shown.startswith("epoch 2/2 100%")
    assert re.search(r"accuracy 0\.5/0\.5  loss 0\.693\d/0\.693\d  cost", shown)
    assert file.getvalue().count("\n") == 1


def test_without_any_standard_error_training_goes_on(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert fit([ProgressBar()]).epoch == 2


def test_it_writes_to_standard_error_and_leaves_standard_output_clean(capsys):
    fit([ProgressBar()])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch 2/2" in captured.err


def test_the_bar_is_closed_when_training_fails():
    class Fail(Callback):
        def on_batch_end(self, trainer):
            raise RuntimeError("no")

    from tqdm import tqdm

    bar = ProgressBar(Terminal())
    with pytest.raises(RuntimeError, match="no"):
        fit([bar, Fail()])
    assert not list(getattr(tqdm, "_instances", []))
    fit([bar])  # and it can be used again
