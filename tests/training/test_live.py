"""LiveCurves: a page and a notebook's output that follow training, and say how it ended."""

import base64
import hashlib
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
from training_runs import Death, DieAt

import minidl as dl
from minidl.training.callbacks import live

DATA = dl.Dataset(np.arange(24.0).reshape(8, 3) % 5, np.arange(8) % 2, name="eight & rows")
SCRIPT = "<script>"


def trainer(*callbacks):
    model = dl.Model(dl.Dense(3, 2, rng=0), dl.SoftmaxCrossEntropy(), dl.L2(0.5))
    return dl.Trainer(model, dl.SGD(0.1), callbacks, rng=0)


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
    """A clock that only moves when a test moves it; a page takes 10 ms."""
    clock, write = SimpleNamespace(now=0.0), live.LiveCurves._write

    def slow_write(self, *arguments):
        write(self, *arguments)
        clock.now += 0.01

    monkeypatch.setattr(live, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(live.LiveCurves, "_write", slow_write)
    return clock


def pictures(page):
    """Return the alternative texts of the charts."""
    return re.findall(r'(?:alt|aria-label)="(\w+ over [^"]*)"', page)


def rows(page):
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)][1:]


@pytest.mark.usefixtures("at_once")
def test_the_page_follows_training_and_comes_to_rest(path):
    look = Look(path)
    t = fit(dl.LiveCurves(path), look)
    for epoch, page in look.pages.items():
        assert SCRIPT in page
        assert f"<title>epoch {epoch} of 3 · eight &amp; rows</title>" in page
        assert re.search(r"written \d{4}-\d\d-\d\d \d\d:\d\d:\d\d<", page)
        assert "SGD(0.1), L2(0.5)" in page
        assert len(pictures(page)) == (3 if epoch else 0)
    assert "epoch 0 of 3: training has begun" in look.pages[0]
    assert "No epoch is finished yet." in look.pages[0]
    assert "epoch 2 of 3: training is running" in look.pages[2]
    last = path.read_text("utf-8")
    assert SCRIPT not in last
    assert "epoch 3 of 3: training is finished" in last
    assert [row[0] for row in rows(last)] == ["cost", "loss", "accuracy", "learning rate", "seconds per epoch"]
    assert all(text.endswith("%") for text in rows(last)[2][1:])
    name, *values = rows(last)[1]
    measured = [t.history[key][-1] for key in ("loss", "val_loss")]
    assert (name, [*map(float, values)]) == ("loss", pytest.approx(measured, rel=1e-3))
    assert re.fullmatch(r"loss over 3 epochs, last training 0\.\d+, validation 0\.\d+", pictures(last)[1])
    # It stands alone.
    assert not re.search(r'(src|href)="(?!data:)', last)
    assert all(part in last for part in ("default-src 'none'", 'name="viewport"', "prefers-color-scheme: dark"))


def test_the_policy_of_the_page_allows_its_one_script(path):
    look = Look(path)
    fit(losses(path), look, epochs=1)
    (script,) = re.findall("<script>(.*?)</script>", look.pages[0], re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; frame-src 'self' file:\">" in look.pages[0]
    assert "script-src" not in path.read_text("utf-8")


@pytest.mark.parametrize("seconds", [5.0, 0.7, 0.1, 0.01])
def test_each_epoch_is_shown_in_time_and_pages_take_a_fiftieth_of_it(path, clock, seconds):
    written, ended = [], []

    def tick(trainer):
        epoch = int(re.search(r"epoch (\d+) of", path.read_text("utf-8"))[1])
        written.extend([epoch] * (epoch not in written))
        # Those that no page shows yet have not waited long; a browser looks every half a second.
        assert all(clock.now - moment < 2.3 for moment in ended[epoch:])
        clock.now += seconds

    callbacks = dl.LambdaCallback(on_batch_end=tick, on_epoch_end=lambda trainer: ended.append(clock.now))
    fit(losses(path), callbacks, epochs=60)
    assert 0.01 * len(written) <= 0.02 * clock.now + 0.01
    assert len(written) == 60 or seconds < 0.5
    assert "epoch 60 of 60: training is finished" in path.read_text("utf-8")


def test_an_epoch_that_waits_is_shown_within_the_next_one(path, clock):
    def tick(trainer):
        clock.now += 0.1 if trainer.epoch == 1 else 2.0
        if trainer.epoch == 2 and trainer.batch == 2:
            assert "epoch 1 of 2: training is running" in path.read_text("utf-8")

    fit(losses(path), dl.LambdaCallback(on_batch_end=tick), epochs=2)


def test_the_page_says_how_long_it_has_taken_and_will_take(path, clock):
    def tick(trainer):
        clock.now += 50.0

    look = Look(path)
    fit(losses(path), look, dl.LambdaCallback(on_batch_end=tick), epochs=40)
    assert "0:01:40 elapsed, about 1:05:00 left; written" in look.pages[1]
    assert "1:06:40 elapsed; written" in path.read_text("utf-8")


def test_what_is_not_measured_is_not_drawn(path):
    fit(dl.LiveCurves(path), validation=None)
    assert [alt.split()[0] for alt in pictures(path.read_text("utf-8"))] == ["cost", "loss", "accuracy"]
    fit(dl.LiveCurves(path), validation=None, train_metrics=False)
    page = path.read_text("utf-8")
    assert pictures(page) == []
    assert [row[0] for row in rows(page)] == ["learning rate", "seconds per epoch"]


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
    assert SCRIPT not in page
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
    assert [alt.partition(",")[0] for alt in pictures(path.read_text("utf-8"))] == [
        "loss over 3 epochs",
        "learning_rate over 3 epochs",
    ]


def test_without_a_path_and_a_notebook_nothing_happens(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fit(dl.LiveCurves(None))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")
    assert repr(dl.LiveCurves(None)) == "LiveCurves(path=None)"


def test_constructing_imports_and_writes_nothing_and_drawing_needs_no_matplotlib(tmp_path):
    code = """
import minidl as dl, os, sys
live = dl.LiveCurves()
print([m for m in ('matplotlib', 'IPython', 'minidl.report') if m in sys.modules], os.listdir())
data = dl.datasets.synthetic_images(20)
model = dl.Model(dl.Dense(3072, 10, rng=1), dl.SoftmaxCrossEntropy())
dl.Trainer(model, dl.SGD(1e-9), [live], rng=0).fit(data.map(dl.Standardizer().fit(data.x)), epochs=1, batch_size=20)
print('matplotlib' in sys.modules, os.listdir())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["[] []", "False ['live.html']"]


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
    assert output["data"]["text/plain"].startswith("epoch 3 of 3: training is finished; 0:00:0")
    assert [alt.split()[0] for alt in pictures(output["data"]["text/html"])] == ["cost", "loss", "accuracy"]
    assert list(tmp_path.iterdir()) == []
