"""Ctrl-C and SIGTERM: the step is finished, the run is saved, the bar is closed, and a second signal does not wait."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from training_runs import RUNS, everything, fit, seeded, sgd_with_momentum

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths

EXITS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


class SignalAt(dl.Callback):
    """Sends signals to this process in the middle of a step."""

    def __init__(self, step, *numbers):
        self.step, self.numbers, self.at_end = step, numbers, None

    def on_batch_begin(self, trainer):
        if trainer.step + 1 == self.step:
            for number in self.numbers:
                signal.raise_signal(number)

    def on_train_end(self, trainer):
        self.at_end = trainer.step, trainer.batch


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def same_handlers_afterwards():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    after = [signal.getsignal(number) for number in numbers]
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    assert after == before


@pytest.mark.parametrize("number", EXITS)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_the_step_is_finished_and_the_run_goes_on_later(tmp_path, run, number, step):
    whole, arguments = seeded(run)
    fit(whole, arguments)
    step = min(step, whole.step)
    note = SignalAt(step, number)
    trainer, arguments = seeded(run, [note, dl.Checkpoint(tmp_path, every_epochs=None, every_steps=1000)])
    with pytest.raises(EXITS[number]) as exit:
        fit(trainer, arguments)
    if number == signal.SIGTERM:
        assert exit.value.code == 143
    assert trainer.step == step
    assert note.at_end == (step, step % 3 or 3)  # all three batches of an epoch may be done, and not yet measured
    assert len(trainer.history) == (step - 1) // 3
    assert [path.name for path in checkpoint_paths(tmp_path)] == [f"checkpoint-{step:09d}.safetensors"]
    again, arguments = run([SignalAt(0), dl.Checkpoint(tmp_path)])
    fit(again, arguments, resume_from=tmp_path)
    assert everything(again) == everything(whole)


def test_after_ctrl_c_the_session_goes_on_with_the_same_trainer(tmp_path):
    trainer, arguments = seeded(sgd_with_momentum, [SignalAt(5, signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, arguments)
    assert len(trainer.history) == 1
    assert 0 <= trainer.model.evaluate(trainer.train_data)["accuracy"] <= 1
    fit(trainer, arguments, 1)
    assert [row["epoch"] for row in trainer.history] == [1, 3]  # the second one was not finished


def test_the_bar_is_closed():
    from tqdm import tqdm

    terminal = Terminal()
    trainer, arguments = sgd_with_momentum([dl.ProgressBar(file=terminal), SignalAt(5, signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, arguments)
    assert terminal.getvalue().endswith("\n")
    assert not tqdm._instances


def test_a_second_signal_does_not_wait(tmp_path):
    trainer, arguments = sgd_with_momentum([SignalAt(5, signal.SIGINT, signal.SIGINT), dl.Checkpoint(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, arguments)
    assert trainer.step == 4
    assert len(checkpoint_paths(tmp_path)) == 1  # of the first epoch


def test_a_signal_while_an_epoch_is_measured_is_heeded_after_it(tmp_path):
    class Late(dl.Callback):
        def on_epoch_end(self, trainer):
            signal.raise_signal(signal.SIGTERM)

    trainer, arguments = sgd_with_momentum([Late(), dl.Checkpoint(tmp_path, every_epochs=2)])
    with pytest.raises(SystemExit):
        fit(trainer, arguments)
    assert len(trainer.history) == 1
    assert len(checkpoint_paths(tmp_path)) == 1


def test_a_handler_of_the_programs_own_is_called_once_all_is_saved(tmp_path):
    calls = []
    signal.signal(signal.SIGTERM, lambda number, frame: calls.append(len(checkpoint_paths(tmp_path))))
    try:
        trainer, arguments = sgd_with_momentum([SignalAt(2, signal.SIGTERM), dl.Checkpoint(tmp_path)])
        history = fit(trainer, arguments)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert calls == [1]
    assert trainer.step == 2
    assert len(history) == 0


def test_a_signal_that_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        trainer, arguments = sgd_with_momentum([SignalAt(2, signal.SIGINT)])
        fit(trainer, arguments)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert trainer.step == 9


def test_outside_the_main_thread_handlers_are_left_alone():
    seen, outcome = [], []

    class Look(dl.Callback):
        def on_batch_end(self, trainer):
            seen.append(signal.getsignal(signal.SIGINT))

    def work():
        trainer, arguments = sgd_with_momentum([Look()])
        outcome.append(len(fit(trainer, arguments)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcome == [3]
    assert set(seen) == {before}


def test_an_error_and_a_signal_at_once_show_the_error():
    class Bug(dl.Callback):
        def on_batch_end(self, trainer):
            raise RuntimeError("a bug")

    trainer, arguments = sgd_with_momentum([SignalAt(2, signal.SIGINT), Bug()])
    with pytest.raises(RuntimeError, match="a bug"):
        fit(trainer, arguments)


PROGRAM = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import minidl as dl
    from training_runs import sgd_with_momentum, fit

    class Slow(dl.Callback):
        def on_batch_begin(self, trainer):
            print("batch", trainer.step + 1, flush=True)
            time.sleep({sleep})

    trainer, arguments = sgd_with_momentum([Slow(), dl.Checkpoint({directory!r}, every_epochs=1000)])
    try:
        fit(trainer, arguments, epochs=1000, resume_from={directory!r})
    finally:
        print("left after", trainer.step, flush=True)
"""


