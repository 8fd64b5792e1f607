"""Trainer: steps and epochs, the order of callbacks, and errors."""

from functools import partial

import numpy as np
import pytest
from training_runs import Spy, at

import minidl as dl
from minidl.training.callback import MOMENTS


def blobs(n=60, seed=0):
    """Return three well-separated clouds of points in the plane."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return dl.Dataset(rng.normal(size=(n, 2)) + 4 * np.stack([np.cos(2 * y), np.sin(2 * y)], axis=1), y)


def make(callbacks=(), rng=0, learning_rate=0.1, regularizer=None):
    network = dl.Sequential(dl.Dense(2, 8, rng=0), dl.ReLU(), dl.Dense(8, 3, rng=1))
    return dl.Trainer(dl.Model(network, dl.SoftmaxCrossEntropy(), regularizer), dl.SGD(learning_rate), callbacks, rng)


def weights(trainer):
    return b"".join(p.value.tobytes() for p in trainer.model.parameters.values())


class Diary(dl.Callback):
    """Records every moment at which it is called; `fails` maps moments to the errors that it raises there."""

    def __init__(self, pages, name="", **fails):
        for moment in MOMENTS:
            setattr(self, moment, partial(self._note, pages, f"{name}{moment[3:]}", fails.get(moment[3:])))

    def _note(self, pages, said, error, trainer):
        pages.append(f"{said} {trainer.epoch}.{trainer.batch} {trainer.step}")
        if error:
            raise error


# ---- steps and epochs


def test_a_step_is_the_formula_on_the_batch_and_its_logs_are_from_before_it():
    data, reference, logs = blobs(), make(regularizer=dl.L2(0.1)).model, []
    trainer = make([dl.LambdaCallback(on_batch_end=lambda trainer: logs.append(trainer.logs))], regularizer=dl.L2(0.1))
    trainer.fit(data, epochs=1, batch_size=100)
    cost, loss = reference.compute_gradients(data.x, data.y)
    assert logs == [{"batch_cost": pytest.approx(cost, rel=1e-6), "batch_loss": pytest.approx(loss, rel=1e-6)}]
    assert cost > loss
    for path, p in reference.parameters.items():
        expected = p.value - 0.1 * p.grad
        np.testing.assert_allclose(trainer.model.parameters[path].value, expected, atol=1e-6)  # the shuffle's rounding


def test_a_row_of_the_history_is_measured_after_its_epoch_on_whole_sets():
    train, validation = blobs(), blobs(31, seed=1)
    trainer = make(learning_rate=0.025)
    history = trainer.fit(train, validation, epochs=20, batch_size=7)
    assert history["accuracy"][-1] > 0.95
    assert history["val_accuracy"][-1] > 0.95
    row = history.rows[-1]
    expected = trainer.model.evaluate(train)
    expected |= {f"val_{name}": value for name, value in trainer.model.evaluate(validation).items()}
    assert row == expected | {"epoch": 20, "learning_rate": 0.025, "seconds": row["seconds"]}
    assert row["seconds"] > 0
    assert trainer.logs == row


def test_measured_sets_can_be_chosen():
    always = {"epoch", "learning_rate", "seconds"}
    history = make().fit(blobs(), blobs(seed=1), epochs=1, batch_size=10, train_metrics=False)
    assert set(history.columns) == always | {"val_cost", "val_loss", "val_accuracy"}
    assert set(make().fit(blobs(), epochs=1, batch_size=10).columns) == always | {"cost", "loss", "accuracy"}


def test_every_training_row_is_used_once_per_epoch_in_a_new_order():
    data, model = dl.Dataset(np.arange(10.0)[:, None], np.zeros(10, int)), dl.Sequential(spy := Spy(), dl.Dense(1, 2))
    dl.Trainer(dl.Model(model, dl.SoftmaxCrossEntropy()), dl.SGD(1e-6), rng=0).fit(data, epochs=2, batch_size=4)
    batches = spy.seen[True]
    first, second = np.concatenate(batches[:3]).ravel().tolist(), np.concatenate(batches[3:]).ravel().tolist()
    assert [len(batch) for batch in batches] == [4, 4, 2] * 2
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_zero_epochs_do_nothing():
    trainer = make()
    assert len(trainer.fit(blobs(), epochs=0, batch_size=3)) == 0
    assert weights(trainer) == weights(make())


# ---- the same numbers


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not():
    def look(trainer):
        np.random.default_rng().random()
        trainer.model.evaluate(trainer.train_data)

    noisy = dl.LambdaCallback(on_batch_end=look)
    runs = [make(rng=3), make(rng=3), make([noisy], rng=3), make(rng=4)]
    for trainer in runs:
        trainer.fit(blobs(), epochs=2, batch_size=7)
    assert weights(runs[0]) == weights(runs[1]) == weights(runs[2]) != weights(runs[3])


def test_the_seed_may_be_a_generator_or_nothing():
    assert make(rng=np.random.default_rng(5)).seed == make(rng=np.random.default_rng(5)).seed
    assert make(rng=None).seed != make(rng=None).seed
    with pytest.raises(dl.InputError, match="rng: expected"):
        make(rng=-1)


# ---- callbacks


def test_moments_come_in_order_and_callbacks_in_list_order():
    pages = []
    make([Diary(pages, "a "), Diary(pages, "b ")]).fit(blobs(4), epochs=1, batch_size=2)
    one = ["train_begin 0.0 0", "epoch_begin 1.0 0", "batch_begin 1.0 0", "batch_end 1.1 1", "batch_begin 1.1 1",
           "batch_end 1.2 2", "epoch_end 1.0 2", "train_end 1.0 2"]  # fmt: skip
    assert pages == [f"{name} {page}" for page in one for name in "ab"]


def test_stop_ends_after_the_running_step_and_the_epoch_is_recorded():
    trainer = make([at("on_batch_end", 5, lambda trainer: trainer.stop())])
    history = trainer.fit(blobs(40), epochs=10, batch_size=10)
    assert trainer.step == 5
    assert trainer.stopping
    assert history["epoch"] == [1, 2]
    assert len(trainer.fit(blobs(40), epochs=1, batch_size=10)) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt("planted"), RuntimeError("planted")])
def test_every_callback_ends_and_the_history_stays_however_training_ends(error):
    pages, late = [], ValueError("and again while cleaning up")
    trainer = make([Diary([], batch_end=error, train_end=late), Diary(pages)])
    with pytest.raises(ValueError, match="cleaning up") as caught:
        trainer.fit(blobs(40), epochs=10, batch_size=10)
    assert caught.value.__context__ is error
    assert [page.split()[0] for page in pages] == ["train_begin", "epoch_begin", "batch_begin", "train_end"]
    trainer.callbacks = []
    # The trainer can still be used.
    assert trainer.fit(blobs(40), epochs=1, batch_size=10)["epoch"] == [2]


def test_only_callbacks_that_began_end_and_the_first_error_is_shown():
    pages, error = [], RuntimeError("cannot begin")
    trainer = make([Diary(pages, "a "), Diary(pages, "b ", train_begin=error), Diary(pages, "c ")])
    with pytest.raises(RuntimeError, match="cannot begin"):
        trainer.fit(blobs(), epochs=1, batch_size=10)
    assert pages == [f"{name} 0.0 0" for name in ("a train_begin", "b train_begin", "a train_end", "b train_end")]


def test_fit_inside_fit_is_refused():
    again = dl.LambdaCallback(on_epoch_end=lambda trainer: trainer.fit(blobs(), epochs=1, batch_size=2))
    with pytest.raises(dl.CallOrderError, match="already running"):
        make([again]).fit(blobs(), epochs=1, batch_size=10)


@pytest.mark.parametrize("name", ["epoch", "step", "logs", "history", "seed", "stopping"])
def test_the_state_of_a_run_is_read_only(name):
    with pytest.raises(AttributeError):
        setattr(make(), name, 1)


# ---- refusals


WRONG, NEGATIVE, INFINITE = blobs(40), blobs(4), blobs(4)
WRONG.y[33], NEGATIVE.y[1], INFINITE.x[2, 1] = 7, -1, np.inf


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"train": (np.zeros((1, 2)), [0])}, r"train: .*got tuple; .*Dataset\(x, y\)"),
        ({"train": None}, r"train: .*got NoneType; .*Dataset\(x, y\)"),
        ({"train": blobs(4)[:0]}, "train: .*at least one row"),
        ({"validation": blobs(4)[:0]}, "validation: .*at least one row"),
        ({"epochs": -1}, "epochs: expected an integer >= 0"),
        ({"train": WRONG}, "train: .*labels in 0..2, got 7 in row 33"),
        ({"validation": WRONG}, "validation: .*labels in 0..2, got 7 in row 33"),
        ({"train": NEGATIVE}, r"labels in 0..2, got -1"),
        ({"train": INFINITE}, r"train.x: .* index \(2, 1\): inf"),
        ({"validation": INFINITE}, r"validation.x: .* index \(2, 1\): inf"),
    ],
)
def test_invalid_arguments_are_refused_and_no_weight_changes(arguments, words):
    trainer = make()
    before = weights(trainer)
    with pytest.raises((dl.InputError, dl.NonFiniteError), match=words):
        trainer.fit(**{"train": blobs(), "epochs": 1, "batch_size": 2} | arguments)
    assert weights(trainer) == before
    assert trainer.epoch == 0


def test_an_error_of_a_users_own_class_is_not_replaced():
    class Own(dl.InputError):
        def __init__(self, a, b):
            super().__init__(f"{a} {b}")

    with pytest.raises(Own, match=r"^one two$"):
        make([Diary([], batch_end=Own("one", "two"))]).fit(blobs(), epochs=1, batch_size=10)
