"""The checks: exact rules first, then values against numerical derivatives, then the rules of use."""

import copy
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from minidl.checks import as_array, check_finite, check_type
from minidl.errors import InputError, MinidlError
from minidl.gradcheck.contracts import (
    behaviour_of_layer,
    behaviour_of_loss,
    behaviour_of_regularizer,
    purity_of_layer,
    purity_of_loss,
    purity_of_regularizer,
)
from minidl.gradcheck.contracts_call import (
    behaviour_of_function,
    behaviour_of_model,
    purity_of_function,
    purity_of_model,
)
from minidl.gradcheck.report import Finding, GradientReport, Verdict
from minidl.gradcheck.slopes import few_digits
from minidl.gradcheck.subjects import (
    CostSubject,
    FunctionSubject,
    LayerSubject,
    LossSubject,
    PartedCostSubject,
    RegularizerSubject,
    Subject,
    move_parameters,
    random_upstream,
)
from minidl.gradcheck.values import Comparison
from minidl.layers import Layer
from minidl.losses import Loss
from minidl.model import Model
from minidl.regularizers import Regularizer
from minidl.types import Array

Probe = Callable[[], Sequence[Finding]]


def check_layer(layer: Layer, x: Any, *, seed: int = 0, every_entry: bool = False) -> GradientReport:
    """Check a layer's gradients with respect to x and every parameter, and its contract.

    A float64 copy is checked; the layer itself is not touched. Its single-precision copy is then held against it.

    Parameters
    ----------
    layer : Layer
    x : array_like of float, shape (n, ...)
        A batch, a few rows are enough; signed and uneven, unless kinks and ties are what you want to see.
    seed : int
        Of the upstream gradient and the directions.
    every_entry : bool
        Compare every entry of every tensor; else only those of small tensors, and directions through large ones.

    Returns
    -------
    GradientReport
        A wrong gradient raises nothing: print the report, or call its `assert_ok`.

    Raises
    ------
    InputError
        If x is no batch that this layer takes: not floating-point numbers, empty, not finite, of another shape.

    Examples
    --------
    >>> from minidl import Dense
    >>> check_layer(Dense(3, 2, rng=0), np.array([[0.5, -1.5, 2.0]])).verdict.name
    'PASS'
    """
    check_type("check_layer", "layer", layer, Layer)
    x = _point("x", x)
    rng = np.random.default_rng(seed)
    twin = layer.astype(np.float64)
    run = _Run(f"check_layer({layer!r:.80}, x of shape {x.shape})", f"check_layer({layer!r:.200}, {_text(x)}, ", seed)
    if x.ndim == 0:
        raise InputError("x: expected a batch, an array with a row for each sample; got a single number")
    x = few_digits(x)
    try:
        y = twin.astype(np.float64).forward(x.copy(), train=True)
        dy = random_upstream(np.shape(y), rng)
    except MinidlError:
        raise  # the layer says what is wrong with x
    except Exception as error:
        finding = Finding(Verdict.FAIL_CONTRACT, f"forward raised {type(error).__name__}: {error}")
        return run.report([finding])
    return run.through(
        lambda: purity_of_layer(layer.astype(np.float64), x, dy),
        lambda: LayerSubject(twin, x, rng),
        lambda: [*behaviour_of_layer(twin, x, rng), *_single_precision(layer, x, rng)],
        every_entry,
    )


def check_loss(loss: Loss, outputs: Any, targets: Any, *, seed: int = 0, every_entry: bool = False) -> GradientReport:
    """Check a loss's gradient with respect to its outputs, and its contract; see `check_layer`."""
    check_type("check_loss", "loss", loss, Loss)
    z = few_digits(_point("outputs", outputs))
    twin = copy.deepcopy(loss)
    twin.forward(z.copy(), targets)  # here, so that what is wrong with outputs or targets is the caller's error
    run = _Run(
        f"check_loss({loss!r:.80}, outputs of shape {z.shape})",
        f"check_loss({loss!r:.200}, {_text(z)}, targets, ",
        seed,
    )
    return run.through(
        lambda: purity_of_loss(twin, z, targets),
        lambda: LossSubject(twin, z, targets),
        lambda: [*behaviour_of_loss(twin, z, targets), *_keeps_single(_loss_gradient(twin, z, targets))],
        every_entry,
    )


