"""Runs that are interrupted and resumed: small, but with everything that a checkpoint has to hold."""

import functools
import itertools

import numpy as np
import pytest

import minidl as dl
from minidl.training.checkpoint import checkpoint_paths

BATCH = 16


def images(rows=40, seed=0):
    rng = np.random.default_rng(seed)
    return dl.Dataset(rng.normal(size=(rows, 6, 6, 2)).astype(np.float32), rng.integers(3, size=rows))


def usual_run(callbacks=()):
    network = dl.Sequential(dl.Flatten(), dl.Dense(72, 8, rng=1), dl.ReLU(), dl.Dense(8, 3, rng=2))
    model = dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L2(0.01))
    return dl.Trainer(model, dl.SGD(0.05, momentum=0.9), callbacks, rng=3), {}


def adam_with_schedule(callbacks=()):
    network = dl.Sequential(dl.Flatten(), dl.Dense(72, 8, rng=1), dl.Tanh(), dl.Dense(8, 3, rng=2))
    model = dl.Model(network, dl.SoftmaxCrossEntropy(label_smoothing=0.1))
    optimizer = dl.Adam(dl.CosineAnnealing(0.01, steps=15), clip_norm=0.5)
    return dl.Trainer(model, optimizer, callbacks, rng=4), {}


def batch_norm_dropout_augmentation(callbacks=()):
    network = dl.Sequential(
        dl.Conv2D(2, 4, 3, padding="same", rng=1),
        dl.BatchNorm(4),
        dl.ReLU(),
        dl.MaxPool2D(2),
        dl.Flatten(),
        dl.Dropout(0.3),  # a seed of its own, which only the checkpoint knows
        dl.Dense(36, 3, rng=3),
    )
    network.layers[-1].bias.trainable = False
    model = dl.Model(network, dl.SoftmaxCrossEntropy(), dl.L1(1e-3))
    return dl.Trainer(model, dl.NAdam(0.01), callbacks, rng=5), {"augment": [dl.Mirror(), dl.Shift(1)]}


def early_stopping_and_plateau(callbacks=()):
    network = dl.Sequential(dl.Flatten(), dl.Dense(72, 3, rng=1))
    model = dl.Model(network, dl.SoftmaxCrossEntropy())
    own = [dl.EarlyStopping("val_loss", patience=2), dl.ReduceLROnPlateau("val_loss", factor=0.5, patience=0)]
    # With a rate so large the validation loss soon gets worse: it stops after two or three of the epochs.
    return dl.Trainer(model, dl.RMSProp(0.05), [*own, *callbacks]), {}


RUNS = {
    run.__name__: run
    for run in (usual_run, adam_with_schedule, batch_norm_dropout_augmentation, early_stopping_and_plateau)
}


class Death(Exception):  # noqa: N818 (it is none)
    """The end of the process, as far as the run can tell: nothing is saved any more."""


class DieAt(dl.Callback):
    """Dies after some steps, or after an epoch that ends with such a step."""

    runs_last = True

    def __init__(self, *steps, moment="step", error=Death):
        self.steps, self.moment, self.error = steps, moment, error

    def on_batch_end(self, trainer):
        if self.moment == "step" and trainer.step in self.steps:
            raise self.error

    def on_epoch_end(self, trainer):
        if self.moment == "epoch" and trainer.step in self.steps:
            raise self.error


def at(moment, number, act):
    """Return a callback that acts at this moment of an epoch, or of a batch when so many steps are done."""

    def when(trainer):
        if number == (trainer.step if "batch" in moment else trainer.epoch):
            act(trainer)

    return dl.LambdaCallback(**{moment: when})


class Spy(dl.Flatten):
    """Keeps what it sees in training, and what otherwise."""

    def __init__(self):
        super().__init__()
        self.seen = {True: [], False: []}

    def forward(self, x, train=False):
        self.seen[train].append(x.copy())
        return super().forward(x, train)


class Measures(dl.Callback):
    """Puts a value for each epoch into the logs, and notes the weights."""

    def __init__(self, *values, name="quality"):
        self.values, self.name, self.weights = values, name, []

    def on_epoch_end(self, trainer):
        trainer.logs[self.name] = self.values[trainer.epoch - 1]
        self.weights.append({name: array.copy() for name, array in trainer.model.weights().items()})


def ended_by(error, *callbacks, match=None, run=usual_run, **options):
    """Return the trainer of a seeded run that this error ended."""
    trainer, arguments = seeded(run, callbacks)
    with pytest.raises(error, match=match):
        fit(trainer, arguments, **options)
    return trainer


def killed(run, directory, *steps, epochs=3, resume_from=None, **checkpointing):
    """Let a run with checkpoints die."""
    callbacks = dl.Checkpoint(directory, **checkpointing), DieAt(*steps)
    ended_by(Death, *callbacks, run=run, epochs=epochs, resume_from=resume_from)


def saved_steps(directory):
    return [int(path.stem.split("-")[1]) for path in checkpoint_paths(directory)]


def seeded(run, callbacks=()):
    """Return trainer and arguments of a run whose own fresh seeds are fixed, so that two of them can be compared."""
    trainer, arguments = run(callbacks)
    for layer in trainer.model.network.layers:
        if isinstance(layer, dl.Dropout):
            layer.seed = 77
    if not trainer.seed_given:
        trainer.state.seed = 78
    return trainer, arguments


def fit(trainer, arguments, epochs=3, **more):
    return trainer.fit(images(), images(20, 1), epochs=epochs, batch_size=BATCH, **{**arguments, **more})


def trained(*callbacks, epochs=3, **options):
    """Return the trainer of `usual_run`, fitted with these callbacks."""
    trainer, arguments = usual_run(callbacks)
    fit(trainer, arguments, epochs, **options)
    return trainer


def everything(trainer):
    """Return all that must be bit for bit the same after a resumed run, in a form that can be compared by ``==``."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in trainer.history]
    optimizer = trainer.optimizer
    slots = {f"{path}.{name}": a for path, state in optimizer.state.items() for name, a in state.items()}
    remembered = {}
    names = ("best_epoch", "stopped_epoch", "_best", "_to_beat", "_bad_epochs")
    for callback, name in itertools.product(trainer.callbacks, names):
        if name in callback.saved_attributes and not isinstance(callback, dl.Checkpoint):
            remembered[f"{type(callback).__name__}.{name}"] = getattr(callback, name)
    return {
        "weights": {path: array.tobytes() for path, array in trainer.model.weights().items()},
        "trainable": {path: parameter.trainable for path, parameter in trainer.model.parameters.items()},
        "slots": {name: array.tobytes() for name, array in slots.items()},
        "history": repr(rows),
        "counters": (trainer.epoch, trainer.batch, trainer.step, trainer.skipped_steps, trainer.stopping, trainer.seed),
        "optimizer": (optimizer.steps, repr(optimizer.learning_rate), optimizer.current_learning_rate),
        "remembered": repr(remembered),
    }


@functools.cache
def undisturbed(run, epochs=3):
    """Return `everything` of a seeded run that nothing interrupts."""
    trainer, arguments = seeded(run)
    fit(trainer, arguments, epochs)
    return everything(trainer)
