"""Compare gradient checkers on the same bugs: minidl, PyTorch, SciPy and the two-point formula from courses.

Each case is a function of one array with its vector-Jacobian product (vjp), which is right or has one bug. Each checker
decides whether the two agree. PyTorch and SciPy are optional: `pip install torch scipy` adds their columns.
"""

import argparse
import importlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl as dl
from minidl._core.types import Array

LARGEST_JACOBIAN = 10_000_000
"""Maximum number of entries for checkers that build the whole Jacobian."""


@dataclass(frozen=True)
class Case:
    """A function `f(x)`, its `vjp(dy, x)`, a point, and whether the vjp is right."""

    what: str
    f: Callable[[Array], Array]
    vjp: Callable[[Array, Array], Array]
    x: Array
    right: bool = False


def optional(module: str) -> Any:
    """Return the module, or None if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


# --- the checkers: does the vjp agree with differences of f? None if a checker cannot decide.


def by_minidl(case: Case) -> bool | None:
    """`minidl.check_function`, which needs no tolerance and may be inconclusive."""
    report = dl.check_function(case.f, case.vjp, case.x)
    return None if report.verdict.name == "INCONCLUSIVE" else report.ok


def by_torch(case: Case, fast: bool) -> bool | None:
    """`torch.autograd.gradcheck` in float64 with its default tolerances, atol=1e-5 and rtol=1e-3."""
    torch = optional("torch")
    if torch is None or (not fast and case.x.size * case.f(case.x).size > LARGEST_JACOBIAN):
        return None

    def forward(context: Any, x: Any) -> Any:
        context.save_for_backward(x)
        return torch.from_numpy(np.array(case.f(x.detach().numpy().copy())))

    def backward(context: Any, dy: Any) -> Any:
        (x,) = context.saved_tensors
        return torch.from_numpy(case.vjp(dy.numpy(), x.detach().numpy()).astype(np.float64))

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    function: Any = type("Function", (torch.autograd.Function,), members)
    x = torch.from_numpy(case.x.copy()).requires_grad_()
    return bool(torch.autograd.gradcheck(function.apply, (x,), fast_mode=fast, raise_exception=False))


def projected(case: Case) -> tuple[Callable[[Array], float], Array]:
    """Return the sum of f's outputs, randomly weighted, as a function of flat x, and its gradient by the vjp."""
    dy = np.random.default_rng(0).normal(size=case.f(case.x).shape)

    def value(flat: Array) -> float:
        return float((case.f(flat.reshape(case.x.shape)) * dy).sum())

    return value, case.vjp(dy.copy(), case.x.copy()).ravel()


def by_scipy(case: Case) -> bool | None:
    """`scipy.optimize.check_grad`; the limit is 1e-5 times the norm of the gradient, and at least 1e-5."""
    optimize = optional("scipy.optimize")
    if optimize is None:
        return None
    value, gradient = projected(case)
    error = optimize.check_grad(value, lambda flat: gradient, case.x.ravel())
    return bool(error <= 1e-5 * max(1.0, float(np.linalg.norm(gradient))))


def by_two_points(case: Case) -> bool | None:
    """Central differences with h = 1e-5, and a relative error below 1e-6 in every entry."""
    value, gradient = projected(case)
    numeric = dl.numerical_gradient(value, case.x.ravel(), step=1e-5)
    return bool(dl.relative_error(gradient, numeric, eps=1e-8).max() < 1e-6)


CHECKERS: dict[str, Callable[[Case], bool | None]] = {
    "minidl": by_minidl,
    "torch slow": lambda case: by_torch(case, fast=False),
    "torch fast": lambda case: by_torch(case, fast=True),
    "SciPy": by_scipy,
    "two points": by_two_points,
}
MODULES = {"torch slow": "torch", "torch fast": "torch", "SciPy": "scipy.optimize"}


# --- the functions


def softmax(z: Array) -> Array:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def softmax_vjp(dy: Array, z: Array) -> Array:
    p = softmax(z)
    return p * (dy - (dy * p).sum(axis=1, keepdims=True))


def log_softmax(z: Array) -> Array:
    return np.log(softmax(z))


def normalise(x: Array, epsilon: float = 1e-5) -> Array:
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + epsilon)