def check_regularizer(regularizer: Regularizer, w: Any, *, seed: int = 0, every_entry: bool = False) -> GradientReport:
    """Check a regularizer's gradient with respect to the weight `w`, and its contract; see `check_layer`."""
    check_type("check_regularizer", "regularizer", regularizer, Regularizer)
    w = few_digits(_point("w", w))
    twin = copy.deepcopy(regularizer)
    run = _Run(
        f"check_regularizer({regularizer!r:.80}, w of shape {w.shape})",
        f"check_regularizer({regularizer!r:.200}, {_text(w)}, ",
        seed,
    )
    return run.through(
        lambda: purity_of_regularizer(twin, w),
        lambda: RegularizerSubject(twin, w),
        lambda: [*behaviour_of_regularizer(twin, w), *_keeps_single(twin.gradient(w.astype(np.float32)))],
        every_entry,
    )


def check_function(
    f: Callable[..., Any], vjp: Callable[..., Any], *arguments: Any, seed: int = 0, every_entry: bool = False
) -> GradientReport:
    """Check the gradient of any function of arrays.

    Parameters
    ----------
    f : callable
        ``f(*arguments) -> y``, an array or a number.
    vjp : callable
        ``vjp(dy, *arguments)``: the gradient of ``sum(dy * y)`` with respect to each argument, as a tuple in their
        order, or alone if there is one.
    *arguments : array_like of float

    See Also
    --------
    check_layer : the other parameters, the report, the errors.

    Examples
    --------
    >>> check_function(np.sin, lambda dy, x: dy * np.cos(x), np.array([0.5, -1.0])).ok
    True
    >>> check_function(np.sin, lambda dy, x: 2 * dy * np.cos(x), np.array([0.5])).verdict.name
    'FAIL_VALUE'
    """
    points = [few_digits(_point(f"argument {i}", argument)) for i, argument in enumerate(arguments)]
    if not points:
        raise InputError("check_function: expected at least one argument to differentiate by")
    shapes = ", ".join(str(point.shape) for point in points)
    name = getattr(f, "__name__", repr(f))
    run = _Run(
        f"check_function({name:.80}, arguments of shape {shapes})",
        f"check_function({name:.80}, vjp, *arguments, ",
        seed,
    )
    rng = np.random.default_rng(seed)
    return run.through(
        lambda: purity_of_function(f, vjp, points, rng),
        lambda: FunctionSubject(f, vjp, points, rng),
        lambda: behaviour_of_function(f, vjp, points, rng),
        every_entry,
    )


def check_model(model: Model, x: Any, y: Any, *, seed: int = 0, every_entry: bool = False) -> GradientReport:
    """Check the gradient of a model's whole cost, loss and penalty, with respect to every parameter.

    First the cost itself along directions through each parameter; then single entries by the chain rule on numerical
    derivatives of the parts (network, loss, penalty), which sees smaller errors. See `check_layer` for the rest.
    """
    check_type("check_model", "model", model, Model)
    twin = model.astype(np.float64)
    x = few_digits(_point("x", x))
    run = _Run(
        f"check_model({model!r:.120}, x of shape {x.shape})", f"check_model({model!r:.200}, {_text(x)}, y, ", seed
    )
    move_parameters(twin.parameters.values(), np.random.default_rng(seed))
    twin.compute_loss(x, y)  # here, so that what is wrong with x or y is the caller's error
    same = np.array_equal(twin.forward(x), twin.forward(x, train=True))
    purity = lambda: purity_of_model(twin, x, y)  # noqa: E731
    if not same:  # with a dropout, say, the cost that is reported is not the one that is trained on
        return run.through(purity, lambda: PartedCostSubject(twin, x, y), list, every_entry)
    whole = run.through(purity, lambda: CostSubject(twin, x, y), lambda: behaviour_of_model(twin, x, y), few=0)
    return run.through(list, lambda: PartedCostSubject(twin, x, y), list, every_entry) if whole.ok else whole


