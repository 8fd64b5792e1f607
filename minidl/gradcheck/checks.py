"""The checks: exact rules first, then values against numerical derivatives, then unusual uses."""

import inspect
import math
import sys
import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from minidl._core.attributes import explained, is_function
from minidl._core.bars import new_bar, verbosity
from minidl._core.checks import as_array, as_count, as_number, check_finite, check_type, copied
from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck import call_probes, layer_probes, subjects
from minidl.gradcheck.arrays import array_source
from minidl.gradcheck.compare import MAX_ENTRIES, Comparison
from minidl.gradcheck.probing import Broken, Probes, collect
from minidl.gradcheck.report import Finding, GradientReport, Verdict
from minidl.nn.layers import Layer
from minidl.nn.losses import Loss
from minidl.nn.model import Model
from minidl.nn.regularizers import Regularizer


@explained
def check_layer(
    layer: Layer, x: Any, *, seed: int = 0, every_entry: bool = False, max_seconds: float | None = None
) -> GradientReport:
    """Check the gradients of a layer with respect to x and every parameter, and its contract.

    The check works on a float64 copy and does not change the layer. It compares a float32 copy with it.

    Parameters
    ----------
    layer : Layer
    x : array_like of float, shape (n, ...)
        A batch; a few rows are enough. Use uneven numbers of both signs, unless you want to test kinks and ties.
    seed : int
        Seed of the upstream gradient and the directions.
    every_entry : bool
        Compare every entry of every tensor; otherwise every entry of small tensors, and directions through large ones.
    max_seconds : float, optional
        Time limit of the check. If it ends before all tensors are compared, the verdict is INCONCLUSIVE.

    Returns
    -------
    GradientReport
        A wrong gradient does not raise an error: print the report, or call its `assert_ok`.

    Raises
    ------
    InputError
        If x is not a valid batch for this layer: not floating-point, empty, not finite, or of another shape.

    Examples
    --------
    >>> from minidl import Dense
    >>> check_layer(Dense(3, 2, rng=0), np.array([[0.5, -1.5, 2.0]])).verdict.name
    'PASS'
    """
    check_type("check_layer", "layer", layer, Layer)
    x = _batch("x", x)
    run = _Run("check_layer", {"layer": layer, "x": x}, (seed, every_entry, max_seconds))
    probes = layer_probes.purity_of_layer, subjects.LayerSubject, layer_probes.behaviour_of_layer
    return run.through(*probes, copied("check_layer: layer", layer).astype(np.float64), x, run.rng)


@explained
def check_loss(
    loss: Loss,
    outputs: Any,
    targets: Any,
    *,
    seed: int = 0,
    every_entry: bool = False,
    max_seconds: float | None = None,
) -> GradientReport:
    """Check the gradient of a loss with respect to its outputs, and its contract; see `check_layer`."""
    check_type("check_loss", "loss", loss, Loss)
    z = _batch("outputs", outputs)
    run = _Run("check_loss", {"loss": loss, "outputs": z, "targets": targets}, (seed, every_entry, max_seconds))
    probes = call_probes.purity_of_loss, subjects.of_loss, call_probes.behaviour_of_loss
    return run.through(*probes, copied("check_loss: loss", loss), z, targets)


@explained
def check_regularizer(
    regularizer: Regularizer, w: Any, *, seed: int = 0, every_entry: bool = False, max_seconds: float | None = None
) -> GradientReport:
    """Check the gradient of a regularizer with respect to the weight `w`, and its contract; see `check_layer`."""
    check_type("check_regularizer", "regularizer", regularizer, Regularizer)
    w = _point("w", w)
    run = _Run("check_regularizer", {"regularizer": regularizer, "w": w}, (seed, every_entry, max_seconds))
    probes = call_probes.purity_of_regularizer, subjects.of_regularizer, call_probes.behaviour_of_regularizer
    return run.through(*probes, copied("check_regularizer: regularizer", regularizer), w)


