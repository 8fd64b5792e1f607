"""The items of a sanity check: the most common faults of data and models.

Data: scale, labels, equal rows with different targets, shuffled rows. Model: initial loss, gradient, hidden units, and
whether it can learn at all.
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

# Number of rows for measuring scales.
_MEASURED = 2000
_STANDARDIZE = "standardize: scale = dl.Standardizer().fit(train.x), then train.map(scale)"
# Number of rows in the search for equal ones.
_COMPARED = 10_000
# Ratio of the largest to the smallest class from which classes count as unbalanced.
_RATIO = 50
# Factor above the loss of zero outputs; good initial weights before max-poolings may reach three.
_FAR = 5

_UNDECIDED = {
    Verdict.VACUOUS: "every gradient is 0 on four rows, so training would change nothing",
    Verdict.INCONCLUSIVE: "the rows are too close to kinks; check other rows: print(dl.check_model(model, x, y))",
}


class SanityItem(NamedTuple):
    """One item of a `sanity_check`: its name, the verdict, and a sentence with the finding and the remedy."""

    name: str
    verdict: Level
    sentence: str


def fault_from_error(name: str, error: Exception) -> SanityItem:
    """Return the fault for an exception: a user's layer or loss may raise any error."""
    sentence = str(error) if isinstance(error, MinidlError) else f"the model raised {type(error).__name__}: {error}"
    return SanityItem(name, "fault", sentence)


def run_item(name: str, check: Callable[..., SanityItem], *arguments: Any) -> SanityItem:
    """Return ``check(*arguments)``, or the fault `name` if it raises an error."""
    try:
        return check(*arguments)
    except Exception as error:
        return fault_from_error(name, error)


def judged(name: str, *rules: Rule, otherwise: str) -> SanityItem:
    """Return the item of the first rule (level, condition, sentence) whose condition is true; else "ok"."""
    items = (SanityItem(name, level, sentence) for level, condition, sentence in rules if condition)
    return next(items, SanityItem(name, "ok", otherwise))


def last_layer(model: Model, data: Dataset) -> list[SanityItem]:
    """Return a fault if the last layer does not fit the loss, else no item."""
    fault = limited_outputs(model.network, model.loss)
    # Another item reports the errors of a forward.
    with suppress(Exception):
        fault = fault or _like_softmax(model.loss, model.forward(data.x[:20]))
    return [SanityItem("last layer", "fault", fault)] if fault else []


def data_items(model: Model, data: Dataset) -> Iterator[SanityItem]:
    """Yield the items about the data; the caller stops at a fault, because later items would only repeat it."""
    rng = np.random.default_rng(0)
    yield _inputs(model, data, rng)
    try:
        outputs = model.forward(data.x[:1])
        if not np.isfinite(outputs).all():
            raise NonFiniteError(f"outputs are not finite; this first occurred in {first_place(model, data.x[:1])}")
    except Exception as error:
        yield fault_from_error("forward", error)
        return
    targets = run_item("labels", _targets, model.loss, data, outputs)
    yield targets
    yield _equal_rows(data, rng)
    if targets.name == "labels" and (result := relation(data, rng)):
        sentence, related = result
        warning = f"labels look unrelated to x ({sentence}): were rows and labels shuffled separately?"
        yield judged("labels and x", ("warning", not related, warning), otherwise=sentence)


def _inputs(model: Model, data: Dataset, rng: np.random.Generator) -> SanityItem:
    x = data.x
    try:
        check_finite("x", x)
        check_holds("x", x, model.dtype)
    except NonFiniteError as error:
        return SanityItem("inputs", "fault", f"{error}; remove or correct these rows")
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
    # Adding 0 turns -0.0 into 0.
    mean = round(float(some.mean()), 2) + 0.0
    many = f"{large.sum()} of {features} features are far larger than 1, the largest is number {sizes.argmax()}"
    same = f"{constant.sum()} of {features} features are constant in {n} rows"
    return judged(
        "inputs",
        ("fault", not some.any(), f"all numbers are 0 in {n} rows: was the data read correctly?"),
        ("fault", constant.all(), f"{n} rows of x are all the same: was the data read correctly?"),
        ("warning", large.mean() > 0.5, f"x is {x.dtype} {extent}, far from mean 0 and spread 1; {_STANDARDIZE}"),
        ("warning", large.any(), f"{many}; {_STANDARDIZE}, and look for outliers (x ranges {extent})"),
        ("warning", sizes.max() < 0.01, f"x is tiny, {extent}; {_STANDARDIZE}"),
        ("warning", max(-low, high) > 1000, f"x ranges {extent}, far beyond most values: look for outliers"),
        ("warning", constant.mean() > 0.5, f"{same}: is that intended?"),
        otherwise=f"{len(data)} rows of {shape}, from {low:.3g} to {high:.3g}, mean {mean:g}, "
        f"standard deviation {some.std():.2g}",
    )


