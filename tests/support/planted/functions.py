"""Functions: f, its wrong vjp, and the arguments."""

import numpy as np

from minidl import GELU, LogSoftmax, Softmax
from planted.fault import FAIL_CONTRACT, NONDETERMINISTIC, PASS, PASS_SUBGRADIENT, VACUOUS, plant
from planted.numbers import NOISE, WITH_ZEROS, X, signed

softmax, log_softmax = Softmax().forward, LogSoftmax().forward


def function(number, name, what, f, vjp, *verdicts, at=(X,), tensor="argument 0"):
    plant(number, name, what, "function", lambda: (f, vjp, *at), *verdicts, tensor=tensor)


def normalise(x, epsilon=1e-5):
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)


def normalise_vjp(dy, x, epsilon_in=1e-5, epsilon_out=0.0):
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon_in) + epsilon_out
    y = centred / deviation
    return (dy - dy.mean(axis=1, keepdims=True) - y * (dy * y).mean(axis=1, keepdims=True)) / deviation


def softmax_vjp(dy, z):
    p = softmax(z)
    return p * (dy - (dy * p).sum(axis=1, keepdims=True))


def halving_vjp(dy, x):
    dy /= 2
    return 2 * dy * np.cos(x)


# fmt: off
function(5, "function-dy-ignored", "log-softmax: dy is taken to be ones", log_softmax,
    lambda dy, z: 1 - z.shape[1] * softmax(z))
function(6, "function-dy-inverted", "sin: cos(x) / dy", np.sin, lambda dy, x: np.cos(x) / dy)
function(8, "function-log-softmax", "log-softmax: dy - p*dy, without the sum", log_softmax,
    lambda dy, z: dy - softmax(z) * dy)
function(3, "function-softmax-diagonal", "softmax: only the Jacobian's diagonal", softmax,
    lambda dy, z: dy * softmax(z) * (1 - softmax(z)))
function(20, "function-unbroadcast", "x + row: the row's gradient is not summed", lambda x, row: x + row,
    lambda dy, x, row: (dy, dy), FAIL_CONTRACT, at=(X, X[:1]), tensor="argument 1")
function(20, "function-missing", "x * row: the row has no gradient", lambda x, row: x * row,
    lambda dy, x, row: dy * row, FAIL_CONTRACT, at=(X, X[:1]))
function(22, "function-halves-dy", "sin: the correct gradient, but dy is halved in place", np.sin, halving_vjp,
    FAIL_CONTRACT)
function(25, "function-gelu", "GELU: erf forward, tanh backward", GELU().forward,
    lambda dy, x: dy * GELU("tanh").derivative(x))
function(27, "function-tanh", "tanh: 1 - x**2 instead of 1 - y**2, for small x", np.tanh, lambda dy, x: dy * (1 - x**2),
    at=(X / 100,))
function(44, "function-no-mean", "normalising rows: the mean terms are missing", normalise,
    lambda dy, x: dy / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5))
function(50, "function-epsilon", "normalising rows: epsilon outside the root in backward", normalise,
    lambda dy, x: normalise_vjp(dy, x, 0.0, 1e-5))
function(12, "function-tiny", "1e-9 * x**2: tiny gradients, wrong by half", lambda x: 1e-9 * x**2,
    lambda dy, x: 1e-9 * dy * x)
function(12, "function-1.0005", "exp: off by a factor 1.0005", np.exp, lambda dy, x: 1.0005 * dy * np.exp(x))
function(12, "function-mean-of-dy", "identity on 2,000 numbers: the mean of dy everywhere", np.copy,
    lambda dy, x: np.full_like(dy, dy.mean()), at=(signed(2_000),))
function(12, "function-rolled", "identity on 2,000 numbers: dy is shifted by one", np.copy,
    lambda dy, x: np.roll(dy, 1), at=(signed(2_000),))
function(53, "function-noisy", "sin with noise", lambda x: np.sin(x) + 1e-9 * NOISE.normal(),
    lambda dy, x: dy * np.cos(x), NONDETERMINISTIC)
function(53, "function-noisy-vjp", "cos(x) with noise", np.sin,
    lambda dy, x: dy * np.cos(x) * (1 + 1e-8 * NOISE.normal()), NONDETERMINISTIC)
function(74, "function-clipped", "exp: the gradient is clipped to norm 1", np.exp,
    lambda dy, x: dy * np.exp(x) / max(1.0, float(np.linalg.norm(dy * np.exp(x)))))
function(76, "function-constant", "a constant: nothing can be compared", np.ones_like, lambda dy, x: 0 * x, VACUOUS)
function(3, "function-softmax-right", "softmax", softmax, softmax_vjp, PASS)
function(50, "function-normalise-right", "normalising rows", normalise, normalise_vjp, PASS)
function(12, "function-tiny-right", "1e-9 * x**2", lambda x: 1e-9 * x**2, lambda dy, x: 2e-9 * dy * x, PASS)
function(24, "function-abs-right", "abs(x), with 1 at an exact 0", np.abs,
    lambda dy, x: dy * np.where(x >= 0, 1.0, -1.0), PASS_SUBGRADIENT, at=(WITH_ZEROS,))
function(31, "function-edge-right", "log, with numbers near the edge of its domain", np.log, lambda dy, x: dy / x, PASS,
    at=(np.array([1e-3, 0.1, 1.0, 50.0]),))
# fmt: on
