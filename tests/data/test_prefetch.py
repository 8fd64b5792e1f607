"""Making the next item while this one is used changes nothing but the time."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl.data.prefetch import one_ahead
from minidl.training import trainer as trainer_module


@given(st.lists(st.none() | st.integers()))
def test_the_same_items_in_the_same_order(items):
    assert list(one_ahead(iter(items))) == items


def test_the_next_item_is_made_while_this_one_is_used():
    made = [threading.Event() for _ in range(3)]

    def items():
        for event in made:
            event.set()
            yield threading.get_ident()

    for i, thread in enumerate(one_ahead(items())):
        assert thread != threading.get_ident()
        assert made[min(i + 1, 2)].wait(timeout=60)  # without asking for it


def test_an_exception_comes_in_its_turn():
    def items():
        yield 1
        raise dl.InputError("no more")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(dl.InputError, match="no more"):
        next(ahead)


def test_stopping_early_makes_one_item_for_nothing_and_ends_the_thread():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    before = threading.active_count()
    ahead = one_ahead(items())
    assert next(ahead) == 0
    ahead.close()
    assert len(made) <= 2
    assert threading.active_count() == before


class Recorder(dl.Callback):
    def __init__(self, stop_at=None):
        self.stop_at, self.losses = stop_at, []

    def on_batch_end(self, trainer):
        self.losses.append(trainer.logs["batch_loss"])
        if trainer.step == self.stop_at:
            trainer.stop()


def train(monkeypatch, worthwhile, *, stop_at=None, augment=()):
    monkeypatch.setattr(trainer_module, "IN_PIECES", True)
    monkeypatch.setattr(trainer_module, "WORTHWHILE_BYTES", worthwhile)
    rng = np.random.default_rng(0)
    data = dl.Dataset(rng.normal(size=(70, 8, 8, 3)).astype(np.float32), rng.integers(3, size=70))
    network = dl.Sequential(dl.Flatten(), dl.Dense(192, 3, rng=0))
    recorder = Recorder(stop_at)
    trainer = dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy()), dl.SGD(0.01), [recorder], rng=1)
    trainer.fit(data, data, epochs=3, batch_size=16, augment=augment)
    return recorder.losses, [{**row, "seconds": 0} for row in trainer.history.rows], trainer


@pytest.mark.parametrize("stop_at", [None, 1, 5, 7])
def test_training_is_the_same_bit_for_bit(monkeypatch, stop_at):
    threads = threading.active_count()
    ahead, alone = (train(monkeypatch, size, stop_at=stop_at) for size in (0, 2**62))
    assert ahead[:2] == alone[:2]
    for path, parameter in ahead[2].model.parameters.items():
        np.testing.assert_array_equal(parameter.value, alone[2].model.parameters[path].value)
    assert threading.active_count() == threads


class Broken(dl.Augmentation):
    def draw(self, n, rng):
        return rng.random(n)

    def apply(self, images, draws):
        raise RuntimeError("a bug in an augmentation")


def test_an_augmentation_that_fails_says_so_as_without_a_thread(monkeypatch):
    with pytest.raises(RuntimeError, match="a bug in an augmentation"):
        train(monkeypatch, 0, augment=[Broken()])


def test_a_step_that_fails_leaves_no_thread(monkeypatch):
    threads = threading.active_count()
    rng = np.random.default_rng(0)
    data = dl.Dataset(rng.normal(size=(70, 4)).astype(np.float32), rng.integers(3, size=70))

    class Bug(dl.Callback):
        def on_batch_end(self, trainer):
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module, "IN_PIECES", True)
    monkeypatch.setattr(trainer_module, "WORTHWHILE_BYTES", 0)
    trainer = dl.Trainer(dl.Model(dl.Dense(4, 3, rng=0), dl.SoftmaxCrossEntropy()), dl.SGD(0.01), [Bug()], rng=1)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(data, epochs=1, batch_size=8)
    assert threading.active_count() == threads
