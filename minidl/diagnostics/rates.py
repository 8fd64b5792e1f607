"""Which learning rate? Raise it step by step, and look where the loss falls and where it blows up."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from minidl._core.checks import as_count, as_number, check_finite, check_type, copied
from minidl._core.errors import InputError, NonFiniteError
from minidl._core.randomness import keyed_generator
from minidl._core.types import Array, Axes, Figure
from minidl.data.dataset import Dataset, check_dataset
from minidl.plotting import plot_learning_rates
from minidl.training.optimizers.base import check_gradients
from minidl.training.trainer import Trainer

# The share of the past in the smoothed loss.
_SMOOTHING = 0.8
# Times the lowest smoothed loss so far.
_DIVERGED = 4.0
# Of the loss at the beginning.
_FALLEN = 0.95


@dataclass(frozen=True, eq=False)
class LearningRateResult:
    """The losses of a sweep through learning rates, and the rate that they suggest.

    Attributes
    ----------
    rates : array
        Of each step, ascending.
    losses : array
        Of each step's batch, before its update.
    smoothed : array
        Their exponential mean, corrected for its start at 0.
    suggestion : float or None
        The rate to begin with; None if no rate made the loss fall.
    diverged : bool
        Whether the sweep ended because the loss blew up.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None
    diverged: bool

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """Draw the losses over the rates, with the suggestion marked."""
        return plot_learning_rates(self.rates, self.losses, self.smoothed, self.suggestion, ax=ax)

    def __repr__(self) -> str:
        suggestion = "None" if self.suggestion is None else f"{self.suggestion:.3g}"
        return f"LearningRateResult(suggestion={suggestion}, {len(self.rates)} steps to {self.rates[-1]:.3g})"

    def __str__(self) -> str:
        end = "where the loss blew up" if self.diverged else "without a blow-up"
        swept = f"{len(self.rates)} steps from {self.rates[0]:.2g} to {self.rates[-1]:.2g}, {end}"
        if self.suggestion is None:
            return f"no suggestion: at no learning rate did the loss fall ({swept}); sanity_check may tell why"
        still = self.smoothed.argmin() == len(self.rates) - 1
        where = "is still falling: raise highest" if still else f"is lowest at {10 * self.suggestion:.2g}"
        return f"learning rate {self.suggestion:.2g} ({swept}; the smoothed loss {where})"


def find_learning_rate(
    trainer: Trainer,
    data: Dataset,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int = 100,
) -> LearningRateResult:
    """Train a copy with a rate that grows from step to step, and suggest a learning rate; the trainer does not change.

    Step i of n takes the rate ``lowest * (highest / lowest)**(i / (n - 1))``, in place of the optimizer's own rate or
    schedule; everything else of the optimizer, its momentum and clipping too, is as in training. The sweep ends early
    once the smoothed loss is over 4 times its lowest so far, or the loss or a gradient is NaN or infinite (whatever
    `fit` is to do about these).

    The suggestion is a tenth of the rate at which the smoothed loss is lowest: there it is about to rise, and a tenth
    is the usual margin. There is none if that loss is not at least 5 % below the mean of the first ten batches.

    Parameters
    ----------
    trainer : Trainer
        Its model and optimizer are copied as they are, fresh or in the middle of training.
    data : Dataset
        What it is to be trained on; shuffled, and repeated as often as the steps need it.
    lowest, highest : float
        Rates of the first and the last step, 0 < lowest < highest.
    steps : int
        At least 10.
    batch_size : int
        As in training: the best rate depends on it.

    Raises
    ------
    InputError
        If an argument is not as above, model and data do not go together, or the optimizer has trained another model.
    NonFiniteError
        If x holds NaN or infinity, or the loss is not finite before the first step.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3: the range test.

    Examples
    --------
    >>> from minidl import SGD, Dense, Model, SoftmaxCrossEntropy
    >>> y = np.arange(600) % 3
    >>> data = Dataset(np.eye(3)[y] + np.random.default_rng(0).normal(0.0, 0.3, (600, 3)), y)
    >>> trainer = Trainer(Model(Dense(3, 3, rng=0), SoftmaxCrossEntropy()), SGD(0.1), rng=0)
    >>> find_learning_rate(trainer, data)
    LearningRateResult(suggestion=1, 100 steps to 10)
    """
    check_type("find_learning_rate", "trainer", trainer, Trainer)
    check_dataset("find_learning_rate", data)
    check_finite("x", data.x)
    lowest, highest = as_number("lowest", lowest, 0, above=True), as_number("highest", highest, 0, above=True)
    if not lowest < highest:
        raise InputError(f"find_learning_rate: expected lowest < highest, got {lowest:g} and {highest:g}")
    steps, batch_size = as_count("steps", steps, 10), as_count("batch_size", batch_size)
    trainer.optimizer.check_model(trainer.model.parameters)
    model, optimizer = copied("find_learning_rate", (trainer.model, trainer.optimizer))
    rates = np.geomspace(lowest, highest, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    mean, diverged = 0.0, True
    batches = _endless(data, batch_size, trainer.seed)
    # What overflows shows in the loss.
    with np.errstate(all="ignore"):
        for i, rate in enumerate(rates.tolist()):
            optimizer.learning_rate = rate
            try:
                _, loss = model.compute_gradients(*next(batches))
                check_gradients(model.parameters)
                optimizer.step(model.parameters)
            except NonFiniteError:
                if i == 0:
                    raise
                break
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            losses.append(loss)
            smoothed.append(mean / (1 - _SMOOTHING ** (i + 1)))
            if not smoothed[-1] <= _DIVERGED * min(smoothed):
                break
        else:
            diverged = False
    lowest_at = int(np.argmin(smoothed))
    fell = smoothed[lowest_at] < _FALLEN * np.mean(losses[:10])
    suggestion = float(rates[lowest_at]) / 10 if fell else None
    return LearningRateResult(rates[: len(losses)], np.array(losses), np.array(smoothed), suggestion, diverged)


def _endless(data: Dataset, batch_size: int, seed: int) -> Iterator[tuple[Array, Array]]:
    for epoch in count():
        yield from data.batches(batch_size, keyed_generator(seed, "find_learning_rate", epoch))