def normalise_vjp(dy: Array, x: Array, inside: float = 1e-5, outside: float = 0.0) -> Array:
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + inside) + outside
    y = (x - x.mean(axis=1, keepdims=True)) / deviation
    return (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / deviation


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh_vjp(dy: Array, x: Array) -> Array:
    tanh = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    return dy * 0.5 * (1 + tanh + x * (1 - tanh**2) * inner_slope)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def doubling_vjp(dy: Array, x: Array) -> Array:
    dy *= 2  # changes the array of the caller
    return dy * x


def one_at(x: Array, index: tuple[int, ...]) -> Array:
    zeros = np.zeros_like(x)
    zeros[index] = 1.0
    return zeros


def clipped(gradient: Array, norm: float) -> Array:
    return gradient * min(1.0, norm / float(np.linalg.norm(gradient)) if gradient.any() else 1.0)


def cases() -> list[Case]:
    """Return the cases: first the bugs, then the right functions."""
    rng = np.random.default_rng(1)
    noise = np.random.default_rng(2)
    x, square, inputs = rng.normal(size=(5, 4)), rng.normal(size=(4, 4)), rng.normal(size=(5, 4))
    at_kinks = np.array([[0.0, -1.5, 2.0], [0.75, 0.0, -0.25]])
    large, rows = rng.normal(size=(200, 200)), rng.normal(size=(10, 200))
    return [
        Case("linear: dx has the wrong sign", lambda x: x @ square, lambda dy, x: -dy @ square.T, x),
        Case("linear: transposed weight gradient", lambda w: inputs @ w, lambda dy, w: (inputs.T @ dy).T, square),
        Case("softmax: diagonal of the Jacobian only", softmax, lambda dy, z: dy * softmax(z) * (1 - softmax(z)), x),
        Case("log-softmax: sum over dy missing", log_softmax, lambda dy, z: dy - softmax(z) * dy, x),
        Case("normalisation: mean terms missing", normalise, lambda dy, x: dy / np.sqrt(x.var(1, keepdims=True)), x),
        Case("normalisation: epsilon outside the root", normalise, lambda dy, x: normalise_vjp(dy, x, 0.0, 1e-5), x),
        Case("tanh: 1 - x**2, for small x", np.tanh, lambda dy, x: dy * (1 - x**2), x / 100),
        Case("GELU: erf forward, tanh backward", gelu, gelu_tanh_vjp, rng.normal(size=(32, 32))),
        Case("ReLU: slope 2 at an exact 0", relu, lambda dy, x: dy * ((x > 0) + 2.0 * (x == 0)), at_kinks),
        Case("exp: a factor 1.0005", np.exp, lambda dy, x: 1.0005 * dy * np.exp(x), x),
        Case("1e-6 * x**2: half of a tiny gradient", lambda x: 1e-6 * x**2, lambda dy, x: 1e-6 * dy * x, x),
        Case("linear: gradient computed in float32", lambda x: x @ square,
             lambda dy, x: dy.astype(np.float32) @ square.T.astype(np.float32), x),
        Case("linear 200x200: one entry of the Jacobian off by 1", lambda x: x @ large,
             lambda dy, x: dy @ large.T + dy[3, 42] * one_at(x, (3, 17)), rows),
        Case("identity of 10,000: the mean of dy everywhere", np.copy, lambda dy, x: np.full_like(dy, dy.mean()),
             rng.normal(size=10_000)),
        Case("identity of 10,000: dy shifted by one", np.copy, lambda dy, x: np.roll(dy, 1), rng.normal(size=10_000)),
        Case("x**2: backward doubles dy in place", np.square, doubling_vjp, x),
        Case("sin: backward is noisy, by 1e-7", np.sin, lambda dy, x: dy * np.cos(x) * (1 + 1e-7 * noise.normal()), x),
        Case("exp: gradient clipped to a norm of 1", np.exp, lambda dy, x: clipped(dy * np.exp(x), 1.0), x),
        Case("exp: gradient clipped to a norm of 1e9", np.exp, lambda dy, x: clipped(dy * np.exp(x), 1e9), x),
        Case("softmax", softmax, softmax_vjp, x, right=True),
        Case("normalisation", normalise, normalise_vjp, x, right=True),
        Case("linear 200x200", lambda x: x @ large, lambda dy, x: dy @ large.T, rows, right=True),
        Case("1e-6 * x**2", lambda x: 1e-6 * x**2, lambda dy, x: 2e-6 * dy * x, x, right=True),
        Case("ReLU, slope 0 at an exact 0", relu, lambda dy, x: dy * (x > 0), at_kinks, right=True),
        Case("abs, slope 1 at an exact 0", np.abs, lambda dy, x: dy * np.where(x < 0, -1.0, 1.0), at_kinks, right=True),
        Case("ReLU, 1e-5 from its kink", relu, lambda dy, x: dy * (x > 0), at_kinks + 9e-6, right=True),
        Case("sin(1000 x)", lambda x: np.sin(1000 * x), lambda dy, x: 1000 * dy * np.cos(1000 * x), x, right=True),
        Case("x**2, for x of a million", np.square, lambda dy, x: 2 * dy * x, 1e6 * x, right=True),
        Case("log, near 0", np.log, lambda dy, x: dy / x, np.array([1e-4, 0.01, 1.0, 50.0]), right=True),
    ]  # fmt: skip


# --- the table


def outcome(case: Case, checker: str) -> str:
    """Return the cell of the table; wrong verdicts are in capitals."""
    if checker in MODULES and optional(MODULES[checker]) is None:
        return "not installed"
    with np.errstate(all="ignore"):  # a step may leave the domain of the logarithm
        agrees = CHECKERS[checker](case)
    if agrees is None:
        return "undecided" if checker == "minidl" else "too large"
    if case.right:
        return "ok" if agrees else "FALSE ALARM"
    return "MISSED" if agrees else "caught"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.parse_args(arguments)
    width = max(len(case.what) for case in cases())
    totals: dict[str, Counter[str]] = {checker: Counter() for checker in CHECKERS}
    for right, title in ((False, "bugs"), (True, "right functions")):
        print(f"{title:<{width}}  " + "  ".join(f"{checker:<13}" for checker in CHECKERS).rstrip())
        for case in cases():
            if case.right is right:
                cells = {checker: outcome(case, checker) for checker in CHECKERS}
                print(f"{case.what:<{width}}  " + "  ".join(f"{cell:<13}" for cell in cells.values()).rstrip())
                for checker, cell in cells.items():
                    totals[checker][cell] += 1
        print()
    for checker, counts in totals.items():
        if "not installed" in counts:
            print(f"{checker}: not installed")
            continue
        shown, accepted = counts["caught"] + counts["MISSED"], counts["ok"] + counts["FALSE ALARM"]
        caught = f"caught {counts['caught']} of {shown} bugs"
        print(f"{checker}: {caught}, {counts['FALSE ALARM']} false alarms in {accepted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
