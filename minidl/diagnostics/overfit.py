"""Can a network memorise a few rows? If not, something is broken, and more data will not help."""

import math
from dataclasses import dataclass, field

import numpy as np

from minidl._core.checks import as_count, as_number, copied
from minidl._core.errors import NonFiniteError
from minidl._core.randomness import as_generator
from minidl._core.types import Array, Seed
from minidl.data.dataset import Dataset
from minidl.diagnostics.common import spread_rows, uninformed_loss, working_copy
from minidl.nn.losses import Loss, SoftmaxCrossEntropy
from minidl.nn.losses.base import NumberLoss
from minidl.nn.model import Model
from minidl.training.optimizers import Adam
from minidl.training.optimizers.base import check_gradients

# Steps without a lower loss (by 0.1 %) after which training has come to rest.
_PATIENCE = 100
# Of the loss of knowing nothing: for ten classes 0.023, the right one has probability 0.977.
_LEARNT = 0.01

_NO_PARAMETER = "the model has no parameters, so that there is nothing to learn"
_FROZEN = "every parameter is frozen: call unfreeze() on the layers that are to learn"
_NOT_FELT = "every gradient is zero: are all hidden units dead (see dl.dead_units), or all weights zero?"


@dataclass(frozen=True, eq=False)
class OverfitResult:
    """What `overfit_tiny` saw; print it.

    Attributes
    ----------
    ok : bool
        Whether the rows were memorised.
    rows : array of int
        Which rows of the data.
    losses : list of float
        Before each step, and at the end.
    goal : float
        The loss that counts as memorised: a hundredth of the loss of outputs that are all zero.
    accuracy : float or None
        At the end; None if the loss has none.
    findings : list of str
        What is wrong, a sentence each; empty if `ok`.
    """

    ok: bool
    rows: Array = field(repr=False)
    losses: list[float] = field(repr=False)
    goal: float
    accuracy: float | None
    findings: list[str]

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.losses) - 1

    @property
    def first_loss(self) -> float:
        """The loss before the first step."""
        return self.losses[0]

    @property
    def last_loss(self) -> float:
        """The loss after the last step."""
        return self.losses[-1]

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.0%}"
        memorised = "memorised" if self.ok else "not memorised"
        told = f"{len(self.rows)} rows {memorised} in {self.steps} steps: loss {self.first_loss:.4g} -> "
        return "\n".join([f"{told}{self.last_loss:.4g}{accuracy}", *(f"  - {finding}" for finding in self.findings)])


def overfit_tiny(
    model: Model, data: Dataset, *, rows: int = 20, steps: int = 1000, learning_rate: float = 0.001, rng: Seed = 0
) -> OverfitResult:
    """Train a copy of the model on a few rows, which it should memorise; nothing of the caller's changes.

    All that keeps a network from memorising is off in the copy: the regularizer, the label smoothing, and the
    dropping of `Dropout` (a layer of your own that adds noise goes on doing so). Each step of `Adam` takes all the
    rows, until the loss is a hundredth of that of outputs that are all zero, or has come to rest. If it only came down
    a part of the way, all is tried once more from the beginning, with ten times the learning rate.

    Parameters
    ----------
    model : Model
        Fresh or trained.
    data : Dataset
        Of which the rows are drawn, from all classes in turn.
    rows : int
        How many at most. A single layer of d inputs cannot be asked for more than d + 1.
    steps : int
        At most, in each of the two trials.
    learning_rate : float
        Of `Adam`.
    rng : int, Generator or None
        Draws the rows.

    Returns
    -------
    OverfitResult
        Nothing is raised if the rows are not memorised: print the result, which says why.

    Raises
    ------
    InputError
        If an argument is not as above, or model and data do not go together.
    NonFiniteError
        If the loss is not finite before the first step.

    References
    ----------
    Karpathy, "CS231n: Convolutional neural networks for visual recognition", notes on neural networks part 3, section
    "Before learning: sanity checks": a tiny subset must reach a cost of zero.

    Examples
    --------
    >>> from minidl import Dense, SoftmaxCrossEntropy
    >>> model = Model(Dense(3, 2, rng=0), SoftmaxCrossEntropy())
    >>> data = Dataset([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0], [1.0, 2.0, 0.0]], [0, 1, 1])
    >>> print(overfit_tiny(model, data))
    3 rows memorised in 862 steps: loss 1.255 -> 0.006931, accuracy 100%
    """
    twin = working_copy("overfit_tiny", model)
    chosen = spread_rows("overfit_tiny", data, rows, as_generator(rng))
    steps = as_count("steps", steps)
    learning_rate = as_number("learning_rate", learning_rate, 0, above=True)
    twin.regularizer = None
    if isinstance(twin.loss, SoftmaxCrossEntropy) and twin.loss.label_smoothing:
        twin = Model(twin.network, SoftmaxCrossEntropy(class_weights=twin.loss.class_weights))
    x, y = data.x[chosen], data.y[chosen]
    # What overflows shows in the loss.
    with np.errstate(all="ignore"):
        for rate in (learning_rate, 10 * learning_rate):
            result = _train(copied("overfit_tiny", twin), Adam(rate), x, y, chosen, steps)
            if result.ok or abs(result.last_loss - result.first_loss) < 0.1 * result.first_loss:
                # What does not move at all is no matter of the rate.
                break
    return result


