"""Check whether a network can memorise a few rows. If not, it has a fault, and more data will not help."""

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

# Training stops after this many steps in which the loss does not fall by 0.1 %.
_PATIENCE = 100
# Share of the loss of zero outputs. For ten classes it is 0.023: the correct class has probability 0.977.
_MEMORISED = 0.01

_NO_PARAMETER = "the model has no parameters, so there is nothing to learn"
_FROZEN = "every parameter is frozen: call unfreeze() on the layers to train"
_NO_GRAD = "every gradient is zero: are all hidden units dead (see dl.dead_units), or are all weights zero?"


@dataclass(frozen=True, eq=False)
class OverfitResult:
    """The result of `overfit_tiny`. Print it.

    Attributes
    ----------
    ok : bool
        Whether the rows were memorised.
    rows : array of int
        Indices of the rows in the data.
    losses : list of float
        Loss before each step, and at the end.
    goal : float
        Rows count as memorised below this loss: a hundredth of the loss of outputs that are all zero.
    accuracy : float or None
        Accuracy at the end; None if the loss does not define it.
    findings : list of str
        One sentence per fault; empty if `ok`.
    """

    ok: bool
    rows: Array = field(repr=False)
    losses: list[float] = field(repr=False)
    goal: float
    accuracy: float | None
    findings: list[str]

    @property
    def steps(self) -> int:
        """Number of training steps."""
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
        accuracy = "" if self.accuracy is None else f", accuracy {100 * self.accuracy:.0f} %"
        memorised = "memorised" if self.ok else "not memorised"
        line = f"{len(self.rows)} rows {memorised} in {self.steps} steps: loss {self.first_loss:.4g} -> "
        return "\n".join([f"{line}{self.last_loss:.4g}{accuracy}", *(f"  - {finding}" for finding in self.findings)])


def overfit_tiny(
    model: Model, data: Dataset, *, rows: int = 20, steps: int = 1000, learning_rate: float = 0.001, rng: Seed = 0
) -> OverfitResult:
    """Train a copy of the model on a few rows, which it should memorise; the model itself does not change.

    The copy is trained without a regularizer, label smoothing and `Dropout`, which hinder memorising (noise in your own
    layers stays on). Each step of `Adam` uses all rows, until the loss is a hundredth of the loss of outputs that are
    all zero, or stops falling. If the loss fell, but not far enough, a second trial starts from the beginning with ten
    times the learning rate.

    Parameters
    ----------
    model : Model
        Untrained or trained.
    data : Dataset
        The rows are drawn from it, evenly from all classes.
    rows : int
        Largest number of rows. A single layer with d inputs cannot memorise more than d + 1.
    steps : int
        Largest number of steps in each of the two trials.
    learning_rate : float
        Learning rate of `Adam`.
    rng : int, Generator or None
        Random state for drawing the rows.

    Returns
    -------
    OverfitResult
        Print it: it says why rows were not memorised. This raises no error.

    Raises
    ------
    InputError
        If an argument is not as above, or the data does not fit the model.
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
    3 rows memorised in 862 steps: loss 1.255 -> 0.006931, accuracy 100 %
    """
    twin = working_copy("overfit_tiny", model)
    chosen = spread_rows("overfit_tiny", data, rows, as_generator(rng))
    steps = as_count("steps", steps)
    learning_rate = as_number("learning_rate", learning_rate, 0, above=True)
    twin.regularizer = None
    if isinstance(twin.loss, SoftmaxCrossEntropy) and twin.loss.label_smoothing:
        twin = Model(twin.network, SoftmaxCrossEntropy(class_weights=twin.loss.class_weights))
    x, y = data.x[chosen], data.y[chosen]
    # An overflow shows in the loss.
    with np.errstate(all="ignore"):
        for rate in (learning_rate, 10 * learning_rate):
            result = _train(copied("overfit_tiny", twin), Adam(rate), x, y, chosen, steps)
            if result.ok or abs(result.last_loss - result.first_loss) < 0.1 * result.first_loss:
                # If the loss does not move at all, another rate will not help.
                break
    return result


