"""ProgressBar: its output on terminals of several widths, without a terminal, and in a notebook."""

import fcntl
import itertools
import os
import re
import signal
import subprocess
import sys
import termios
from contextlib import nullcontext, suppress
from importlib.metadata import version

import numpy as np
import pytest
from gone import KINDS, gone
from notebooks import outputs_of_notebook
from screen import terminal
from tqdm import tqdm
from training_runs import Death, DieAt, at, saved_steps

import minidl as dl
from minidl.training.callbacks import progress

NAMES = ("accuracy", "loss", "cost")
NUMBERS = re.compile(r"(accuracy|loss|cost) ([\d.]+)/(?:val )?([\d.]+)")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("TQDM_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("MINIDL_VERBOSE", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


@pytest.fixture
def slow(monkeypatch):
    """Show all parts of the bars, as if batches were slow."""
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    monkeypatch.setattr(progress, "perf_counter", itertools.count().__next__)


def trainer_with(*callbacks):
    model = dl.Model(dl.Dense(2, 2, rng=0), dl.SoftmaxCrossEntropy(), dl.L2(0.1))
    return dl.Trainer(model, dl.SGD(0.1), callbacks, rng=0)


def fit(*callbacks, epochs=2, trainer=None, **more):
    data = dl.Dataset(np.random.default_rng(0).normal(size=(60, 2)), [0, 1] * 30)
    trainer = trainer or trainer_with(*callbacks)
    trainer.fit(data, data[:31], epochs=epochs, batch_size=6, **more)
    return trainer


def shown(columns, *callbacks, error=None, fits=1, **options):
    """Train on a terminal, write "after", and return (trainer, screen)."""
    with terminal(columns) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        trainer = trainer_with(dl.ProgressBar(file=file), *callbacks)
        for _ in range(fits):
            with pytest.raises(error) if error else nullcontext():
                fit(trainer=trainer, **options)
        print("after", file=file)
    return trainer, screen


# ---- on a terminal


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("columns", [120, 80, 60, 40, 30, 12, 0])
def test_two_lines_while_it_trains_and_one_afterwards(columns):
    _, screen = shown(columns, epochs=12)
    if columns == 0:
        assert screen.lines()[-1] == "after"
        return
    assert screen.wraps == 0
    assert max(map(len, screen.frames)) == 2
    assert max(len(line) for frame in screen.frames for line in frame) <= columns
    batches = [frame[1] for frame in screen.frames if len(frame) == 2]
    assert columns < 40 or max(map(len, batches)) <= columns - 2  # Ctrl-C will show as ^C behind it
    *lines, last = screen.lines()
    assert last == "after"
    assert len(lines) == 1
    if columns >= 20:
        assert re.fullmatch(r"epoch 12/12 (\|█+\|| ) ?in \d\d:\d\d(, .*)?", lines[0])


@pytest.mark.usefixtures("slow")
def test_a_terminal_that_does_not_know_its_size_gets_a_bar_of_80_columns(monkeypatch):
    with terminal(80) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, bytes(8))
        monkeypatch.setattr(sys, "stderr", file)
        fit(dl.ProgressBar())
    (line,) = screen.lines()
    assert re.fullmatch(r"(?=.{,80}$)epoch 2/2 \|█+\| in \d\d:\d\d, accuracy .*", line)


@pytest.mark.parametrize(
    ("columns", "names"),
    [(120, ["accuracy", "loss", "cost"]), (80, ["accuracy", "loss"]), (60, ["accuracy"]), (40, ["loss"]), (30, [])],
)
def test_numbers_are_shown_whole_or_not_at_all(columns, names):
    trainer, screen = shown(columns, epochs=11)
    digits = 2 if columns < 60 else 3
    rows = [
        [(name, *(f"{row[column]:.{digits}f}" for column in (name, f"val_{name}"))) for name in NAMES]
        for row in trainer.history
    ]
    for lines in screen.frames:
        assert {*NUMBERS.findall(lines[0] if lines else "")} <= {number for row in rows for number in row}
    found = NUMBERS.findall(screen.lines()[0])
    assert [name for name, *_ in found] == names
    assert {*found} <= {*rows[-1]}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("columns", [120, 80, 40])
def test_bar_and_numbers_keep_their_places_while_digits_change(columns):
    def jump(trainer):
        np.copyto(trainer.model.parameters["weight"].value, np.diag([-1.0, 0.0]) * [1, 30, 60][trainer.epoch % 3])

    _, screen = shown(columns, dl.LambdaCallback(on_batch_end=jump), epochs=11)
    lines = [frame[0] for frame in screen.frames if frame and "eta" in frame[0]]
    places = [[match.start() for match in re.finditer(r"\||eta|accuracy|loss|cost|/", line)] for line in lines]
    assert len(places) > 100
    assert all(place == places[0] for place in places)
    assert columns == 40 or all(line.count("val ") == 1 for line in lines)