@explained
def check_function(
    f: Callable[..., Any],
    vjp: Callable[..., Any],
    *arguments: Any,
    seed: int = 0,
    every_entry: bool = False,
    max_seconds: float | None = None,
) -> GradientReport:
    """Check the gradient of any function of arrays.

    Parameters
    ----------
    f : callable
        ``f(*arguments) -> y``, an array or a number, computed in float64 like the arguments.
    vjp : callable
        ``vjp(dy, *arguments)``: the gradient of ``sum(dy * y)`` with respect to each argument, as a tuple in their
        order, or as an array if there is only one.
    *arguments : array_like of float

    See Also
    --------
    check_layer : The other parameters, the report, the errors.

    Examples
    --------
    >>> check_function(np.sin, lambda dy, x: dy * np.cos(x), np.array([0.5, -1.0])).ok
    True
    >>> check_function(np.sin, lambda dy, x: 2 * dy * np.cos(x), np.array([0.5])).verdict.name
    'FAIL_VALUE'
    """
    for name, value in [("f", f), ("vjp", vjp)]:
        if not is_function(value):
            raise InputError(f"check_function: expected {name} to be callable, got {value!r:.80}")
    points = {f"argument {i}": _point(f"argument {i}", argument) for i, argument in enumerate(arguments)}
    if not points:
        raise InputError("check_function: expected at least one argument; pass the arrays to differentiate by")
    inputs = {"f": f, "vjp": vjp} | {name.replace(" ", "_"): point for name, point in points.items()}
    run = _Run("check_function", inputs, (seed, every_entry, max_seconds))
    probes = call_probes.purity_of_function, subjects.FunctionSubject, call_probes.behaviour_of_function
    return run.through(*probes, f, vjp, points, run.rng)


@explained
def check_model(
    model: Model, x: Any, y: Any, *, seed: int = 0, every_entry: bool = False, max_seconds: float | None = None
) -> GradientReport:
    """Check the gradient of a model's whole cost, loss and penalty, with respect to every parameter.

    First compare the cost itself along directions through each parameter. Then compare single entries with the chain
    rule on numerical derivatives of the parts (network, loss, penalty), which detects smaller errors. See `check_layer`
    for the other arguments.
    """
    check_type("check_model", "model", model, Model)
    # Cast x like `Model.forward`: only parameters are moved, so x may be integers.
    x = as_array("x", x)
    x = _batch("x", x if x.dtype.kind == "f" else x.astype(np.float64))
    run = _Run("check_model", {"model": model, "x": x, "y": y}, (seed, every_entry, max_seconds))
    twin = copied("check_model: model", model).astype(np.float64)
    given = subjects.move_parameters(twin.parameters, run.rng)

    # For a larger model, directions through each parameter detect as much; single entries would take long.
    small = sum(p.value.size for p in twin.parameters.values()) <= MAX_ENTRIES
    few = run.few if small or every_entry else 0

    def is_deterministic() -> bool:
        """Whether prediction and training give the same outputs, unlike with a dropout."""
        return np.array_equal(twin.forward(x), twin.forward(x, train=True))

    def behaviour(twin: Model, x: Array, y: Any) -> Probes:
        terms = [partial(call_probes.cost_and_loss_of_model, twin, x, y)] * is_deterministic()
        return [*terms, partial(call_probes.precision_of_model, twin, x, y)]

    def whole(twin: Model, x: Array, y: Any) -> subjects.Subject | None:
        return subjects.CostSubject(twin, x, y, given) if is_deterministic() else None

    report = run.through(call_probes.purity_of_model, whole, behaviour, twin, x, y, few=0)
    if not report.ok:
        return report
    return run.through(_nothing, subjects.PartedCostSubject, _nothing, twin, x, y, given, few=few)


# Seconds after which a check shows its progress.
DELAY = 2.0
# seed, every_entry, max_seconds.
Options = tuple[int, bool, float | None]


