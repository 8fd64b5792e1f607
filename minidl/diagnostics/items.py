"""What a sanity check looks at, and what is most often wrong with it.

Of the data: its scale, its labels, equal rows that contradict each other, mixed-up rows. Of the model: its initial
loss, its gradient, its units; and whether it can learn at all.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from minidl._core.checks import check_finite, check_holds
from minidl._core.errors import MinidlError, NonFiniteError
from minidl._core.types import Array
from minidl.data.dataset import Dataset
from minidl.diagnostics.common import some_rows, spread_rows, uninformed_loss
from minidl.diagnostics.overfit import contradiction, overfit_tiny
from minidl.diagnostics.units import dead_units
from minidl.gradcheck import GradientReport, Verdict, check_function, check_model
from minidl.nn.losses import BinaryCrossEntropy, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.training.nonfinite import first_place

Level = Literal["ok", "warning", "fault"]
Rule = tuple[Any, str]

# Rows that scales are measured on.
_MEASURED = 2000
# Rows that are compared with each other: 0.1 s for 3072 features.
_COMPARED = 1000
# Standard deviations above chance.
_SIGNIFICANT = 3.0
_STANDARDIZE = "standardize: scale = dl.Standardizer().fit(train.x), then train.map(scale)"
# Rows among which equal ones are looked for.
_LOOKED_UP = 10_000
# Times the loss of knowing nothing; good initial weights before max-poolings may come to three times.
_FAR = 5

_UNDECIDED = {
    Verdict.VACUOUS: "every gradient is 0 on four rows, so that nothing would be learnt",
    Verdict.INCONCLUSIVE: "too close to kinks to decide; check it on other rows: print(dl.check_model(model, x, y))",
}


class SanityItem(NamedTuple):
    """One thing that `sanity_check` looked at: its name, the verdict, and a sentence with what to do."""

    name: str
    verdict: Level
    sentence: str


def raised(name: str, error: Exception) -> SanityItem:
    """Return the fault that something raised `error`: layers and losses of the user's own may raise anything."""
    told = str(error) if isinstance(error, MinidlError) else f"the model raised {type(error).__name__}: {error}"
    return SanityItem(name, "fault", told)


def attempted(name: str, look: Callable[..., SanityItem], *arguments: Any) -> SanityItem:
    """Return what ``look(*arguments)`` returns, or the fault `name` if it raises."""
    try:
        return look(*arguments)
    except Exception as error:
        return raised(name, error)


def judged(name: str, *, faults: Iterable[Rule] = (), warnings: Iterable[Rule] = (), otherwise: str) -> SanityItem:
    """Return the item with the sentence of the first rule (whether it holds, sentence) that holds; else it is ok."""
    rules: dict[Level, Iterable[Rule]] = {"fault": faults, "warning": warnings}
    found = (SanityItem(name, level, sentence) for level in rules for holds, sentence in rules[level] if holds)
    return next(found, SanityItem(name, "ok", otherwise))


def data_items(model: Model, data: Dataset) -> Iterator[SanityItem]:
    """Yield the items about the data; nobody asks for those after a fault, which would only repeat it."""
    rng = np.random.default_rng(0)
    yield _inputs(model, data, rng)
    try:
        outputs = model.forward(data.x[:1])
        if not np.isfinite(outputs).all():
            raise NonFiniteError(f"its outputs are not finite; first met in {first_place(model, data.x[:1])}")
    except Exception as error:
        yield raised("forward", error)
        return
    targets = attempted("labels", _targets, model.loss, data, outputs)
    yield targets
    relation = _relation(data, rng) if targets.name == "labels" else []
    yield _equal_rows(data, rng)
    yield from relation


