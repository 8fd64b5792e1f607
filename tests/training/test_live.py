"""LiveCurves: a page and a notebook's output that follow training, and say how it ended."""

import base64
import io
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from notebooks import outputs_of_notebook
from PIL import Image
from training_runs import Death, DieAt

import minidl as dl
from minidl.training.callbacks import live

DATA = dl.Dataset(np.arange(24.0).reshape(8, 3) % 5, np.arange(8) % 2, name="eight & rows")
REFRESH = '<meta http-equiv="refresh" content="3">'


def trainer(*callbacks):
    return dl.Trainer(dl.Model(dl.Dense(3, 2, rng=0), dl.SoftmaxCrossEntropy()), dl.SGD(0.1), callbacks, rng=0)


def fit(*callbacks, epochs=3, validation=DATA, **options):
    t = trainer(*callbacks)
    t.fit(DATA, validation, epochs=epochs, batch_size=4, **options)
    return t


def losses(path, **options):
    return dl.LiveCurves(path, quantities=["loss"], **options)


class Look(dl.Callback):
    """Keeps the page as it is after each epoch, and can do something then."""

    runs_last = True

    def __init__(self, path, act=lambda trainer: None):
        self.path, self.act, self.pages = path, act, {}

    def on_epoch_begin(self, trainer):
        self.pages[trainer.epoch - 1] = self.path.read_text("utf-8")

    def on_epoch_end(self, trainer):
        self.pages[trainer.epoch] = self.path.read_text("utf-8")
        self.act(trainer)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "live.html"


