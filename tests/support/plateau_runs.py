"""Learning rates along a column of values, as ReduceLROnPlateau sets them."""

from types import SimpleNamespace

import minidl as dl


def trainer_with(rate=0.1):
    """What the callback needs of a trainer; the numbers come from some other callback."""
    at_the_beginning = {"logs": {}, "expected_columns": None, "later_callbacks": [], "first_epoch": 0}
    return SimpleNamespace(optimizer=dl.SGD(rate), history=dl.History(), stop=lambda: None, **at_the_beginning)


def measure(trainer, callback, value, name="val_loss"):
    trainer.history.append({name: value})
    trainer.logs = trainer.history.rows[-1]
    callback.on_epoch_end(trainer)
    return trainer.optimizer.learning_rate


def rates_along(column, **options):
    """Return the rate after each epoch."""
    trainer, plateau = trainer_with(), dl.ReduceLROnPlateau(**options)
    plateau.on_train_begin(trainer)
    return [measure(trainer, plateau, value, plateau.monitor) for value in column]
