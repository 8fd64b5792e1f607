"""What a sanity check looks at, and what is most often wrong with it.

Of the data: its scale, its labels, equal rows that contradict each other, mixed-up rows. Of the model: its initial
loss, its gradient, its units; and whether it can learn at all.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np

from minidl._core.checks import check_finite, check_holds
from minidl._core.errors import InputError, MinidlError, NonFiniteError
from minidl._core.types import Array
from minidl.data.dataset import Dataset, check_class_names
from minidl.diagnostics.common import some_rows, spread_rows, uninformed_loss
from minidl.diagnostics.overfit import contradiction, overfit_tiny
from minidl.diagnostics.relation import relation
from minidl.diagnostics.units import dead_units
from minidl.gradcheck import GradientReport, Verdict, check_function, check_model
from minidl.nn.ends import limited_outputs
from minidl.nn.losses import BinaryCrossEntropy, Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from minidl.nn.model import Model
from minidl.training.nonfinite import first_place

Level = Literal["ok", "warning", "fault"]
Rule = tuple[Level, Any, str]

# Rows that scales are measured on.
_MEASURED = 2000
_STANDARDIZE = "standardize: scale = dl.Standardizer().fit(train.x), then train.map(scale)"
# Rows among which equal ones are looked for.
_LOOKED_UP = 10_000
# Times as many rows as the rarest class has.
_UNEVEN = 50
# Times the loss of knowing nothing; good initial weights before max-poolings may come to three times.
_FAR = 5

_UNDECIDED = {
    Verdict.VACUOUS: "every gradient is 0 on four rows, so that nothing would be learned",
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


def judged(name: str, *rules: Rule, otherwise: str) -> SanityItem:
    """Return what the first rule (level, whether it holds, sentence) that holds says; if none does, all is ok."""
    found = (SanityItem(name, level, sentence) for level, holds, sentence in rules if holds)
    return next(found, SanityItem(name, "ok", otherwise))


def last_layer(model: Model, data: Dataset) -> list[SanityItem]:
    """Return the fault that the loss does not take what the last layer gives, if it is so."""
    told = limited_outputs(model.network, model.loss)
    # What stands in the way of a forward is named by another item.
    with suppress(Exception):
        told = told or _like_softmax(model.loss, model.forward(data.x[:20]))
    return [SanityItem("last layer", "fault", told)] if told else []


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
    yield _equal_rows(data, rng)
    if targets.name == "labels" and (found := relation(data, rng)):
        told, related = found
        advice = f"labels look unrelated to x ({told}): were rows and labels shuffled apart?"
        yield judged("labels and x", ("warning", not related, advice), otherwise=told)


def _inputs(model: Model, data: Dataset, rng: np.random.Generator) -> SanityItem:
    x = data.x
    try:
        check_finite("x", x)
        check_holds("x", x, model.dtype)
    except NonFiniteError as error:
        return SanityItem("inputs", "fault", f"{error}; leave such rows out, or correct them")
    except InputError as error:
        return SanityItem("inputs", "fault", str(error))
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
        ("fault", not some.any(), f"all numbers are 0 in {n} rows: was the data read right?"),
        ("fault", constant.all(), f"{n} rows of x are all the same: was the data read right?"),
        ("warning", large.mean() > 0.5, f"x is {x.dtype} {extent}, far from mean 0 and spread 1; {_STANDARDIZE}"),
        ("warning", large.any(), f"{many}; {_STANDARDIZE}, and look for outliers (x goes {extent})"),
        ("warning", sizes.max() < 0.01, f"x is tiny, {extent}; {_STANDARDIZE}"),
        ("warning", max(-low, high) > 1000, f"x goes {extent}, far outside the rest: look for outliers"),
        ("warning", constant.mean() > 0.5, f"{same}: is that intended?"),
        otherwise=f"{len(data)} rows of {shape}, from {low:.3g} to {high:.3g}, mean {mean:g}, "
        f"standard deviation {some.std():.2g}",
    )


def _like_softmax(loss: Loss, outputs: Array) -> str:
    """Return in words that outputs are as of a softmax, such as that of a layer of the user's own; else ""."""
    probabilities = outputs.ndim == 2 and outputs.shape[1] > 1 and (outputs >= 0).all()
    if loss.takes_logits and probabilities and np.allclose(outputs.sum(axis=1), 1, atol=1e-4):
        told = "the outputs of each row are >= 0 and sum to 1, as those of a softmax"
        return f"{told}, but {loss!r:.80} takes logits: leave the softmax out"
    return ""


