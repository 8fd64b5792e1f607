"""Ctrl-C and SIGTERM: the step is finished, the run is saved, the bar is closed, and a second signal does not wait."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from faulty_os import exit_status_of, start_child
from training_runs import RUNS, Death, DieAt, ended_by, everything, fit, saved_steps, trained, undisturbed, usual_run

import minidl as dl

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


interrupted = partial(ended_by, KeyboardInterrupt)


@pytest.fixture(autouse=True)
def same_handlers_afterwards():
    before = {number: signal.getsignal(number) for number in EXITS}
    yield
    after = {number: signal.getsignal(number) for number in EXITS}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("number", EXITS)
def test_a_process_that_was_forked_in_training_does_not_wait(number):
    statuses = []
    reading, writing = os.pipe()

    def fork(trainer):
        if trainer.step == 2:
            helper = start_child(lambda: (os.write(writing, b"!"), time.sleep(120)))
            assert os.read(reading, 1) == b"!"
            os.kill(helper, number)
            statuses.append(exit_status_of(helper))

    with open(reading), open(writing, "w"):
        trainer = ended_by(EXITS[number], dl.LambdaCallback(on_batch_end=fork), SignalAt(5, number))
    assert trainer.step == 5
    assert statuses == [-signal.SIGTERM if number == signal.SIGTERM else 1]


@pytest.mark.parametrize("number", EXITS)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_the_step_is_finished_and_the_run_can_be_resumed(tmp_path, run, number, step):
    expected = undisturbed(run)
    step = min(step, expected["counters"][2])
    note = SignalAt(step, number)
    trainer = ended_by(EXITS[number], note, dl.Checkpoint(tmp_path, every_epochs=None, every_steps=1000), run=run)
    assert trainer.step == step
    assert note.at_end == (step, step % 3 or 3)  # all three batches of an epoch may be done, and not yet measured
    assert len(trainer.history) == (step - 1) // 3
    assert saved_steps(tmp_path) == [step]
    again, arguments = run([SignalAt(0), dl.Checkpoint(tmp_path)])
    fit(again, arguments, resume_from=tmp_path)
    assert everything(again) == expected


def test_after_ctrl_c_the_same_trainer_can_continue():
    trainer = interrupted(SignalAt(5, signal.SIGINT))
    assert trainer.history["epoch"] == [1]
    fit(trainer, {}, 1)
    assert trainer.history["epoch"] == [1, 3]  # the second one was not finished


def test_a_second_signal_does_not_wait(tmp_path):
    trainer = interrupted(SignalAt(5, signal.SIGINT, signal.SIGINT), dl.Checkpoint(tmp_path))
    assert trainer.step == 4
    assert saved_steps(tmp_path) == [3]


def test_a_signal_during_measuring_acts_after_it(tmp_path):
    late = dl.LambdaCallback(on_epoch_end=lambda trainer: signal.raise_signal(signal.SIGTERM))
    trainer = ended_by(SystemExit, late, dl.Checkpoint(tmp_path, every_epochs=2))
    assert trainer.history["epoch"] == [1]
    assert saved_steps(tmp_path) == [3]


def test_an_error_and_a_signal_at_once_show_the_error():
    ended_by(Death, SignalAt(2, signal.SIGINT), DieAt(2))


@pytest.fixture
def handle(request):
    """Sets a handler for as long as the test runs."""

    def set_for_now(number, handler):
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, handler)))

    return set_for_now


@pytest.mark.parametrize("signals", [1, 2])
def test_the_programs_own_handler_is_called_for_each_signal_after_saving(tmp_path, handle, signals):
    calls = []
    handle(signal.SIGTERM, lambda number, frame: calls.append(saved_steps(tmp_path)))
    assert len(trained(SignalAt(2, *[signal.SIGTERM] * signals), dl.Checkpoint(tmp_path)).history) == 0
    assert calls == [[2]] if signals == 1 else len(calls) == 2


async def looped(callback, number, *handler):
    """Train within a coroutine, with a signal handler of the loop, and let the loop run a few times."""
    if handler:
        asyncio.get_running_loop().add_signal_handler(number, *handler)
    trained(callback)
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("signals", [[number] * times for number in (*EXITS, signal.SIGUSR1) for times in (1, 2)])
def test_a_loop_of_asyncio_gets_each_signal_once(signals):
    calls = []
    asyncio.run(looped(SignalAt(2, *signals), signals[0], calls.append, "called"))
    assert calls == ["called"] * len(signals)


def test_ctrl_c_ends_what_asyncio_runs():
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(looped(SignalAt(2, signal.SIGINT), signal.SIGINT))


def test_a_fit_within_a_fit_passes_the_signal_on():
    inner, _ = usual_run([SignalAt(2, signal.SIGINT)])
    outer = interrupted(dl.LambdaCallback(on_epoch_end=lambda trainer: fit(inner, {})))
    assert (inner.step, outer.step) == (2, 3)


def test_a_signal_that_is_ignored_stays_ignored(handle):
    handle(signal.SIGINT, signal.SIG_IGN)
    assert trained(SignalAt(2, signal.SIGINT)).step == 9


def test_handlers_are_not_changed_outside_the_main_thread():
    handlers = []
    look = dl.LambdaCallback(on_batch_end=lambda trainer: handlers.append(signal.getsignal(signal.SIGINT)))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(trained, look).result()
    assert handlers == [signal.getsignal(signal.SIGINT)] * 9


PROGRAM = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import minidl as dl
    from training_runs import usual_run, fit

    class Slow(dl.Callback):
        def on_batch_begin(self, trainer):
            print("batch", trainer.step + 1, flush=True)
            time.sleep(0.001)

    trainer, arguments = usual_run([Slow(), dl.Checkpoint({directory!r}, every_epochs=1000)])
    try:
        fit(trainer, arguments, epochs=1000, resume_from={directory!r})
    finally:
        print("left after", trainer.step, flush=True)
"""


SUPPORT = Path(__file__).parent.parent / "support"
# After an uncaught KeyboardInterrupt, Python ends itself by SIGINT, which a shell shows as status 130.
STATUSES = {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}


def test_a_stopped_program_leaves_a_checkpoint_and_the_usual_exit_status(tmp_path):
    """Send some signals, one after the other, to runs in the same directory, each of which gets further."""
    done, text = 0, textwrap.dedent(PROGRAM.format(tests=str(SUPPORT), directory=str(tmp_path)))
    for pause, number in ((1, signal.SIGTERM), (3, signal.SIGINT), (2, signal.SIGTERM)):
        with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as program:
            assert any(said.strip() == f"batch {done + pause}" for said in program.stdout)
            program.send_signal(number)
            out, _ = program.communicate(timeout=60)
        assert program.returncode == STATUSES[number]
        left = int(out.split("left after")[1])
        assert left >= done + pause
        assert saved_steps(tmp_path)[0] == left
        done = left
