"""EarlyStopping: when it stops, what it says, and that the best weights come back on every exit."""

import math

import numpy as np
import pytest
from training_runs import fit, sgd_with_momentum

import minidl as dl


class Measures(dl.Callback):
    """Puts chosen values into the logs, and notes the weights of each epoch."""

    def __init__(self, *values):
        self.values, self.weights = values, []

    def on_epoch_end(self, trainer):
        trainer.logs["quality"] = self.values[len(self.weights)]
        self.weights.append({name: array.copy() for name, array in trainer.model.weights().items()})


def run(values, **options):
    measures, stopping = Measures(*values), dl.EarlyStopping("quality", **options)
    trainer, arguments = sgd_with_momentum([measures, stopping])
    fit(trainer, arguments, len(values))
    return trainer, measures, stopping


def assert_weights(trainer, expected):
    for name, array in trainer.model.weights().items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([3, 2, 1, 0], {"patience": 0}, 4, 4),
        ([3, 2, 2, 1], {"patience": 0}, 3, 2),
        ([3, 2, 2, 1], {"patience": 1}, 4, 4),
        ([3, 2, 5, 5, 5, 1], {"patience": 2}, 5, 2),
        ([3, 2, 5, 1, 5, 5, 5], {"patience": 2}, 7, 4),
        ([3, 2.95, 2.9, 2.85], {"patience": 1, "min_delta": 0.07}, 4, 3),
        ([math.nan, 2, math.nan, math.nan], {"patience": 1}, 4, 2),
        ([1, 2, 3, 2, 2], {"patience": 1, "mode": "max"}, 5, 3),
        ([3, 2, math.inf, 1], {"patience": 0}, 3, 2),
    ],
)
def test_when_it_stops_and_what_comes_back(values, options, epochs, best):
    trainer, measures, stopping = run(values, **options)
    assert len(trainer.history) == epochs
    assert stopping.best_epoch == best
    ended_early = epochs < len(values) or (len(values) == epochs and trainer.stopping)
    assert stopping.stopped_epoch == (epochs if ended_early else None)
    assert_weights(trainer, measures.weights[best - 1])


def test_the_last_weights_can_stay():
    trainer, measures, _ = run([1, 2, 3], patience=0, restore_best=False)
    assert_weights(trainer, measures.weights[-1])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_best_weights_come_back_after_an_error_too(error):
    class Ends(dl.Callback):
        def on_batch_end(self, trainer):
            if trainer.step == 8:
                raise error

    measures, stopping = Measures(1, 2, 3), dl.EarlyStopping("quality")
    trainer, arguments = sgd_with_momentum([measures, stopping, Ends()])
    with pytest.raises(error):
        fit(trainer, arguments)
    assert stopping.best_epoch == 1
    assert_weights(trainer, measures.weights[0])


def test_an_accuracy_is_better_when_larger():
    assert dl.EarlyStopping("val_accuracy")._monitor.sign == -1
    assert dl.EarlyStopping("val_loss")._monitor.sign == 1


def test_a_second_fit_counts_anew():
    measures, stopping = Measures(1, 2, 3, 4), dl.EarlyStopping("quality", patience=0)
    trainer, arguments = sgd_with_momentum([measures, stopping])
    fit(trainer, arguments, 4)
    fit(trainer, arguments, 1)
    assert stopping.best_epoch == 3
    assert stopping.stopped_epoch is None


def test_a_name_that_is_not_there():
    trainer, arguments = sgd_with_momentum([dl.EarlyStopping("val_acuracy")])
    with pytest.raises(dl.InputError, match=r"EarlyStopping.*no 'val_acuracy'; the nearest names are val_accuracy"):
        fit(trainer, arguments)
    trainer.callbacks = [dl.EarlyStopping()]
    with pytest.raises(dl.InputError, match="pass validation data to fit"):
        trainer.fit(trainer.train_data, epochs=1, batch_size=16)


@pytest.mark.parametrize("options", [{"patience": -1}, {"min_delta": -1}, {"mode": "up"}, {"monitor": None}], ids=str)
def test_wrong_options(options):
    with pytest.raises(dl.InputError, match=next(iter(options))):
        dl.EarlyStopping(**options)
