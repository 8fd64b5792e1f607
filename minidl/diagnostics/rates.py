"""Learning rate finder: raise the rate step by step, and see where the loss falls and where it diverges."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from minidl._core.checks import as_count, as_number, check_finite, check_holds, check_type, copied
from minidl._core.errors import InputError, NonFiniteError
from minidl._core.randomness import keyed_generator
from minidl._core.types import Array, Axes, Figure
from minidl.data.dataset import Dataset, check_dataset
from minidl.nn.losses import Loss
from minidl.nn.model import Model
from minidl.plotting import plot_learning_rates
from minidl.training.optimizers.base import check_gradients
from minidl.training.trainer import Trainer

# Largest number of held-out rows; of small datasets, one row in _SHARE is held out.
_HELD_OUT, _SHARE = 400, 4
# The sweep stops if the loss exceeds the lowest loss so far by this factor.
_DIVERGED = 4.0
# The loss must fall by this share of its initial value.
_FALLEN = 0.01
# Number of other target orders to compare with, and standard deviations by which the true order must be better.
_ORDERS, _SIGNIFICANT = 30, 3.5


@dataclass(frozen=True, eq=False)
class LearningRateResult:
    """The losses of a sweep through learning rates, and the rate that they suggest.

    Attributes
    ----------
    rates : array
        Learning rate of each step, ascending.
    losses : array
        Loss of each step's batch, before its update.
    held_out : array
        Loss of the held-out rows before each step: always the same rows, so batches add no noise.
    suggestion : float or None
        Suggested learning rate; None if the loss fell at no rate.
    diverged : bool
        Whether the sweep ended because the loss diverged.
    """

    rates: Array
    losses: Array
    held_out: Array
    suggestion: float | None
    diverged: bool

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """Plot the losses against the rates, and mark the suggestion."""
        return plot_learning_rates(self.rates, self.losses, self.held_out, self.suggestion, ax=ax)

    def __repr__(self) -> str:
        suggestion = "None" if self.suggestion is None else f"{self.suggestion:.3g}"
        return f"LearningRateResult(suggestion={suggestion}, {len(self.rates)} steps to {self.rates[-1]:.3g})"

    def __str__(self) -> str:
        end = "where the loss diverged" if self.diverged else "without divergence"
        swept = f"{len(self.rates)} steps from {self.rates[0]:.2g} to {self.rates[-1]:.2g}, {end}"
        if self.suggestion is None:
            return f"no suggestion: the loss fell at no learning rate ({swept}); run sanity_check to find the cause"
        lowest_at = int(self.held_out.argmin())
        where = f"is lowest at {self.rates[lowest_at]:.2g}"
        if lowest_at == len(self.rates) - 1:
            where = "is still falling at the last rate: pass a larger highest="
        elif self.suggestion == self.rates[0]:
            where += ": pass a smaller lowest="
        return f"learning rate {self.suggestion:.2g} ({swept}; the loss of held-out rows {where})"


def find_learning_rate(
    trainer: Trainer,
    data: Dataset,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int = 100,
) -> LearningRateResult:
    """Train a copy with a rate that grows in every step, and suggest a learning rate; the trainer does not change.

    Step i of n uses the rate ``lowest * (highest / lowest)**(i / (n - 1))`` instead of the optimizer's own rate or
    schedule. The rest of the optimizer, such as momentum and clipping, works as in training. Before each step, the loss
    of held-out rows is measured: a quarter of the data, at most 400 rows (with fewer than 40 rows, all rows are used
    for both). The sweep stops early if this loss exceeds 4 times its lowest value so far, or if a loss or a gradient is
    NaN or infinite (for any value of `nonfinite` in `fit`).

    The suggestion is a tenth of the rate at which the loss of the held-out rows is lowest, but at least `lowest`: at
    that rate the loss is about to rise, and a tenth is the usual margin. There is no suggestion if this loss has not
    fallen by 1 %, or if it has fallen about as much for the same targets in other orders: then the model has not
    learned which row has which target.

    Parameters
    ----------
    trainer : Trainer
        Its model and optimizer are copied in their current state, before or during training.
    data : Dataset
        Training data; it is shuffled, and repeated as often as necessary. More rows are better.
    lowest, highest : float
        Learning rates of the first and the last step, 0 < lowest < highest.
    steps : int
        At least 10.
    batch_size : int
        As in training: the best rate depends on it.

    Raises
    ------
    InputError
        If an argument is not as above, the data does not fit the model, or the optimizer has trained another model.
    NonFiniteError
        If x contains NaN or infinity, or the loss is not finite before the first step.

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
    check_holds("x", data.x, trainer.model.dtype)
    lowest, highest = as_number("lowest", lowest, 0, above=True), as_number("highest", highest, 0, above=True)
    if not lowest < highest:
        raise InputError(f"find_learning_rate: expected lowest < highest, got {lowest:g} and {highest:g}")
    steps, batch_size = as_count("steps", steps, 10), as_count("batch_size", batch_size)
    trainer.optimizer.check_model(trainer.model.parameters)
    model, optimizer = copied("find_learning_rate", (trainer.model, trainer.optimizer))
    rates = np.geomspace(lowest, highest, steps)
    held_out, rest = _split(data, trainer.seed)
    losses: list[float] = []
    held_losses: list[float] = []
    first = best = np.empty(0)
    diverged = True
    batches = _endless(rest, batch_size, trainer.seed)
    # An overflow shows in the loss.
    with np.errstate(all="ignore"):
        for i, rate in enumerate(rates.tolist()):
            optimizer.learning_rate = rate
            try:
                outputs = _training_outputs(model, held_out.x, batch_size)
                held_loss = float(model.loss.forward(outputs, held_out.y))
                _, loss = model.compute_gradients(*next(batches))
                check_gradients(model.parameters)
                optimizer.step(model.parameters)
            except NonFiniteError:
                if i == 0:
                    raise
                break
            losses.append(loss)
            held_losses.append(held_loss)
            if i == 0:
                first = best = outputs
            if held_loss < min(held_losses[:-1], default=held_loss):
                best = outputs
            if not held_loss <= _DIVERGED * min(held_losses):
                break
        else:
            diverged = False
        tenth = max(float(rates[np.argmin(held_losses)]) / 10, lowest)
        suggestion = tenth if _learned(model.loss, first, best, held_out.y) else None
    return LearningRateResult(rates[: len(losses)], np.array(losses), np.array(held_losses), suggestion, diverged)