@pytest.mark.usefixtures("slow")
def test_the_epoch_bar_shows_the_time_left_and_the_batch_bar_the_loss_of_the_batch():
    _, screen = shown(80, epochs=3)
    lines = [line for frame in screen.frames for line in frame]
    assert any(re.fullmatch(r"epoch 2/3 \|[█▏▎▍▌▋▊▉ ]+\| eta 00:0\d, accuracy .*", line) for line in lines)
    assert any(re.fullmatch(r"batch  4/10 \|███[█▏▎▍▌▋▊▉ ]+\| loss 0\.\d+", line) for line in lines)


ENDS = {
    "error": (DieAt(14, error=RuntimeError), RuntimeError),
    "interrupt": (DieAt(14, error=KeyboardInterrupt), KeyboardInterrupt),
    "signal": (at("on_batch_end", 14, lambda trainer: signal.raise_signal(signal.SIGINT)), KeyboardInterrupt),
    "stop": (at("on_batch_end", 14, lambda trainer: trainer.stop()), None),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("end", ENDS)
def test_it_is_closed_however_training_ends(end):
    callback, error = ENDS[end]
    _, screen = shown(80, callback, error=error, epochs=3)
    assert not list(tqdm._instances)
    assert [line[:10] for line in screen.lines()] == ["epoch 2/3 ", "after"]
    assert screen.wraps == 0
    assert any(len(frame) == 2 for frame in screen.frames)


def test_a_second_fit_continues_counting():
    _, screen = shown(80, fits=2, epochs=2)
    assert [line[:9] for line in screen.lines()] == ["epoch 2/2", "epoch 4/4", "after"]


@pytest.mark.parametrize("columns", [70, 80, 120])
def test_a_bar_around_the_training_stays_where_it_is(columns):
    with terminal(columns) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        for _ in tqdm(range(2), file=file, desc="settings", dynamic_ncols=True):
            fit(dl.ProgressBar(file=file))
        print("after", file=file)
    lines = screen.lines()
    assert lines[-1] == "after"
    assert lines[-2].startswith("settings: 100%")
    assert "" not in lines
    numbers = r"accuracy [\d.]+/(val )?[\d.]+, loss [\d.]+/[\d.]+(, cost [\d.]+/[\d.]+)?"
    for line in lines[:-2]:  # where the other bar was before, the end of which must not stay
        assert re.fullmatch(rf"epoch \d/\d ( |\|█+\| )in 00:0\d, {numbers}", line)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("step", [10, 14, 20])
def test_the_bar_of_a_resumed_run_starts_at_its_step(tmp_path, step):
    with pytest.raises(Death):
        fit(dl.Checkpoint(tmp_path, every_steps=1), DieAt(step), epochs=4)
    done = saved_steps(tmp_path)[0]
    _, screen = shown(120, dl.Checkpoint(tmp_path), epochs=4, resume_from=tmp_path)
    bar = next(frame[0] for frame in screen.frames if frame and "|" in frame[0]).split("|")[1]
    assert abs((bar.count("█") + 0.5) / len(bar) - (done + 1) / 40) < 0.05
    assert re.search(r"^epoch 4/4 \|█+\| in ", screen.lines()[0])


def test_a_stopped_clock_gives_two_lines(monkeypatch):
    """The number of writes depends on the time alone, not on the number of batches and epochs."""
    monkeypatch.setattr(progress, "perf_counter", lambda: 0.0)
    _, screen = shown(80, epochs=50)
    assert len(screen.frames) < 10


# ---- without a terminal


def test_without_a_terminal_there_is_one_line_per_epoch_on_standard_error(capsys, monkeypatch):
    fit(dl.ProgressBar())
    out, error = capsys.readouterr()
    assert re.fullmatch(r"(epoch \d/2  accuracy \S+/val \S+  loss \S+  cost \S+ +\d\.\d\d s\n){2}", error)
    assert out == ""
    monkeypatch.setattr("sys.stderr", None)
    assert fit(dl.ProgressBar()).epoch == 2


# ---- verbosity


CHOICES = [(0, "TERM=xterm", 0), (2, "TERM=xterm", 2), (2, "MINIDL_VERBOSE=0", 2), (None, "TERM=dumb", 2)]
CHOICES += [(None, "MINIDL_VERBOSE=0", 0), (None, "MINIDL_VERBOSE=2", 2)]


@pytest.mark.parametrize(("verbose", "variable", "lines"), CHOICES)
def test_verbose_and_the_environment_choose_on_a_terminal_too(monkeypatch, verbose, variable, lines):
    monkeypatch.setenv(*variable.split("="))
    with terminal(200) as (screen, descriptor), open(descriptor, "w", closefd=False) as file:
        fit(dl.ProgressBar(verbose, file))
    assert len(screen.lines()) == lines
    assert all(re.match(r"epoch \d/2  accuracy", line) for line in screen.lines())


SMALL = """
import numpy as np, minidl as dl
data = dl.Dataset(np.zeros((40, 2)), [0, 1] * 20)
model = dl.Model(dl.Dense(2, 2, rng=0), dl.SoftmaxCrossEntropy())
history = dl.Trainer(model, dl.SGD(0.1), [dl.ProgressBar()], rng=0).fit(data, data, epochs=3, batch_size=2)
"""
PROGRAM = f"import sys{SMALL}print('after', file=sys.stderr)"


TQDM = {
    "DISABLE": ("1", "after"),
    "NCOLS": ("50", r"epoch 3/3 \|█{7}\| in 00:0\d, accuracy 0.50/0.50\nafter"),
    "ASCII": (" .#", r"epoch 3/3 \|#+\| in 00:0\d, accuracy .*\nafter"),
}


@pytest.mark.parametrize("variable", TQDM)
def test_the_environment_variables_of_tqdm_apply(variable):
    if (variable, version("tqdm")) == ("NCOLS", "4.66.0"):
        pytest.skip("tqdm 4.66.0 itself breaks on TQDM_NCOLS")
    value, pattern = TQDM[variable]
    environment = os.environ | {f"TQDM_{variable}": value}
    with terminal(120) as (screen, descriptor):
        subprocess.run([sys.executable, "-c", PROGRAM], stderr=descriptor, env=environment, check=True)
    assert re.fullmatch(pattern, "\n".join(screen.lines()))


def test_a_wrong_file_is_refused_at_once():
    with pytest.raises(dl.InputError, match="file: expected a text file, got 'log'"):
        dl.ProgressBar(file="log")


@pytest.mark.parametrize("verbose", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_line_that_cannot_be_written_does_not_end_training(monkeypatch, kind, verbose):
    with gone(kind) as file:
        for callback in (dl.ProgressBar(verbose, file=file), dl.ProgressBar(verbose), dl.EarlyStopping("val_loss")):
            monkeypatch.setattr(sys, "stderr", file)
            assert len(fit(callback, epochs=3).history) == 3
    poison = dl.LambdaCallback(on_batch_end=lambda trainer: trainer.model.parameters["weight"].value.fill(np.nan))
    stop = dl.TerminateOnNaN(verbose=verbose)
    assert len(fit(poison, stop, epochs=3, nonfinite="ignore").history) == 1


@pytest.mark.parametrize("verbose", [1, 2])
def test_training_continues_when_its_terminal_closes(monkeypatch, verbose):
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    master, side = os.openpty()
    # Closing the file raises for the unwritten text once more.
    with suppress(OSError), open(side, "w") as file:
        hang_up = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.epoch == 2 and os.close(master))
        bar = dl.ProgressBar(verbose, file=file)
        assert len(fit(bar, hang_up, dl.EarlyStopping("val_loss", patience=9), epochs=5).history) == 5
        assert len(fit(bar, epochs=2).history) == 2


# ---- in a notebook

WITHOUT_WIDGETS = "import sys\nsys.modules['ipywidgets'] = None\n"


def test_in_a_notebook_there_is_a_widget_and_no_batch_bar_stays():
    pytest.importorskip("ipywidgets", reason="needs ipywidgets, of the extra notebook")
    slow = "from minidl.training.callbacks import progress as p\n"
    slow += "p._SLOW, p.perf_counter = 0.0, iter(range(999)).__next__\n"
    outputs, widgets = outputs_of_notebook(slow + SMALL)
    assert {output.output_type for output in outputs} == {"display_data"}
    assert "application/vnd.jupyter.widget-view+json" in outputs[0].data
    bars = [widget for widget in widgets if widget["_model_name"] == "FloatProgressModel"]
    assert sorted((bar["value"], bar["max"], bar["bar_style"]) for bar in bars) == [(20, 20, ""), (60, 60, "success")]
    assert [widget.get("visibility") for widget in widgets].count("hidden") == 1
    texts = "".join(widget["value"] for widget in widgets if widget["_model_name"] == "HTMLModel")
    numbers = "accuracy 0.500/val 0.500, loss 0.693/0.693, cost 0.693/0.693"
    assert re.search(rf"epoch 3/3 .*in 00:0\d, {numbers}", texts.replace("\u2007", " "))


def test_a_notebook_without_ipywidgets_gets_one_line_per_epoch():
    outputs, widgets = outputs_of_notebook(WITHOUT_WIDGETS + SMALL)
    assert widgets == []
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    assert [line[:11] for line in text.splitlines()] == ["epoch 1/3  ", "epoch 2/3  ", "epoch 3/3  "]


def test_an_imported_ipython_is_not_a_notebook():
    pytest.importorskip("ipywidgets", reason="needs ipywidgets, of the extra notebook")
    code = f"import IPython, ipywidgets\n{PROGRAM}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line[:10] for line in run.stderr.splitlines()] == ["epoch 1/3 ", "epoch 2/3 ", "epoch 3/3 ", "after"]