def _like_softmax(loss: Loss, outputs: Array) -> str:
    """Return the fault that the outputs come from a softmax, for example in a user's layer; else ""."""
    probabilities = outputs.ndim == 2 and outputs.shape[1] > 1 and (outputs >= 0).all()
    if loss.takes_logits and probabilities and np.allclose(outputs.sum(axis=1), 1, atol=1e-4):
        reason = "the outputs of each row are >= 0 and sum to 1, like those of a softmax"
        return f"{reason}, but {loss!r:.80} expects logits: remove the softmax"
    return ""


def _targets(loss: Loss, data: Dataset, outputs: Array) -> SanityItem:
    targets = loss.check_targets(data.y, (len(data), *outputs.shape[1:]))
    size = _size(targets)
    # A classifier predicts one class per row, from outputs (n, classes).
    classifies = outputs.ndim == 2 and outputs.shape[1] > 1 and targets.ndim == 1 and targets.dtype.kind in "iu"
    if classifies and np.shape(loss.predict(outputs)) == outputs.shape[:1]:
        check_class_names(data, outputs.shape[1])
        return _labels(targets, outputs.shape[1])
    low, high = float(targets.min()), float(targets.max())
    advice = "subtract their mean and divide by their standard deviation. The items below use targets divided by"
    return judged(
        "targets",
        ("fault", len(targets) > 1 and low == high, f"all targets are {low:.4g}: there is nothing to learn"),
        ("warning", size > 10, f"targets range from {low:.4g} to {high:.4g}, far from 0 +- 1: {advice} {size:.3g}"),
        otherwise=f"from {low:.3g} to {high:.3g}, mean {targets.mean():.2g}",
    )


def near_one(data: Dataset, items: list[SanityItem]) -> Dataset:
    """Return the data with smaller targets if `items` warn of large ones, so that no item blames the model for them.

    Targets are divided but not shifted, because a loss may need targets above 0.
    """
    large = any(item.name == "targets" and item.verdict == "warning" for item in items)
    return Dataset(data.x, data.y / _size(data.y)) if large else data


def _size(targets: Array) -> float:
    return math.sqrt(float(np.square(targets, dtype=np.float64).mean()))


def _labels(labels: Array, classes: int) -> SanityItem:
    # A user's loss may not have checked this.
    if labels.min() < 0 or labels.max() >= classes:
        fault = f"labels range from {labels.min()} to {labels.max()}, but {classes} outputs need 0 to {classes - 1}"
        return SanityItem("labels", "fault", fault)
    counts = np.bincount(labels, minlength=classes)
    common, n = int(counts.argmax()), len(labels)
    most = int(counts[common])
    missing = np.flatnonzero(counts == 0).tolist()
    named = ", ".join([str(label) for label in missing[:5]] + ["..."] * (len(missing) > 5))
    hint = "do the labels start at 1?" if 0 in missing else "does the network have too many outputs?"
    sizes = f"{most}" if counts.min() == most else f"{counts.min()} to {most}"
    present = np.flatnonzero(counts)
    rare = int(present[counts[present].argmin()])
    least = int(counts[rare])
    share = f"always predicting {common} would be correct for {100 * most / n:.1f} % of rows"
    advice = f"{share}; pass class_weights to the loss, and check each class with per_class_accuracy"
    return judged(
        "labels",
        ("fault", 1 < n == most, f"all {n} labels are {labels[0]}: there is nothing to learn"),
        ("warning", missing and n >= 10 * classes, f"{classes} classes, but no row has label {named}: {hint}"),
        ("warning", most >= _RATIO * least, f"{least} rows of label {rare}, but {most} of label {common}: {advice}"),
        otherwise=f"{classes} classes of {sizes} rows each; {share}",
    )


def _equal_rows(data: Dataset, rng: np.random.Generator) -> SanityItem:
    rows = some_rows("sanity_check", data, _COMPARED, rng)
    pair = contradiction(data.x[rows], data.y[rows], rows)
    otherwise = f"no equal rows with different targets among {len(rows)} rows"
    return judged("equal rows", ("warning", pair, f"{pair}: are the labels correct?"), otherwise=otherwise)


def model_items(model: Model, data: Dataset, *, trained: bool) -> list[SanityItem]:
    """Return the items about the model. This changes the model: pass a copy."""
    rng = np.random.default_rng(0)
    some = data[some_rows("sanity_check", data, 200, rng)]
    name = "loss so far" if trained else "initial loss"
    items = [run_item(name, _initial_loss, name, model, some)]
    if not model.parameters:
        return [*items, SanityItem("parameters", "warning", "there are none, so there is nothing to learn")]
    items += [run_item("gradient", _gradient, model, data), *_units(model, some)]
    return [*items, run_item("overfitting", _overfit, model, data)]


