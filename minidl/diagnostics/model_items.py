"""What is most often wrong with a model: its initial loss, its gradient, its units; and whether it can learn at all."""

import math

import numpy as np

from minidl._core.types import Array
from minidl.data.dataset import Dataset
from minidl.diagnostics.common import some_rows, spread_rows, uninformed_loss
from minidl.diagnostics.item import Level, SanityItem, attempted, judged
from minidl.diagnostics.overfit import overfit_tiny
from minidl.diagnostics.units import dead_units
from minidl.gradcheck import GradientReport, Verdict, check_function, check_model
from minidl.nn.losses import BinaryCrossEntropy, SigmoidCrossEntropy, SoftmaxCrossEntropy
from minidl.nn.model import Model

# Times the loss of knowing nothing; good initial weights before max-poolings may come to three times.
_FAR = 5

_UNDECIDED = {
    Verdict.VACUOUS: "every gradient is 0 on four rows, so that nothing would be learnt",
    Verdict.INCONCLUSIVE: "too close to kinks to decide; check it on other rows: print(dl.check_model(model, x, y))",
}


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
