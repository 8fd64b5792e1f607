"""Do results in float32, where training runs, agree with their own in float64?"""

from functools import partial

import numpy as np

from minidl._core.types import Array
from minidl.gradcheck.arrays import random_upstream
from minidl.gradcheck.probing import attempt, fail
from minidl.gradcheck.report import Verdict
from minidl.nn.layers import Layer

_EPS = float(np.finfo(np.float32).eps)
_TINY, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def agreement_of_single_precision(layer: Layer, x: Array, rng: np.random.Generator) -> None:
    """In float32 all results are float32, and near their values in float64."""
    layer = attempt("in float32, astype", partial(layer.astype, np.float32))
    single, double = x.astype(np.float32), x.astype(np.float32).astype(np.float64)
    results = attempt("in float32, forward or backward", lambda: results_of(layer.astype(np.float32), single))
    exact = results_of(layer.astype(np.float64), double)
    # How far results move when x and parameters are rounded differently: what cancels in them moves much. In float32
    # the rounding on the way shows too, such as that of a mean which float64 takes away without a trace.
    moved, *others = (_nudged(layer, near, rng) for near in (double, single, single, single))
    for name, value in results.items():
        if value.dtype != np.float32:
            fail(f"with a float32 x it is {value.dtype}, not float32", name)
        fits = np.abs(exact[name]) < 0.1 * _LARGEST
        # Loose on purpose: rounding of a long sum is allowed, a wrong branch or a lost factor is not.
        off = _largest((value - exact[name])[fits])
        size = max(map(_largest, exact.values()))
        allowed = _TINY + 5e-4 * _largest(exact[name]) + 30 * _EPS * size
        allowed += 100 * _largest(moved[name] - exact[name])
        allowed += 10 * max(_largest(other[name] - value) for other in others)
        if not off <= allowed:
            fail(f"in float32 it is off by {off:.2g} from float64", name, None, Verdict.FAIL_VALUE)


def results_of(layer: Layer, x: Array) -> dict[str, Array]:
    """Return y, dx and every parameter's gradient, for the same upstream gradient whatever the dtype."""
    y = layer.forward(x, train=True)
    dy = random_upstream(y.shape, np.random.default_rng(0)).astype(x.dtype)
    for parameter in layer.named_parameters().values():
        parameter.zero_grad()
    dx = layer.backward(dy)
    return {"y": y.copy(), "dx": dx} | {path: p.grad for path, p in layer.named_parameters().items()}


def _nudged(layer: Layer, x: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Return the results, in x's dtype, for x and parameters that are rounded differently in float32."""
    twin = layer.astype(x.dtype)
    for parameter in twin.named_parameters().values():
        parameter.value *= 1 + _EPS * rng.choice([-1.0, 1.0], parameter.value.shape)
    return results_of(twin, (x * (1 + _EPS * rng.choice([-1.0, 1.0], x.shape))).astype(x.dtype))


def _largest(array: Array) -> float:
    return float(np.abs(array).max(initial=0.0))