def _inputs(model: Model, data: Dataset, rng: np.random.Generator) -> SanityItem:
    x = data.x
    try:
        check_finite("x", x)
        check_holds("x", x, model.dtype)
    except MinidlError as error:
        return SanityItem("inputs", "fault", f"{error}; leave such rows out, or mend them")
    rows = some_rows("sanity_check", data, _MEASURED, rng)
    some = x[rows].reshape(len(rows), -1).astype(np.float64)
    n, features = some.shape
    constant = (np.ptp(some, axis=0) == 0) & (n > 1)
    low, high = float(x.min()), float(x.max())
    extent = f"from {low:.4g} to {high:.4g}"
    sizes = np.sqrt(np.square(some).mean(axis=0))
    large = sizes > 10
    shape = " x ".join(map(str, x.shape[1:])) or "1"
    # Adding 0 makes -0.0 plain 0.
    mean = round(float(some.mean()), 2) + 0.0
    many = f"{large.sum()} of {features} features are far larger than 1, most of all number {sizes.argmax()}"
    same = f"{constant.sum()} of {features} features are the same in all of {n} rows"
    return judged(
        "inputs",
        faults=[
            (not some.any(), f"all numbers are 0 in {n} rows: was the data read right?"),
            (constant.all(), f"{n} rows of x are all the same: was the data read right?"),
        ],
        warnings=[
            (large.mean() > 0.5, f"x is {x.dtype} {extent}, far from mean 0 and spread 1; {_STANDARDIZE}"),
            (large.any(), f"{many}; {_STANDARDIZE}, and look for outliers (x goes {extent})"),
            (sizes.max() < 0.01, f"x is tiny, {extent}; {_STANDARDIZE}"),
            (max(-low, high) > 1000, f"x goes {extent}, far outside the rest: look for outliers"),
            (constant.mean() > 0.5, f"{same}: is that meant so?"),
        ],
        otherwise=f"{len(data)} rows of {shape}, from {low:.3g} to {high:.3g}, mean {mean:g}, "
        f"standard deviation {some.std():.2g}",
    )


def _targets(loss: Loss, data: Dataset, outputs: Array) -> SanityItem:
    targets = loss.check_targets(data.y, (len(data), *outputs.shape[1:]))
    # A classifier chooses one class a row, from outputs (n, classes).
    classifies = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.ndim == 1 and targets.dtype.kind in "iu"
    if classifies and np.shape(loss.predict(outputs)) == outputs.shape[:1]:
        return _labels(targets, outputs.shape[1])
    low, high = float(targets.min()), float(targets.max())
    size = math.sqrt(float(np.square(targets, dtype=np.float64).mean()))
    advice = "subtract their mean and divide by their standard deviation"
    return judged(
        "targets",
        faults=[(len(targets) > 1 and low == high, f"all targets are {low:.4g}: there is nothing to learn")],
        warnings=[(size > 10, f"targets go from {low:.4g} to {high:.4g}, far from 0 +- 1: {advice}")],
        otherwise=f"from {low:.3g} to {high:.3g}, mean {targets.mean():.2g}",
    )


def _labels(labels: Array, classes: int) -> SanityItem:
    # A user's loss may not have asked.
    if labels.min() < 0 or labels.max() >= classes:
        told = f"labels go from {labels.min()} to {labels.max()}, but {classes} outputs stand for 0..{classes - 1}"
        return SanityItem("labels", "fault", told)
    counts = np.bincount(labels, minlength=classes)
    most, n = int(counts.max()), len(labels)
    missing = np.flatnonzero(counts == 0).tolist()
    named = ", ".join([str(label) for label in missing[:5]] + ["..."] * (len(missing) > 5))
    hint = "do labels count from 1?" if 0 in missing else "has the network too many outputs?"
    sizes = f"{most}" if counts.min() == most else f"{counts.min()} to {most}"
    right = f"always saying {counts.argmax()} would be right in {most / n:.1%}"
    return judged(
        "labels",
        faults=[(1 < n == most, f"all {n} labels are {labels[0]}: there is nothing to learn")],
        warnings=[(missing and n >= 10 * classes, f"no row has label {named}, of {classes} classes: {hint}")],
        otherwise=f"{classes} classes of {sizes} rows each; {right}",
    )


def _equal_rows(data: Dataset, rng: np.random.Generator) -> SanityItem:
    rows = some_rows("sanity_check", data, _LOOKED_UP, rng)
    if pair := contradiction(data.x[rows], data.y[rows]):
        i, j = rows[list(pair)].tolist()
        told = f"rows {i} and {j} are the same, but their targets are {data.y[i]} and {data.y[j]}"
        return SanityItem("equal rows", "warning", f"{told}: are the labels right?")
    return SanityItem("equal rows", "ok", f"no two of {len(rows)} rows are the same with different targets")