class _Run:
    """One check on its way: what it is called, and what it has cost so far."""

    def __init__(self, subject: str, call: str, seed: int) -> None:
        self.subject = subject
        self.seed = seed
        self.reproduce = f"{call}seed={seed})"
        self.start = perf_counter()
        self.forwards = self.backwards = 0

    def through(
        self, purity: Probe, subject: Callable[[], Subject], behaviour: Probe, every_entry: bool = False, few: int = 256
    ) -> GradientReport:
        """Return the report of the first stage that finds something, or of all."""
        if findings := purity():
            return self.report(findings)
        checked = subject()
        comparison = Comparison(checked, np.random.default_rng(self.seed), every_entry=every_entry, few=few)
        self.forwards += checked.forwards
        self.backwards += checked.backwards
        verdict = comparison.verdict()
        findings = list(comparison.findings) or list(behaviour())
        return self.report(findings, verdict, **comparison.numbers())

    def report(self, findings: Sequence[Finding], verdict: Verdict = Verdict.PASS, **numbers: Any) -> GradientReport:
        return GradientReport(
            self.subject,
            findings[0].verdict if findings else verdict,
            list(findings),
            seed=self.seed,
            forwards=self.forwards,
            backwards=self.backwards,
            seconds=perf_counter() - self.start,
            reproduce=self.reproduce,
            **numbers,
        )


def _point(name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.dtype.kind != "f":
        raise InputError(
            f"{name}: expected floating-point numbers, got {array.dtype}: a whole number has no small steps"
        )
    if array.size == 0:
        raise InputError(f"{name}: expected at least one number, got shape {array.shape}: nothing would be compared")
    check_finite(name, array)
    return array


def _text(array: Array) -> str:
    """Return `array` as Python, if it is small enough for a line."""
    return f"np.array({array.tolist()})" if array.size <= 12 else "x"


def _single_precision(layer: Layer, x: Array, rng: np.random.Generator) -> list[Finding]:
    """In float32 everything stays float32, and agrees with float64 up to rounding."""
    single = x.astype(np.float32)
    results = _results(layer.astype(np.float32), single)
    exact = _results(layer.astype(np.float64), single.astype(np.float64))
    # How far results move when x and parameters are rounded differently: what cancels in them moves much.
    nudged = layer.astype(np.float64)
    eps = float(np.finfo(np.float32).eps)
    for parameter in nudged.named_parameters().values():
        parameter.value *= 1 + eps * rng.choice([-1.0, 1.0], parameter.value.shape)
    moved = _results(nudged, single * (1 + eps * rng.choice([-1.0, 1.0], x.shape)))
    for name, value in results.items():
        if value.dtype != np.float32:
            return [Finding(Verdict.FAIL_CONTRACT, f"with a float32 x it is {value.dtype}, not float32", name)]
        # Loose on purpose: rounding of a long sum is allowed, a wrong branch or a lost factor is not.
        off = np.abs(value - exact[name]).max(initial=0.0)
        size = max(np.abs(array).max(initial=0.0) for array in (exact[name], *exact.values()))
        allowed = 5e-4 * np.abs(exact[name]).max(initial=0.0) + 100 * np.abs(moved[name] - exact[name]).max(initial=0.0)
        if off > allowed + 30 * eps * size:
            return [Finding(Verdict.FAIL_VALUE, f"in float32 it is off by {off:.2g} from float64", name)]
    return []


def _results(layer: Layer, x: Array) -> dict[str, Array]:
    """Return y, dx and every parameter's gradient, for the same upstream gradient whatever the dtype."""
    y = layer.forward(x, train=True)
    dy = random_upstream(y.shape, np.random.default_rng(0)).astype(x.dtype)
    for parameter in layer.named_parameters().values():
        parameter.zero_grad()
    dx = layer.backward(dy)
    return {"y": y.copy(), "dx": dx} | {path: p.grad for path, p in layer.named_parameters().items()}


def _loss_gradient(loss: Loss, z: Array, targets: Any) -> Array:
    loss.forward(z.astype(np.float32), targets)
    return loss.backward()


def _keeps_single(gradient: Array) -> list[Finding]:
    if gradient.dtype == np.float32:
        return []
    return [Finding(Verdict.FAIL_CONTRACT, f"with float32 numbers the gradient is {gradient.dtype}, not float32")]
