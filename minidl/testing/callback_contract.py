"""The contract of callbacks: they meet small fits that run through, repeat, and resume from a checkpoint."""

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

    They meet a softmax classifier with 9 features, 3 classes and 8 rows, in fits that run through, repeat, and resume
    from a checkpoint in the middle of an epoch. What its `saved_attributes` names begins anew with each run, and
    names all that a resumed run needs to end as one that was never interrupted.

    Parameters
    ----------
    make : callable
        Returns a new callback; one that writes files should get a folder that may be filled.

    Warns
    -----
    UserWarning
        If an attribute that `saved_attributes` does not name has another value after a resumed run.

    Raises
    ------
    InputError
        If `make` does not return new callbacks.
    ContractError
        At the first rule that is broken, naming the class and the rule.

    Examples
    --------
    >>> check_callback_contract(Callback)
    """
    CallbackContract(make)._check()


class CallbackContract(Contract):
    _kind = Callback

    def survives_a_fit_without_validation_metrics_or_epochs(self) -> None:
        for epochs in (2, 0):
            _fit(_trainer(self._make()), validation=None, train_metrics=False, epochs=epochs)

    def forgets_the_run_before(self) -> None:
        used, new = self._make(), self._make()
        _fit(_trainer(used), epochs=3)
        for callback in (used, new):
            _fit(_trainer(callback))
        for name in new.saved_attributes:
            got, expected = getattr(used, name), getattr(new, name)
            message = f"{name}: expected {expected!r:.80} after a second run, as a new one has, got {got!r:.80}"
            require(_equal(got, expected), f"{message}; let on_train_begin set what saved_attributes names")

    def goes_on_from_a_checkpoint(self) -> None:
        whole, again, begun, resumed = (self._make() for _ in range(4))
        with TemporaryDirectory() as folder:

            def save(trainer: Trainer) -> None:
                # In the middle of both epochs.
                if trainer.step in (1, 4):
                    trainer.save_checkpoint(checkpoint_path(folder, trainer.step))

            for callbacks in ([whole], [again], [begun, LambdaCallback(on_batch_end=save)]):
                _fit(_trainer(*callbacks))
            _fit(_trainer(resumed), resume_from=folder)
        for name, expected in vars(whole).items():
            got = vars(resumed).get(name)
            # What differs from one whole run to the next, such as a time, is no memory.
            if _equal(expected, vars(again).get(name)) and not _equal(expected, got):
                message = f"{name} is {got!r:.80} after a resumed run, and {expected!r:.80} after a whole one"
                require(name not in whole.saved_attributes, f"{message}; compute it from saved attributes alone")
                self._note(f"{message}; name it in saved_attributes")


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
