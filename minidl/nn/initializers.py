"""Initializers: the random values that weights start with.

Every initializer draws in float64, and the parameter rounds to its own dtype. So a float32 and a float64 network with
the same seed start from the same numbers.
"""

import math
from abc import ABC, abstractmethod

import numpy as np

from minidl._core.attributes import Declared
from minidl._core.checks import as_number, check_returned, check_type
from minidl._core.errors import InputError
from minidl._core.randomness import as_generator
from minidl._core.reprs import constructor_call
from minidl._core.types import Array, Seed

__all__ = ["Constant", "He", "Initializer", "LeCun", "Normal", "Orthogonal", "Uniform", "Xavier", "Zeros"]


class Initializer(Declared, ABC):
    """A rule that draws an array of a given shape."""

    @abstractmethod
    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Return a float64 array of `shape`, drawn from `rng`."""

    __repr__ = constructor_call


def draw_weight(where: str, init: Initializer | None, default: Initializer, shape: tuple[int, ...], rng: Seed) -> Array:
    """Return a weight of `shape` drawn by `init`, or by `default` if that is None; errors name `where`."""
    init = default if init is None else init
    check_type(where, "weight_init", init, Initializer, "for example Normal(0.01)")
    return check_returned(repr(init), init(shape, as_generator(rng)), shape)


class Normal(Initializer):
    """Independent entries from N(0, std**2)."""

    def __init__(self, std: float) -> None:
        self.std = as_number("std", std, 0)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.normal(0.0, self.std, shape)


class Uniform(Initializer):
    """Independent entries from the uniform distribution on [low, high)."""

    def __init__(self, low: float, high: float) -> None:
        self.low = as_number("low", low)
        self.high = as_number("high", high)
        if self.low > self.high:
            raise InputError(f"Uniform: expected low <= high, got low={low!r}, high={high!r}")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.uniform(self.low, self.high, shape)


class Constant(Initializer):
    """Every entry equal to `value`."""

    def __init__(self, value: float) -> None:
        self.value = as_number("value", value)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.full(shape, self.value)


class Zeros(Initializer):
    """Every entry 0."""

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.zeros(shape)


class Xavier(Initializer):
    """Uniform on [-a, a] with ``a = sqrt(6 / (fan_in + fan_out))``, for layers followed by a symmetric activation.

    Keras calls it GlorotUniform.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    eq. 16.
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, fan_out = _fans(shape)
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, shape)


class He(Initializer):
    """Normal with ``std = sqrt(2 / fan_in)``, for layers followed by a ReLU.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015, eq. 10.
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, _ = _fans(shape)
        return rng.normal(0.0, math.sqrt(2.0 / fan_in), shape)


class LeCun(Initializer):
    """Normal with ``std = sqrt(1 / fan_in)``, so that y has the variance of x; for layers followed by a tanh or SELU.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient BackProp", in "Neural Networks: Tricks of the Trade", 1998, eq. 16.
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, _ = _fans(shape)
        return rng.normal(0.0, math.sqrt(1.0 / fan_in), shape)


class Orthogonal(Initializer):
    """`gain` times a random matrix with orthonormal columns (rows, if it is wider than tall): it keeps lengths.

    A weight with more than two axes counts as a matrix of shape (all others, out). The matrix is the Q of the QR
    decomposition of a Gaussian matrix, with signs that make R's diagonal positive, so every rotation is equally likely.

    Parameters
    ----------
    gain : float
        At least 0; ``sqrt(2)`` compensates for a ReLU.

    References
    ----------
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the
    AMS 54, 2007 (the signs).
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = as_number("gain", gain, 0)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        # This raises an error for fewer than two axes.
        _fans(shape)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q *= np.where(r.diagonal() < 0, -self.gain, self.gain)
        return (q if rows >= columns else q.T).reshape(shape)


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the inputs per output and the outputs per input; the last two axes are in and out."""
    if len(shape) < 2:
        raise InputError(f"expected a weight with at least two axes (in, out), got shape {shape}")
    # The height and width of a convolution's kernel; 1 for a dense layer.
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]