@pytest.fixture
def at_once(monkeypatch):
    """Every epoch is drawn, however short."""
    monkeypatch.setattr(live, "_PATIENCE", 0)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is told to; a drawing takes a second."""
    clock, write = SimpleNamespace(now=0.0), live.LiveCurves._write

    def slow_write(self, *arguments):
        write(self, *arguments)
        clock.now += 1.0

    monkeypatch.setattr(live, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(live.LiveCurves, "_write", slow_write)
    return clock


def pictures(page):
    return re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', page)


def width_of(picture):
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return image.width


def rows(page):
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)][1:]


@pytest.mark.usefixtures("at_once")
def test_the_page_follows_training_and_comes_to_rest(path):
    look = Look(path)
    t = fit(dl.LiveCurves(path), look)
    for epoch, page in look.pages.items():
        assert REFRESH in page
        assert f"<title>epoch {epoch} of 3 · eight &amp; rows</title>" in page
        assert re.search(r"written \d{4}-\d\d-\d\d \d\d:\d\d:\d\d<", page)
        assert len(pictures(page)) == (3 if epoch else 0)
    assert "epoch 0 of 3: training has begun" in look.pages[0]
    assert "No epoch is finished yet." in look.pages[0]
    assert "epoch 2 of 3: training goes on" in look.pages[2]
    last = path.read_text("utf-8")
    assert REFRESH not in last
    assert "epoch 3 of 3: training is finished" in last
    assert [row[0] for row in rows(last)] == ["cost", "loss", "accuracy", "learning rate", "seconds"]
    assert rows(last)[1] == ["loss", *(f"{t.history[key][-1]:.4g}" for key in ("loss", "val_loss"))]
    picture, alt = pictures(last)[1]
    assert width_of(picture) == 645
    assert re.fullmatch(r"loss over 3 epochs, at last training 0\.\d+, validation 0\.\d+", alt)
    # It stands alone.
    assert not re.search(r'(src|href)="(?!data:)', last)
    assert all(part in last for part in ("default-src 'none'", 'name="viewport"', "prefers-color-scheme: dark"))


def test_drawing_takes_a_twentieth_of_the_time_at_most(path, clock):
    drawn = []

    def tick(trainer):
        drawn.append(int(re.search(r"epoch (\d+) of", path.read_text("utf-8"))[1]))
        clock.now += 1.0

    fit(losses(path), dl.LambdaCallback(on_epoch_end=tick), epochs=50)
    assert sorted(set(drawn)) == [0, 20, 40]  # 20 s after the first page was done, and 20 s after the second
    assert "epoch 50 of 50: training is finished" in path.read_text("utf-8")


@pytest.mark.usefixtures("at_once")
def test_every_leaves_epochs_out(path):
    look = Look(path)
    fit(losses(path, every=2), look, epochs=5)
    assert [f"epoch {k} of 5:" in look.pages[k] for k in range(1, 6)] == [False, True, False, True, False]


def test_what_is_not_measured_is_not_drawn(path):
    fit(dl.LiveCurves(path), validation=None)
    assert [alt.split()[0] for _, alt in pictures(path.read_text("utf-8"))] == ["cost", "loss", "accuracy"]
    fit(dl.LiveCurves(path), validation=None, train_metrics=False)
    page = path.read_text("utf-8")
    assert pictures(page) == []
    assert [row[0] for row in rows(page)] == ["learning rate", "seconds"]


# ---- how it ends


interrupt = dl.LambdaCallback(on_epoch_end=lambda trainer: signal.raise_signal(signal.SIGINT))


@pytest.mark.parametrize(
    ("end", "error", "words"),
    [
        (dl.LambdaCallback(on_epoch_end=lambda t: t.stop()), None, "epoch 1 of 3: training was stopped early"),
        (DieAt(4, moment="epoch", error=KeyboardInterrupt), KeyboardInterrupt, "epoch 2 of 3: training was inter"),
        (DieAt(4, moment="epoch", error=ValueError("<a\nb>")), ValueError, "by an error, ValueError: &lt;a b&gt;"),
        (interrupt, KeyboardInterrupt, "epoch 1 of 3: training was interrupted"),
        (DieAt(1), Death, "No epoch was finished."),
    ],
)
def test_the_last_page_says_how_training_ended(path, end, error, words):
    with nullcontext() if error is None else pytest.raises(error):
        fit(losses(path), end)
    page = path.read_text("utf-8")
    assert words in page
    assert REFRESH not in page
    assert len(pictures(page)) == (error is not Death)


def test_a_second_fit_begins_anew_and_within_an_except_block_too(path):
    callback = losses(path)
    try:
        fit(callback, interrupt)
    except KeyboardInterrupt:
        fit(callback, epochs=1)
    assert "training is finished" in path.read_text("utf-8")


@pytest.mark.usefixtures("at_once")
def test_a_page_that_cannot_be_written_later_does_not_end_training(path, monkeypatch):
    def full(trainer):
        monkeypatch.setattr(live, "write_whole", Mock(side_effect=OSError(28, "No space left on device")))

    with pytest.warns(UserWarning, match="cannot write the page \\(No space left on device\\)") as told:
        assert fit(losses(path), Look(path, full), epochs=4).epoch == 4
    assert len(told) == 1
    assert "epoch 1 of 4" in path.read_text("utf-8")


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": 3}, "path: expected the name of a file"),
        ({"quantities": "loss"}, "quantities: expected a list of columns of the history, got 'loss'"),
        ({"quantities": [3]}, "quantities: expected a list of columns"),
        ({"every": 0}, "every: expected an integer >= 1"),
    ],
)
def test_wrong_arguments_are_refused(options, words):
    with pytest.raises(dl.InputError, match=words):
        dl.LiveCurves(**options)


def test_a_quantity_that_is_misspelt_is_refused_at_once_and_one_that_another_could_add_after_it(path):
    with pytest.raises(dl.InputError, match=r"an epoch has no 'acuracy'; the nearest names are .*accuracy"):
        fit(dl.LiveCurves(path, quantities=["loss", "acuracy"]))
    assert not path.exists()
    with pytest.raises(dl.InputError, match=r"LiveCurves.*an epoch has no 'top5'"):
        fit(dl.LiveCurves(path, quantities=["top5"]), Look(path))


def test_a_quantity_may_be_measured_in_validation_alone_or_be_no_metric(path):
    fit(dl.LiveCurves(path, quantities=["val_loss", "learning_rate"]), train_metrics=False)
    alts = [alt for _, alt in pictures(path.read_text("utf-8"))]
    assert [alt.partition(",")[0] for alt in alts] == ["loss over 3 epochs", "learning_rate over 3 epochs"]


def test_without_a_path_and_a_notebook_nothing_happens(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fit(dl.LiveCurves(None))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
    assert repr(dl.LiveCurves(None)) == "LiveCurves(path=None)"


def test_constructing_imports_and_writes_nothing(tmp_path):
    code = "import minidl, sys; minidl.LiveCurves(); print([m for m in ('matplotlib', 'IPython') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []


# ---- in a notebook


def test_in_a_notebook_one_output_is_updated_in_place(tmp_path):
    cell = """
import numpy as np, minidl as dl
from minidl.training.callbacks import live
live._PATIENCE = 0
data = dl.Dataset(np.arange(24.0).reshape(8, 3), np.arange(8) % 2)
model = dl.Model(dl.Dense(3, 2, rng=0), dl.SoftmaxCrossEntropy())
history = dl.Trainer(model, dl.SGD(0.01), [dl.LiveCurves(None)], rng=0).fit(data, data, epochs=3, batch_size=4)
"""
    (output,), _ = outputs_of_notebook(cell, tmp_path)
    assert output["output_type"] == "display_data"
    assert output["data"]["text/plain"] == "epoch 3 of 3: training is finished"
    assert width_of(output["data"]["image/png"]) == 1350
    assert list(tmp_path.iterdir()) == []