def _train(model: Model, optimizer: Adam, x: Array, y: Array, rows: Array, steps: int) -> OverfitResult:
    trainable = [p for p in model.parameters.values() if p.trainable]
    outputs = model.forward(x)
    reference = uninformed_loss(model.loss, outputs, y)
    losses = [model.compute_gradients(x, y)[1]]
    goal = _MEMORISED * (reference if reference > 0 else losses[0])
    has_grad, breakdown = any(p.grad.any() for p in trainable), ""
    try:
        while trainable and has_grad and losses[-1] > goal and len(losses) <= steps:
            check_gradients(model.parameters)
            optimizer.step(model.parameters)
            losses.append(model.compute_gradients(x, y)[1])
            if len(losses) > 2 * _PATIENCE and min(losses[-_PATIENCE:]) > 0.999 * min(losses[:-_PATIENCE]):
                break
        outputs = model.forward(x, train=True)
    except NonFiniteError as error:
        breakdown = f"training failed after {len(losses) - 1} steps: {error}; is x or the learning rate too large?"
    metrics = {} if breakdown else model.loss.metrics(outputs, y)
    memorised = losses[-1] <= goal
    findings = _faults_of_rows(x, y, rows, memorised=memorised)
    if breakdown:
        findings.append(breakdown)
    elif not memorised:
        cause = _NO_PARAMETER if not model.parameters else _FROZEN if not trainable else "" if has_grad else _NO_GRAD
        if cause or not findings:
            findings.append(cause or _why(model.loss, outputs, y, losses, goal))
    return OverfitResult(not findings, rows, losses, goal, metrics.get("accuracy"), findings)


def _faults_of_rows(x: Array, y: Array, rows: Array, *, memorised: bool) -> list[str]:
    """Return why it is impossible, or meaningless, to memorise these rows."""
    if len(rows) > 1 and (y == y[0]).all():
        return [f"all {len(rows)} rows have the same target, {y[0]}: memorising them proves nothing; choose other rows"]
    if len(rows) > 1 and (x == x[0]).all():
        return ["all rows of x are the same, so no network can separate them: was the data read correctly?"]
    if not memorised and (pair := contradiction(x, y, rows)):
        return [f"{pair}: no network can learn both"]
    return []


def contradiction(x: Array, y: Array, rows: Array) -> str:
    """Return a text that names the first two of `rows` with equal x and different y; "" if there are none."""
    first_index: dict[bytes, int] = {}
    for i, row in enumerate(x):
        first = first_index.setdefault(row.tobytes(), i)
        if (y[first] != y[i]).any():
            return f"rows {rows[first]} and {rows[i]} are the same, but their targets are {y[first]} and {y[i]}"
    return ""


def _why(loss: Loss, outputs: Array, targets: Array, losses: list[float], goal: float) -> str:
    first, last = losses[0], losses[-1]
    if np.ptp(outputs, axis=0).max() <= 1e-4 * max(1.0, float(np.abs(outputs).max())):
        symptom = f"the outputs are the same for every row, and the loss stays at {last:.4g}: x has no effect on them"
        return f"{symptom}; look for dead units (dl.dead_units), or weights that are all zero"
    change = f"the loss went from {first:.4g} to {last:.4g}, and did not fall below {goal:.2g}"
    if isinstance(loss, NumberLoss) and (largest := float(np.abs(targets).max())) > 10:
        advice = "subtract their mean and divide by their standard deviation"
        return f"{change}, and targets are as large as {largest:.4g}: {advice}"
    if not math.isfinite(last) or last > 1.05 * first:
        change = f"the loss rose from {first:.4g} to {last:.4g}"
        return f"{change}: is a gradient wrong (run dl.check_model), or is the learning rate too high?"
    question = "is the network too small for these rows, or is a gradient wrong (run dl.check_model)?"
    return f"{change}: {question} Otherwise try fewer rows, more steps, or another learning rate"