def _relation(data: Dataset, rng: np.random.Generator) -> list[SanityItem]:
    """Say whether labels have anything to do with x, by the nearest row and the nearest class mean; [] if too few.

    Both are compared with what they would come to by chance, had the labels been dealt out anew.
    """
    rows = some_rows("sanity_check", data, _COMPARED, rng)
    x, y = data.x[rows].reshape(len(rows), -1).astype(np.float32), data.y[rows]
    if len(rows) < 100 or len(rows) < 5 * len(np.unique(y)):
        return []
    x -= x.mean(axis=0)
    spread = x.std(axis=0)
    x /= np.where(spread > 0, spread, 1)
    order = rng.permutation(len(x))
    first, second = order[::2], order[1::2]
    classes = np.unique(y[first])
    means = np.array([x[first][y[first] == c].mean(axis=0) for c in classes])
    nearest = _distances(x, x)
    np.fill_diagonal(nearest, np.inf)
    rules = {
        "the nearest row": (y[nearest.argmin(axis=1)], y),
        "the nearest class mean": (classes[_distances(x[second], means).argmin(axis=1)], y[second]),
    }
    best, found = -math.inf, ""
    for rule, (guesses, labels) in rules.items():
        chance = sum(float((guesses == c).mean() * (labels == c).mean()) for c in np.unique(labels))
        right = float((guesses == labels).mean())
        above = (right - chance) / math.sqrt(max(chance * (1 - chance), 1e-12) / len(labels))
        if above > best:
            best, found = above, f"{rule} tells the label in {right:.0%} of {len(labels)} rows, by chance {chance:.0%}"
    advice = f"labels look unrelated to x ({found}): were rows and labels shuffled apart?"
    return [judged("labels and x", warnings=[(best <= _SIGNIFICANT, advice)], otherwise=found)]


def _distances(a: Array, b: Array) -> Array:
    """Return the squared distance of each row of `a` from each row of `b`."""
    squares: Array = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return squares


def model_items(model: Model, data: Dataset, *, trained: bool) -> list[SanityItem]:
    """Return the items about the model, which is changed: hand in a copy."""
    rng = np.random.default_rng(0)
    some = data[some_rows("sanity_check", data, 200, rng)]
    name = "loss so far" if trained else "initial loss"
    items = [attempted(name, _initial_loss, name, model, some)]
    if not model.parameters:
        return [*items, SanityItem("parameters", "warning", "there are none, so that there is nothing to learn")]
    items += [attempted("gradient", _gradient, model, data), *_units(model, some)]
    return [*items, attempted("overfitting", _overfit, model, data)]


def _initial_loss(name: str, model: Model, data: Dataset) -> SanityItem:
    # A copy, since a training forward moves running statistics.
    twin = model.astype(model.dtype)
    outputs = twin.forward(data.x, train=len(data) > 1)
    loss = twin.loss.forward(outputs, data.y)
    expected = uninformed_loss(twin.loss, outputs, data.y)
    known = f"{expected:.4g}, {_what_zero_outputs_mean(twin, outputs)}"
    told = f"{loss:.4g}"
    if expected > 0:
        told += f", below {known}: the model knows something already" if loss < 0.7 * expected else f", near {known}"
    advice = "smaller initial weights, or inputs that are standardized, bring it there"
    return judged(
        name,
        faults=[(not math.isfinite(loss), f"it is {loss}: are weights or x huge?")],
        warnings=[(0 < _FAR * expected < loss, f"{loss:.4g}, far above {known}; {advice}")],
        otherwise=told,
    )


def _what_zero_outputs_mean(model: Model, outputs: Array) -> str:
    if isinstance(model.loss, SoftmaxCrossEntropy) and model.loss.class_weights is None:
        return f"ln {outputs.shape[1]}, of a model that knows nothing"
    if isinstance(model.loss, SigmoidCrossEntropy | BinaryCrossEntropy):
        return "ln 2, of a model that knows nothing"
    return "the loss of outputs that are all 0"