def _split(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return the rows to measure and the rows to train on."""
    order = keyed_generator(seed, "find_learning_rate: held out").permutation(len(data))
    count = min(_HELD_OUT, len(data) // _SHARE)
    # Fewer held-out rows would be too noisy.
    return (data[order[:count]], data[order[count:]]) if count >= 10 else (data, data)


def _training_outputs(model: Model, x: Array, batch_size: int) -> Array:
    """Return the outputs as in training, where BatchNorm uses the batch; running statistics do not change."""
    buffers = model.network.named_buffers().values()
    before = [buffer.copy() for buffer in buffers]
    # No part is smaller than a batch, so none has a single row.
    parts = np.array_split(x, max(1, len(x) // batch_size))
    outputs = np.concatenate([model.forward(part, train=True) for part in parts])
    for buffer, values in zip(buffers, before, strict=True):
        buffer[...] = values
    return outputs


def _learned(loss: Loss, first: Array, best: Array, targets: Array) -> bool:
    """Return whether the loss fell from the outputs `first` to `best`, and more for these targets than for others.

    The others are the same targets in other orders: outputs that become less confident lower the loss for all orders.
    """

    def fall(targets: Array) -> float:
        return float(loss.forward(first, targets) - loss.forward(best, targets))

    others = [fall(np.roll(targets, by, axis=0)) for by in range(1, min(len(targets), _ORDERS + 1))]
    if not others or fall(targets) <= _FALLEN * abs(loss.forward(first, targets)):
        return False
    return bool(fall(targets) - np.mean(others) > _SIGNIFICANT * np.std(others))


def _endless(data: Dataset, batch_size: int, seed: int) -> Iterator[tuple[Array, Array]]:
    for epoch in count():
        # A layer that mixes rows may not accept a single row.
        yield from data.batches(batch_size, keyed_generator(seed, "find_learning_rate", epoch), drop_last="merge")
