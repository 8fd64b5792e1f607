"""Normalization: scale every feature, or every row, to mean 0 and variance 1."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.checks import as_count, as_fraction, as_number, check_type
from minidl._core.errors import InputError, NonFiniteError, ShapeError
from minidl._core.types import Array
from minidl.nn.arithmetic import column_sums, quietly
from minidl.nn.layers.base import Layer, Shape
from minidl.nn.parameter import Parameter


class _Normalization(Layer):
    """Base of both: features on the last axis, each with a `gamma` and a `beta`."""

    gamma: Parameter
    beta: Parameter

    def __init__(self, features: int, *, epsilon: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        super().__init__()
        self.features = as_count("features", features)
        self.epsilon = as_number("epsilon", epsilon, 0, above=True)
        self.gamma = self.add_parameter("gamma", np.ones(features), penalized=False, dtype=dtype)
        self.beta = self.add_parameter("beta", np.zeros(features), penalized=False, dtype=dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[-1:] != (self.features,):
            channels_first = len(input_shape) == 3 and input_shape[0] == self.features
            hint = "; channels come last: np.moveaxis(x, 1, -1)" if channels_first else ""
            raise ShapeError(f"{self!r}: expected rows of shape (..., {self.features}), got {input_shape}{hint}")
        return input_shape

    def _table(self, x: Array) -> Array:
        """Return x as a table with one column per feature."""
        self.check_input(x)
        self.output_shape(x.shape[1:])
        return x.reshape(-1, self.features)


class BatchNorm(_Normalization):
    """Batch normalization: each feature over the batch, ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    In training, mean and (biased) variance are computed over all axes of x except the last; for images this is each
    channel over rows, height and width. Prediction uses the running statistics, which training updates::

        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_variance = momentum * running_variance + (1 - momentum) * variance * m / (m - 1)

    with m values per feature. The running variance uses the unbiased variance, as in the paper and in PyTorch. Keras
    and ONNX use the biased one, without ``m / (m - 1)``; pass ``unbiased=False`` for the same.

    Gradients, with ``std = sqrt(variance + epsilon)``, ``normal = (x - mean) / std`` and means over the batch:
    ``dgamma = sum(dy * normal)``, ``dbeta = sum(dy)``,
    ``dx = gamma / std * (dy - mean(dy) - normal * mean(dy * normal))``.

    Parameters
    ----------
    features : int
        ``x`` is (n, features) or (n, height, width, features), any shape that ends with `features`.
    momentum : float
        Weight of the old value in the running statistics, at least 0 and below 1, as in Keras. PyTorch calls
        ``1 - momentum`` momentum: its 0.1 is 0.9 here.
    epsilon : float
        Greater than 0.
    unbiased : bool
        Whether the running variance uses the unbiased variance. Nothing else depends on it.
    dtype : dtype
        Of the parameters and running statistics.

    Attributes
    ----------
    gamma : Parameter
        Shape (features,).
    beta : Parameter
        Shape (features,).
    running_mean : array
        Shape (features,).
    running_variance : array
        Shape (features,).

    Raises
    ------
    InputError
        From the constructor, if an argument is out of range; from a training `forward`, if there are fewer than two
        values per feature.
    NonFiniteError
        From a training `forward`, if a variance is too large for the running statistics, which then stay unchanged.
    ShapeError
        From `forward` and `backward`, if x or dy does not fit.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift",
    ICML 2015.

    Examples
    --------
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> BatchNorm(2).forward(x, train=True).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    """

    running_mean: Array
    running_variance: Array

    batch_independent = False

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        unbiased: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(features, epsilon=epsilon, dtype=dtype)
        self.momentum = as_fraction("momentum", momentum)
        check_type(type(self).__name__, "unbiased", unbiased, bool)
        self.unbiased = unbiased
        self.running_mean = self.add_buffer("running_mean", np.zeros(features), dtype=dtype)
        self.running_variance = self.add_buffer("running_variance", np.ones(features), dtype=dtype)

    @quietly
    def forward(self, x: Array, train: bool = False) -> Array:
        table = self._table(x)
        n = len(table)
        if train and n < 2:
            hint = "pass more rows, or predict with train=False"
            raise InputError(f"{self!r}: expected at least 2 values per feature, got x of shape {x.shape}; {hint}")
        mean = column_sums(table) / n if train else self.running_mean
        # If this overflows, the variance check below raises an error.
        centred = table - mean.astype(x.dtype)
        variance = column_sums(centred, centred) / n if train else self.running_variance.astype(np.float64)
        inverse_std = 1.0 / np.sqrt(variance + self.epsilon)
        if train:
            self._check_variance(variance)
            self.keep(centred, inverse_std, y_shape=x.shape)
            new_variance = variance * (n / (n - 1)) if self.unbiased else variance
            for running, batch in ((self.running_mean, mean), (self.running_variance, new_variance)):
                running *= self.momentum
                running += (1.0 - self.momentum) * batch
        y = centred * (self.gamma.value * inverse_std).astype(x.dtype)
        y += self.beta.value.astype(x.dtype, copy=False)
        return y.reshape(x.shape)

    def _check_variance(self, variance: Array) -> None:
        """Raise an error for a variance that `running_variance` cannot hold: it would stay infinite."""
        # Half of the largest number, because the unbiased variance of two values is twice the biased one.
        largest, dtype = variance.max(), self.running_variance.dtype
        if largest > np.finfo(dtype).max / 2:
            got = f"{largest:.4g} in feature {variance.argmax()}; scale x down, or compute in float64"
            raise NonFiniteError(f"{self!r}: expected variances that {dtype} can hold, got {got}")

    def backward(self, dy: Array) -> Array:
        dx, inverse_std = self.kept(dy)
        table = dy.reshape(-1, self.features)
        total, along = column_sums(table), column_sums(table, dx)
        self.gamma.add_grad(along * inverse_std)
        self.beta.add_grad(total)
        # Usually this does not copy: the kept array becomes dx, in place.
        dx = dx.astype(dy.dtype, copy=False)
        dx *= (-along / len(table) * inverse_std**2).astype(dy.dtype)
        dx += table
        dx -= (total / len(table)).astype(dy.dtype)
        dx *= (self.gamma.value * inverse_std).astype(dy.dtype)
        return dx.reshape(dy.shape)


class LayerNorm(_Normalization):
    """Layer normalization: each row over its features, ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    Mean and (biased) variance are over the last axis; training and prediction are the same.

    Gradients, with ``std = sqrt(variance + epsilon)``, ``normal = (x - mean) / std``, ``d = dy * gamma`` and means over
    the last axis: ``dgamma = sum(dy * normal)`` and ``dbeta = sum(dy)`` over all other axes,
    ``dx = (d - mean(d) - normal * mean(d * normal)) / std``.

    Parameters
    ----------
    features : int
        ``x`` is (n, features), or any shape of at least two axes that ends with `features`.
    epsilon : float
        Greater than 0.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    gamma : Parameter
        Shape (features,).
    beta : Parameter
        Shape (features,).

    Raises
    ------
    InputError
        From the constructor, if an argument is out of range.
    ShapeError
        From `forward` and `backward`, if x or dy does not fit.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> LayerNorm(2).forward(np.array([[1.0, 3.0], [10.0, 30.0]])).round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    def forward(self, x: Array, train: bool = False) -> Array:
        table = self._table(x)
        with np.errstate(over="ignore", invalid="ignore"):
            # Subtract the first entry, so that a constant row becomes exactly 0 despite rounding.
            normal, inverse_std = _normalized(table - table[:, :1], self.epsilon)
            # An overflow on the way makes inverse_std 0 or NaN.
            good = inverse_std > 0
            if np.count_nonzero(good) < len(table):
                large = ~good[:, 0]
                normal[large], inverse_std[large] = self._from_large(table[large])
        if train:
            self.keep(normal, inverse_std, y_shape=x.shape)
        gamma, beta = (p.value.astype(x.dtype, copy=False) for p in (self.gamma, self.beta))
        return (normal * gamma + beta).reshape(x.shape)

    def _from_large(self, table: Array) -> tuple[Array, Array]:
        """Return the normalized rows and 1 / std for rows whose squares overflow.

        The differences are divided by 4 and then by a power of 2, which is exact.
        """
        differences = table / 4 - table[:, :1] / 4
        _, exponents = np.frexp(np.abs(differences).max(axis=1, keepdims=True))
        unit = np.ldexp(table.dtype.type(1), exponents - 1)
        normal, inverse_std = _normalized(differences / unit, self.epsilon / unit / unit / 16)
        return normal, inverse_std / unit / 4

    def backward(self, dy: Array) -> Array:
        normal, inverse_std = self.kept(dy)
        table = dy.reshape(-1, self.features)
        self.gamma.add_grad(column_sums(table, normal))
        self.beta.add_grad(column_sums(table))
        dx = table * self.gamma.value.astype(dy.dtype, copy=False)
        mean = _row_means(dx)
        normal *= _row_means(dx, normal)
        dx -= normal
        dx -= mean
        dx *= inverse_std
        return dx.reshape(dy.shape)


def _normalized(differences: Array, epsilon: Any) -> tuple[Array, Array]:
    """Return each row with mean 0 and variance 1, computed in place, and its 1 / std."""
    differences -= _row_means(differences)
    inverse_std = 1.0 / np.sqrt(_row_means(differences, differences) + epsilon)
    differences *= inverse_std
    return differences, inverse_std


def _row_means(*tables: Array) -> Array:
    """Return the mean of each row of a table, or of the product of two, as a column."""
    terms = ",".join("nd" for _ in tables) + "->n"
    return np.einsum(terms, *tables)[:, None] / tables[0].shape[1]
