"""Prefetching changes only the running time."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.data.prefetch import prefetched
from minidl.training import work as work_module


@given(st.lists(st.none() | st.integers()))
def test_the_same_items_in_the_same_order(items):
    assert list(prefetched(iter(items))) == items


def test_the_next_item_is_made_while_this_one_is_used():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield threading.get_ident()

    for i, thread in enumerate(prefetched(items())):
        assert thread != threading.get_ident()
        # Without asking for it.
        assert made[min(i + 1, 2)].wait(timeout=60)


def test_an_exception_is_raised_in_its_turn():
    def items():
        yield 1
        raise dl.InputError("no more")

    ahead = prefetched(items())
    assert next(ahead) == 1
    with pytest.raises(dl.InputError, match="no more"):
        next(ahead)


def test_stopping_early_makes_one_item_in_vain_and_ends_the_thread():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    before = threading.active_count()
    ahead = prefetched(items())
    assert next(ahead) == 0
    ahead.close()
    assert len(made) <= 2
    assert threading.active_count() == before


def trained(monkeypatch, on_batch_end, worthwhile=0):
    """Return a trainer and its losses, after a fit that calls `on_batch_end` at every step."""
    monkeypatch.setattr(work_module, "IN_PIECES", True)
    monkeypatch.setattr(work_module, "MIN_BYTES", worthwhile)
    losses = []

    def note(trainer):
        losses.append(trainer.logs["batch_loss"])
        on_batch_end(trainer)

    rng = np.random.default_rng(0)
    data = dl.Dataset(rng.normal(size=(70, 8, 8, 3)).astype(np.float32), rng.integers(3, size=70))
    model = dl.Model(dl.Sequential(dl.Flatten(), dl.Dense(192, 3, rng=0)), dl.SoftmaxCrossEntropy())
    trainer = dl.Trainer(model, dl.SGD(0.01), [dl.LambdaCallback(on_batch_end=note)], rng=1)
    trainer.fit(data, data, epochs=3, batch_size=16)
    return trainer, losses


@pytest.mark.parametrize("stop_at", [None, 1, 5, 7])
def test_training_is_the_same_bit_for_bit(monkeypatch, stop_at):
    def stop(trainer):
        if trainer.step == stop_at:
            trainer.stop()

    threads = threading.active_count()
    (ahead, losses), (alone, expected) = (trained(monkeypatch, stop, size) for size in (0, 2**62))
    assert losses == expected
    assert [{**row, "seconds": 0} for row in ahead.history] == [{**row, "seconds": 0} for row in alone.history]
    for path, parameter in ahead.model.parameters.items():
        np.testing.assert_array_equal(parameter.value, alone.model.parameters[path].value)
    assert threading.active_count() == threads


def test_a_step_that_fails_leaves_no_thread(monkeypatch):
    def fail(trainer):
        raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        trained(monkeypatch, fail)
    assert threading.active_count() == threads