def start(directory, sleep=0.05):
    text = textwrap.dedent(
        PROGRAM.format(tests=str(Path(__file__).parent.parent / "support"), directory=str(directory), sleep=sleep)
    )
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(program, line):
    for said in program.stdout:
        if said.strip() == line:
            return
    raise AssertionError(program.stderr.read())


@pytest.mark.parametrize("number", EXITS)
def test_a_program_leaves_with_the_status_that_a_shell_expects(tmp_path, number):
    with start(tmp_path) as program:
        wait_for(program, "batch 2")
        program.send_signal(number)
        out, error = program.communicate(timeout=60)
    # Python ends itself by SIGINT after an uncaught KeyboardInterrupt; a shell shows 130 for that.
    assert program.returncode == {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}[number], error
    left = int(out.split("left after")[1])
    assert [path.name for path in checkpoint_paths(tmp_path)] == [f"checkpoint-{left:09d}.safetensors"]


def test_a_shell_shows_130(tmp_path):
    if os.name != "posix":
        pytest.skip("needs a POSIX shell")
    text = "import signal, minidl as dl; from test_interrupts import *; "
    text += "t, a = sgd_with_momentum([SignalAt(2, signal.SIGINT)]); fit(t, a)"
    command = ["sh", "-c", '"$0" -c "$1" 2> /dev/null; echo $?', sys.executable, text]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{Path(__file__).parent.parent / 'support'}{os.pathsep}{Path(__file__).parent}",
    }
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout.strip() == "130"


def test_a_second_sigterm_ends_a_program_at_once(tmp_path):
    with start(tmp_path, sleep=30) as program:
        wait_for(program, "batch 1")
        program.terminate()
        program.send_signal(signal.SIGCONT)  # so that the two do not melt into one
        for _ in range(200):
            program.terminate()
            try:
                program.wait(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        assert program.returncode == -signal.SIGTERM
    assert checkpoint_paths(tmp_path) == []


def test_killed_by_terms_at_many_moments_it_always_leaves_a_checkpoint(tmp_path):
    """SIGTERM at some moments of a run, again and again on the same directory: 143 each time, and it gets further."""
    done = 0
    for pause in (1, 2, 3, 2, 1):
        with start(tmp_path, sleep=0.001) as program:
            wait_for(program, f"batch {done + pause}")
            program.terminate()
            out, error = program.communicate(timeout=60)
        assert program.returncode == 143, error
        left = int(out.split("left after")[1])
        assert left >= done + pause
        assert checkpoint_paths(tmp_path)[0].name == f"checkpoint-{left:09d}.safetensors"
        done = left