def _train(model: Model, optimizer: Adam, x: Array, y: Array, rows: Array, steps: int) -> OverfitResult:
    trainable = [p for p in model.parameters.values() if p.trainable]
    outputs = model.forward(x)
    reference = uninformed_loss(model.loss, outputs, y)
    losses = [model.compute_gradients(x, y)[1]]
    goal = _LEARNT * (reference if reference > 0 else losses[0])
    felt, broken = any(p.grad.any() for p in trainable), ""
    try:
        while trainable and felt and losses[-1] > goal and len(losses) <= steps:
            check_gradients(model.parameters)
            optimizer.step(model.parameters)
            losses.append(model.compute_gradients(x, y)[1])
            if len(losses) > 2 * _PATIENCE and min(losses[-_PATIENCE:]) > 0.999 * min(losses[:-_PATIENCE]):
                break
        outputs = model.forward(x, train=True)
    except NonFiniteError as error:
        broken = f"after {len(losses) - 1} steps training broke down: {error}; is x too large, or the learning rate?"
    metrics = {} if broken else model.loss.metrics(outputs, y)
    memorised = losses[-1] <= goal
    findings = _faults_of_rows(x, y, rows, memorised=memorised)
    if broken:
        findings.append(broken)
    elif not memorised:
        nothing = _NO_PARAMETER if not model.parameters else _FROZEN if not trainable else "" if felt else _NOT_FELT
        if nothing or not findings:
            findings.append(nothing or _why(model.loss, outputs, y, losses, goal))
    return OverfitResult(not findings, rows, losses, goal, metrics.get("accuracy"), findings)


def _faults_of_rows(x: Array, y: Array, rows: Array, *, memorised: bool) -> list[str]:
    """Return what makes it impossible, or worthless, to memorise these rows."""
    if len(rows) > 1 and (y == y[0]).all():
        return [f"all {len(rows)} rows have the same target, {y[0]}: to learn that proves nothing; take other rows"]
    if len(rows) > 1 and (x == x[0]).all():
        return ["all rows of x are the same, so nothing can tell them apart: was the data read right?"]
    if not memorised and (told := contradiction(x, y, rows)):
        return [f"{told}: no network can learn both"]
    return []


def contradiction(x: Array, y: Array, rows: Array) -> str:
    """Return in words which two of `rows` are the same in x and differ in y, the first pair; "" if there is none."""
    seen: dict[bytes, int] = {}
    for i, row in enumerate(x):
        first = seen.setdefault(row.tobytes(), i)
        if (y[first] != y[i]).any():
            return f"rows {rows[first]} and {rows[i]} are the same, but their targets are {y[first]} and {y[i]}"
    return ""


def _why(loss: Loss, outputs: Array, targets: Array, losses: list[float], goal: float) -> str:
    first, last = losses[0], losses[-1]
    if np.ptp(outputs, axis=0).max() <= 1e-4 * max(1.0, float(np.abs(outputs).max())):
        told = f"the outputs are the same for every row, and the loss stays at {last:.4g}: nothing of x gets through"
        return f"{told}; look for dead units (dl.dead_units), or weights that are all zero"
    came = f"the loss came from {first:.4g} to {last:.4g}, not below {goal:.2g}"
    if isinstance(loss, NumberLoss) and (largest := float(np.abs(targets).max())) > 10:
        advice = "subtract their mean and divide by their standard deviation"
        return f"{came}, and targets go up to {largest:.4g} in size: {advice}"
    if not math.isfinite(last) or last > 1.05 * first:
        rose = f"the loss rose from {first:.4g} to {last:.4g}"
        return f"{rose}: is a gradient wrong (dl.check_model tells), or the learning rate too high?"
    asked = "is the network too small for these rows, or a gradient wrong (dl.check_model tells)?"
    return f"{came}: {asked} Else try fewer rows, more steps, or another learning rate"