def _initial_loss(name: str, model: Model, data: Dataset) -> SanityItem:
    # Use a copy, because a training forward changes running statistics.
    twin = model.astype(model.dtype)
    outputs = twin.forward(data.x, train=len(data) > 1)
    loss = twin.loss.forward(outputs, data.y)
    expected = uninformed_loss(twin.loss, outputs, data.y)
    known = f"{expected:.4g}, {_zero_output_meaning(twin, outputs)}"
    text = f"{loss:.4g}"
    if expected > 0:
        text += f", below {known}: the model is already trained" if loss < 0.7 * expected else f", near {known}"
    advice = "use smaller initial weights, or standardize the inputs"
    return judged(
        name,
        ("fault", not math.isfinite(loss), f"it is {loss}: are the weights or x too large?"),
        ("warning", 0 < _FAR * expected < loss, f"{loss:.4g}, far above {known}; {advice}"),
        otherwise=text,
    )


def _zero_output_meaning(model: Model, outputs: Array) -> str:
    if isinstance(model.loss, SoftmaxCrossEntropy) and model.loss.class_weights is None:
        return f"ln {outputs.shape[1]}, the loss of equal probabilities"
    if isinstance(model.loss, SigmoidCrossEntropy | BinaryCrossEntropy):
        return "ln 2, the loss of equal probabilities"
    return "the loss of outputs that are all 0"


def _gradient(model: Model, data: Dataset) -> SanityItem:
    model = model.astype(np.float64)
    # Near several kinks the check cannot decide. Other rows usually avoid them.
    for seed in range(4):
        few = data[spread_rows("sanity_check", data, 4, np.random.default_rng(seed))]
        x = few.x.astype(np.float64)
        report = _along_directions(model.astype(np.float64), x, few.y, seed)
        if report.verdict is not Verdict.INCONCLUSIVE:
            break
    # The thorough check names the entry and a likely cause, but takes minutes for millions of parameters.
    small = sum(p.value.size for p in model.parameters.values()) < 10_000
    values = report.verdict in (Verdict.FAIL_VALUE, Verdict.INCONCLUSIVE)
    if not report.ok and report.verdict is not Verdict.VACUOUS and (small or not values):
        report = check_model(model, x, few.y)
    if report.ok:
        count = len(model.parameters)
        return SanityItem("gradient", "ok", f"correct along one random direction in each of {count} parameters")
    if report.verdict in _UNDECIDED:
        return SanityItem("gradient", "warning", _UNDECIDED[report.verdict])
    finding = report.findings[0]
    fault = str(finding)
    if finding.tensor == "argument 0" and finding.index:
        name = list(model.parameters)[finding.index[0]]
        fault = f"{name}, along one random direction: {finding.reason}"
    return SanityItem("gradient", "fault", f"{fault}; find the layer with dl.check_layer")


def _along_directions(model: Model, x: Array, y: Array, seed: int) -> GradientReport:
    """Check the cost along one random direction through each parameter: `check_model` takes minutes for millions.

    The training forward is checked, so that a batch normalization uses the batch.
    """
    rng = np.random.default_rng(seed)
    parameters = list(model.parameters.values())
    starts = [p.value.copy() for p in parameters]
    # Not random signs: a softmax ignores directions that move all its inputs equally.
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
        # With one row, or equal rows, there is nothing to compare. Another item reports the errors of a layer.
        return []
    if not report.layers:
        return []
    hopeless = any(layer.dead == layer.units for layer in report.layers)
    verdict: Level = "ok" if report.ok else "fault" if hopeless else "warning"
    return [SanityItem("hidden units", verdict, report.sentence)]


def _overfit(model: Model, data: Dataset) -> SanityItem:
    """Check whether the model can memorise 20 rows, or fewer if it is small."""
    trainable = sum(p.value.size for p in model.parameters.values() if p.trainable)
    per_output = trainable // max(1, math.prod(model.forward(data.x[:1]).shape[1:]))
    # A layer with d inputs has d + 1 parameters per output; to memorise d + 1 rows it may need very large weights.
    rows = min(20, max(2, per_output - 1))
    trials = [(rows, 0.001)]
    if per_output < 1000:
        trials += [(rows, 0.1), (max(2, rows // 5), 0.01)]
    finding = ""
    for count, rate in trials:
        result = overfit_tiny(model, data, rows=count, learning_rate=rate)
        if result.ok:
            return SanityItem("overfitting", "ok", str(result))
        finding = finding or f"{str(result).splitlines()[0]}: {result.findings[0]}"
        if not result.last_loss < 0.9 * result.first_loss:
            # Fewer rows would not lower the loss either.
            break
    return SanityItem("overfitting", "fault", finding)