class _Run:
    """One running check: its name, arguments and cost so far."""

    def __init__(self, name: str, inputs: dict[str, Any], options: Options) -> None:
        seed, every_entry, max_seconds = options
        self.seed = as_count("seed", seed, 0)
        self.rng = np.random.default_rng(seed)
        check_type(name, "every_entry", every_entry, bool)
        self.few = math.inf if every_entry else MAX_ENTRIES
        sources = {key: _source(key, value) for key, value in inputs.items()}
        same = " and ".join(key for key, source in sources.items() if source == key)
        keywords = [f"seed={seed}"] + ["every_entry=True"] * every_entry
        self.reproduce = f"{name}({', '.join([*sources.values(), *keywords])})"
        if same:
            self.reproduce += f"  # with the same {same}"
        checked, *others = inputs.items()
        points = [f"{k} of shape {v.shape}" for k, v in others if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        self.subject = f"{name}({', '.join([_text(checked[1])[:80], *points])})"
        self.start = perf_counter()
        self.deadline = math.inf
        if max_seconds is not None:
            self.deadline = self.start + as_number("max_seconds", max_seconds, 0, above=True)
        self.forwards = self.backwards = 0

    def through(
        self,
        purity: Callable[..., object],
        subject: Callable[..., subjects.Subject | None],
        behaviour: Callable[..., Probes],
        *given: Any,
        few: float | None = None,
    ) -> GradientReport:
        """Return the report of the first stage with findings, or of all three stages.

        Tensors of up to `few` entries are compared entry by entry; with 0, only slopes along directions.
        """
        # The checks look for NaN in the results; an overflow before a right result is not a fault.
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                purity(*given)
                checked = subject(*given)
                if checked is None:
                    return self.report(collect(behaviour(*given)))
                comparison = self.compared(checked, self.few if few is None else few)
                self.forwards += checked.forwards
                self.backwards += checked.backwards
                findings = comparison.findings
                if not (findings or comparison.unreached):
                    findings = collect(behaviour(*given))
                return self.report(findings, *comparison.outcome())
            except Broken as broken:
                return self.report([broken.finding])

    def compared(self, subject: subjects.Subject, few: float) -> Comparison:
        """Compare the gradients of a subject; after some seconds, show the progress on a terminal."""
        subject.deadline = self.deadline
        total = sum(4 + (tensor.size if tensor.size <= few else 0) for tensor in subject.tensors.values())
        bar = new_bar(total, sys.stderr, desc="gradient check", leave=False, delay=DELAY) if verbosity(None) else None
        try:
            if bar is not None:
                subject.tick = bar.update
            return Comparison(subject, np.random.default_rng(self.seed), few)
        finally:
            if bar is not None:
                bar.close()

    def report(
        self, findings: list[Finding], verdict: Verdict = Verdict.PASS, numbers: dict[str, Any] | None = None
    ) -> GradientReport:
        about: dict[str, Any] = {"seed": self.seed, "reproduce": self.reproduce} | (numbers or {})
        about |= {"forwards": self.forwards, "backwards": self.backwards, "seconds": perf_counter() - self.start}
        return GradientReport(self.subject, findings[0].verdict if findings else verdict, findings, **about)


def _nothing(*given: Any) -> Probes:
    return ()


def _point(name: str, value: Any) -> Array:
    array = as_array(name, value)
    if array.dtype.kind != "f":
        raise InputError(f"{name}: expected floating-point numbers, got {array.dtype}; convert it with astype(float)")
    if array.size == 0:
        raise InputError(f"{name}: expected at least one number, got shape {array.shape}")
    check_finite(name, array)
    return array.astype(np.float64)


def _batch(name: str, value: Any) -> Array:
    array = _point(name, value)
    if array.ndim == 0:
        raise InputError(f"{name}: expected a batch with one row per sample, got a single number")
    return array


def _source(name: str, value: Any) -> str:
    """Return Python code for a short array or a function; for any other value, return `name`.

    A repr that looks like a constructor call may make another object, or fail.
    """
    if isinstance(value, np.ufunc):
        return f"np.{value.__name__}"
    if inspect.isfunction(value) and value.__name__.isidentifier():
        return value.__name__
    short = isinstance(value, np.ndarray) and 0 < value.size <= 12 and value.dtype.kind in "biuf"
    return array_source(value) if short and np.isfinite(value).all() else name


def _text(value: Any) -> str:
    """Return the name of a function, or the repr of any other value; a repr that fails must not stop the check."""
    try:
        return str(getattr(value, "__name__", None) or repr(value))
    except Exception:
        return f"<{type(value).__name__}>"
