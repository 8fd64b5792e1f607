"""The contract of callbacks: they meet small fits that run through, fail, repeat, and resume from a checkpoint."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

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

    They meet a softmax classifier with 9 features, 3 classes and 8 rows, in fits that run through, fail, repeat, and
    resume from a checkpoint in the middle of an epoch. What its `saved_attributes` names begins anew with each run, and
    names all that a resumed run needs to end as one that was never interrupted.

    Parameters
    ----------
    make : callable
        Returns a new callback; one that writes files should get a folder that may be filled.

    Warns
    -----
    UserWarning
        If an attribute that `saved_attributes` does not name ends otherwise in a resumed run; if training ends with
        other weights than without the callback, although this neither stops it nor changes the learning rate; if the
        callback seeds ``np.random`` or draws from it.

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

    def lets_an_error_through(self) -> None:
        for error in (RuntimeError("planted"), KeyboardInterrupt("planted")):
            # In the first epoch, and after one was finished.
            for at_step in (1, 4):
                _fail(self._make(), error, at_step)

    def serves_a_second_fit(self) -> None:
        trainer = _trainer(self._make())
        _fit(trainer)
        _fit(trainer)

    def serves_after_a_failed_fit(self) -> None:
        callback = self._make()
        _fail(callback, RuntimeError("planted"), 4)
        _fit(_trainer(callback))

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

    def leaves_weights_and_randomness_alone(self) -> None:
        trainer, without, state = _trainer(self._make()), _trainer(), np.random.get_state()  # noqa: NPY002
        # What seeds may have been here before, and the state would be that of its seed.
        np.random.random()  # noqa: NPY002
        before = repr(np.random.get_state())  # noqa: NPY002
        _fit(trainer)
        changed = repr(np.random.get_state()) != before  # noqa: NPY002
        np.random.set_state(state)  # noqa: NPY002
        if changed:
            self._note("it seeds np.random or draws from it; draw from a numpy.random.Generator")
        _fit(without)
        if trainer.stopping or trainer.optimizer.learning_rate != without.optimizer.learning_rate:
            raise SkipTest("it stops training or changes the learning rate, and so the weights")
        if not _equal(trainer.model.weights(), without.model.weights()):
            self._note("training ends with other weights than without it")


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


def _fail(callback: Callback, planted: BaseException, at_step: int) -> None:
    def fail(trainer: Trainer) -> None:
        if trainer.step == at_step:
            raise planted

    trainer = _trainer(callback, LambdaCallback(on_batch_end=fail))
    try:
        _fit(trainer)
    except BaseException as error:
        if error is not planted:
            raise
        return
    # The callback may have ended training before.
    require(trainer.step < at_step, f"a fit swallowed the {type(planted).__name__} of another callback")