def _gradient(model: Model, data: Dataset) -> SanityItem:
    model = model.astype(np.float64)
    # Where several kinks meet nothing can be decided: rarely twice.
    for seed in range(4):
        few = data[spread_rows("sanity_check", data, 4, np.random.default_rng(seed))]
        x = few.x.astype(np.float64)
        report = _along_directions(model.astype(np.float64), x, few.y, seed)
        if report.verdict is not Verdict.INCONCLUSIVE:
            break
    # The thorough check knows the entry and a likely cause, but takes minutes for millions of parameters.
    small = sum(p.value.size for p in model.parameters.values()) < 10_000
    values = report.verdict in (Verdict.FAIL_VALUE, Verdict.INCONCLUSIVE)
    if not report.ok and report.verdict is not Verdict.VACUOUS and (small or not values):
        report = check_model(model, x, few.y)
    if report.ok:
        count = len(model.parameters)
        return SanityItem("gradient", "ok", f"right along a direction through each of {count} parameters")
    if report.verdict in _UNDECIDED:
        return SanityItem("gradient", "warning", _UNDECIDED[report.verdict])
    finding = report.findings[0]
    told = str(finding)
    if finding.tensor == "argument 0" and finding.index:
        name = list(model.parameters)[finding.index[0]]
        told = f"{name}, along a direction through all of it: {finding.reason}"
    return SanityItem("gradient", "fault", f"{told}; find the layer with dl.check_layer")


def _along_directions(model: Model, x: Array, y: Array, seed: int) -> GradientReport:
    """Check the cost along one random direction through each parameter: `check_model` takes minutes for millions.

    The training forward is checked, so that a batch normalization uses the batch.
    """
    rng = np.random.default_rng(seed)
    parameters = list(model.parameters.values())
    starts = [p.value.copy() for p in parameters]
    # Not of signs: a softmax would not see those that move all its inputs alike.
    directions = [rng.standard_normal(p.value.shape) / math.sqrt(max(1, p.value.size)) for p in parameters]
    now = [0.0] * len(parameters)

    def move(t: Array) -> None:
        for i, parameter in enumerate(parameters):
            if t[i] != now[i]:
                parameter.value[...] = starts[i] + t[i] * directions[i]
                now[i] = float(t[i])

    def cost(t: Array) -> float:
        move(t)
        return model.loss.forward(model.forward(x, train=True), y) + model.penalty()

    def slopes(dy: float, t: Array) -> Array:
        move(t)
        model.compute_gradients(x, y)
        return dy * np.array([np.vdot(p.grad, d) for p, d in zip(parameters, directions, strict=True)])

    return check_function(cost, slopes, np.zeros(len(parameters)))


def _units(model: Model, data: Dataset) -> list[SanityItem]:
    try:
        report = dead_units(model, data.x)
    except Exception:
        # One row, or equal ones: nothing to compare. What a layer raises is told by another item.
        return []
    if not report.layers:
        return []
    hopeless = any(layer.dead == layer.units for layer in report.layers)
    verdict: Level = "ok" if report.ok else "fault" if hopeless else "warning"
    return [SanityItem("hidden units", verdict, report.sentence)]


def _overfit(model: Model, data: Dataset) -> SanityItem:
    """Say whether the model can learn by heart: 20 rows, or as many as can be asked of a small one."""
    trained = sum(p.value.size for p in model.parameters.values() if p.trainable)
    for_each_output = trained // max(1, math.prod(model.forward(data.x[:1]).shape[1:]))
    # A layer of d inputs has d + 1 numbers for each output, and with as many rows may need very large ones.
    rows = min(20, max(2, for_each_output - 1))
    trials = [(rows, 0.001)]
    if for_each_output < 1000:
        trials += [(rows, 0.1), (max(2, rows // 5), 0.01)]
    finding = ""
    for count, rate in trials:
        result = overfit_tiny(model, data, rows=count, learning_rate=rate)
        if result.ok:
            return SanityItem("overfitting", "ok", str(result))
        finding = finding or f"{str(result).splitlines()[0]}: {result.findings[0]}"
        if not result.last_loss < 0.9 * result.first_loss:
            # Fewer rows would not move it either.
            break
    return SanityItem("overfitting", "fault", finding)
