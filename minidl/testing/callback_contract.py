"""The contract of callbacks, checked in small fits that run to the end, repeat, and resume from a checkpoint."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from minidl.data.dataset import Dataset
from minidl.nn.layers import Dense
from minidl.nn.losses import SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.testing.contract import Contract, require, sample
from minidl.training.callback import Callback
from minidl.training.callbacks import LambdaCallback
from minidl.training.checkpoint import checkpoint_path
from minidl.training.optimizers import SGD
from minidl.training.trainer import Trainer


def check_callback_contract(make: Callable[[], Callback]) -> None:
    """Check that the callbacks of `make` keep the contract of `Callback`.

    They run with a softmax classifier with 9 features, 3 classes and 8 rows, in fits that run to the end, repeat, and
    resume from a checkpoint in the middle of an epoch. Each run must reset the `saved_attributes`, and these must be
    all that a resumed run needs to end like a run without interruption.

    Parameters
    ----------
    make : callable
        Returns a new callback. A callback that writes files should write them to a temporary folder.

    Warns
    -----
    UserWarning
        If an attribute that `saved_attributes` does not name has a different value after a resumed run.

    Raises
    ------
    InputError
        If `make` does not return new callbacks.
    ContractError
        At the first broken rule, naming the class and the rule.

    Examples
    --------
    >>> check_callback_contract(Callback)
    """
    CallbackContract(make)._check()


class CallbackContract(Contract):
    _kind = Callback

    def works_without_validation_metrics_or_epochs(self) -> None:
        for epochs in (2, 0):
            _fit(_trainer(self._make()), validation=None, train_metrics=False, epochs=epochs)

    def resets_state_for_each_run(self) -> None:
        used, new = self._make(), self._make()
        _fit(_trainer(used), epochs=3)
        for callback in (used, new):
            _fit(_trainer(callback))
        for name in new.saved_attributes:
            got, expected = getattr(used, name), getattr(new, name)
            message = f"{name}: expected {expected!r:.80} after a second run, as in a new callback, got {got!r:.80}"
            require(_equal(got, expected), f"{message}; reset all saved_attributes in on_train_begin")

    def continues_from_a_checkpoint(self) -> None:
        whole, again, begun, resumed = (self._make() for _ in range(4))
        with TemporaryDirectory() as folder:

            def save(trainer: Trainer) -> None:
                # These steps are in the middle of both epochs.
                if trainer.step in (1, 4):
                    trainer.save_checkpoint(checkpoint_path(folder, trainer.step))

            for callbacks in ([whole], [again], [begun, LambdaCallback(on_batch_end=save)]):
                _fit(_trainer(*callbacks))
            _fit(_trainer(resumed), resume_from=folder)
        for name, expected in vars(whole).items():
            got = vars(resumed).get(name)
            # An attribute that differs between two uninterrupted runs, such as a time, does not count.
            if _equal(expected, vars(again).get(name)) and not _equal(expected, got):
                message = f"{name}: expected {expected!r:.80} after a resumed run, as without a stop, got {got!r:.80}"
                require(name not in whole.saved_attributes, f"{message}; compute it from saved attributes alone")
                self._note(f"{message}; add it to saved_attributes")


def _equal(a: Any, b: Any) -> bool:
    a, b = (part.bit_generator.state if isinstance(part, np.random.Generator) else part for part in (a, b))
    try:
        np.testing.assert_equal(a, b)
    except AssertionError:
        return False
    return True


def _trainer(*callbacks: Callback) -> Trainer:
    return Trainer(Model(Dense(9, 3, rng=0), SoftmaxCrossEntropy()), SGD(0.1), callbacks, rng=0)


def _fit(trainer: Trainer, **options: Any) -> None:
    data = Dataset(sample((8, 9), 0, np.float32), np.arange(8) % 3)
    trainer.fit(data, **{"validation": data, "epochs": 2, "batch_size": 3, **options})