def _targets(loss: Loss, data: Dataset, outputs: Array) -> SanityItem:
    targets = loss.check_targets(data.y, (len(data), *outputs.shape[1:]))
    size = _size(targets)
    # A classifier chooses one class a row, from outputs (n, classes).
    classifies = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.ndim == 1 and targets.dtype.kind in "iu"
    if classifies and np.shape(loss.predict(outputs)) == outputs.shape[:1]:
        check_class_names(data, outputs.shape[1])
        return _labels(targets, outputs.shape[1])
    low, high = float(targets.min()), float(targets.max())
    advice = "subtract their mean and divide by their standard deviation. All below is of targets divided by"
    return judged(
        "targets",
        ("fault", len(targets) > 1 and low == high, f"all targets are {low:.4g}: there is nothing to learn"),
        ("warning", size > 10, f"targets go from {low:.4g} to {high:.4g}, far from 0 +- 1: {advice} {size:.3g}"),
        otherwise=f"from {low:.3g} to {high:.3g}, mean {targets.mean():.2g}",
    )


def near_one(data: Dataset, items: list[SanityItem]) -> Dataset:
    """Return the data with smaller targets, if `items` blame theirs: then no model is blamed for their scale.

    Divided alone, since a loss may need targets above 0.
    """
    blamed = any(item.name == "targets" and item.verdict == "warning" for item in items)
    return Dataset(data.x, data.y / _size(data.y)) if blamed else data


def _size(targets: Array) -> float:
    return math.sqrt(float(np.square(targets, dtype=np.float64).mean()))


def _labels(labels: Array, classes: int) -> SanityItem:
    # A user's loss may not have asked.
    if labels.min() < 0 or labels.max() >= classes:
        told = f"labels go from {labels.min()} to {labels.max()}, but {classes} outputs stand for 0..{classes - 1}"
        return SanityItem("labels", "fault", told)
    counts = np.bincount(labels, minlength=classes)
    common, n = int(counts.argmax()), len(labels)
    most = int(counts[common])
    missing = np.flatnonzero(counts == 0).tolist()
    named = ", ".join([str(label) for label in missing[:5]] + ["..."] * (len(missing) > 5))
    hint = "do labels count from 1?" if 0 in missing else "has the network too many outputs?"
    sizes = f"{most}" if counts.min() == most else f"{counts.min()} to {most}"
    present = np.flatnonzero(counts)
    rare = int(present[counts[present].argmin()])
    least = int(counts[rare])
    right = f"always saying {common} would be right in {most / n:.1%}"
    advice = f"{right}; pass class_weights to the loss, and judge each class by itself (per_class_accuracy)"
    return judged(
        "labels",
        ("fault", 1 < n == most, f"all {n} labels are {labels[0]}: there is nothing to learn"),
        ("warning", missing and n >= 10 * classes, f"no row has label {named}, of {classes} classes: {hint}"),
        ("warning", most >= _UNEVEN * least, f"{least} rows of label {rare}, but {most} of {common}: {advice}"),
        otherwise=f"{classes} classes of {sizes} rows each; {right}",
    )


def _equal_rows(data: Dataset, rng: np.random.Generator) -> SanityItem:
    rows = some_rows("sanity_check", data, _LOOKED_UP, rng)
    told = contradiction(data.x[rows], data.y[rows], rows)
    otherwise = f"no two of {len(rows)} rows are the same with different targets"
    return judged("equal rows", ("warning", told, f"{told}: are the labels right?"), otherwise=otherwise)


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
        ("fault", not math.isfinite(loss), f"it is {loss}: are weights or x huge?"),
        ("warning", 0 < _FAR * expected < loss, f"{loss:.4g}, far above {known}; {advice}"),
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
    """Say whether the model can memorise: 20 rows, or as many as can be asked of a small one."""
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
