"""Normalization: every feature, or every row, to mean 0 and variance 1."""

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.checks import as_count, as_fraction, as_number
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array
from minidl.nn.arithmetic import column_sums
from minidl.nn.layers.base import Layer, Shape
from minidl.nn.parameter import Parameter


class _Normalization(Layer):
    """What both have: features on the last axis, each with a `gamma` and a `beta`."""

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
            turned = len(input_shape) == 3 and input_shape[0] == self.features
            hint = "; channels come last: np.moveaxis(x, 1, -1)" if turned else ""
            raise ShapeError(f"{self!r}: expected rows of shape (..., {self.features}), got {input_shape}{hint}")
        return input_shape

    def _table(self, x: Array) -> Array:
        """Return x as a table, the features in its columns."""
        self.check_input(x)
        self.output_shape(x.shape[1:])
        return x.reshape(-1, self.features)


class BatchNorm(_Normalization):
    """Batch normalization: each feature over the batch, ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    In training, mean and (biased) variance are those of the batch: over all axes of x but the last, so for images of
    each channel over rows, heights and widths. In prediction they are the running ones, which training gathers::

        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_variance = momentum * running_variance + (1 - momentum) * variance * m / (m - 1)

    with m values per feature: the variance that enters is the unbiased one, as in the paper and in PyTorch; Keras takes
    the biased one.

    Gradients, with ``std = sqrt(variance + epsilon)``, ``normal = (x - mean) / std`` and means over the batch:
    ``dgamma = sum(dy * normal)``, ``dbeta = sum(dy)``,
    ``dx = gamma / std * (dy - mean(dy) - normal * mean(dy * normal))``.

    Parameters
    ----------
    features : int
        ``x`` is (n, features) or (n, height, width, features), any shape that ends with `features`.
    momentum : float
        The share of the past in the running statistics, at least 0 and below 1; as in Keras. PyTorch gives this name to
        ``1 - momentum``: its 0.1 is 0.9 here.
    epsilon : float
        Greater than 0.
    dtype : dtype
        Of the parameters and running statistics.

    Raises
    ------
    InputError
        From the constructor, if an argument is out of range; from a training `forward`, if there are fewer than two
        values per feature.
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
        self, features: int, *, momentum: float = 0.9, epsilon: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(features, epsilon=epsilon, dtype=dtype)
        self.momentum = as_fraction("momentum", momentum)
        self.running_mean = self.add_buffer("running_mean", np.zeros(features), dtype=dtype)
        self.running_variance = self.add_buffer("running_variance", np.ones(features), dtype=dtype)

    def forward(self, x: Array, train: bool = False) -> Array:
        table = self._table(x)
        n = len(table)
        if train and n < 2:
            raise InputError(
                f"{self!r}: expected at least 2 values per feature in training, got x of shape {x.shape}, in which "
                "nothing varies; choose a batch_size that leaves no single row (201 rows in batches of 10 leave 1), or "
                "predict with train=False"
            )
        mean = column_sums(table) / n if train else self.running_mean
        centred = table - mean.astype(x.dtype)
        variance = column_sums(centred, centred) / n if train else self.running_variance.astype(np.float64)
        inverse_std = 1.0 / np.sqrt(variance + self.epsilon)
        if train:
            self.keep(centred, inverse_std, y_shape=x.shape)
            for running, batch in ((self.running_mean, mean), (self.running_variance, variance * (n / (n - 1)))):
                running *= self.momentum
                running += (1.0 - self.momentum) * batch
        scale = (self.gamma.value * inverse_std).astype(x.dtype)
        return (centred * scale + self.beta.value.astype(x.dtype, copy=False)).reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        dx, inverse_std = self.kept(dy)
        table = dy.reshape(-1, self.features)
        total, along = column_sums(table), column_sums(table, dx)
        self.gamma.add_grad(along * inverse_std)
        self.beta.add_grad(total)
        # As a rule this is no copy: what was kept becomes dx, in place.
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
        # A row without differences becomes exactly 0, however its sum is rounded.
        normal = table - table[:, :1]
        normal -= _row_means(normal)
        inverse_std = 1.0 / np.sqrt(_row_means(normal, normal) + self.epsilon)
        normal *= inverse_std
        if train:
            self.keep(normal, inverse_std, y_shape=x.shape)
        gamma, beta = (p.value.astype(x.dtype, copy=False) for p in (self.gamma, self.beta))
        return (normal * gamma + beta).reshape(x.shape)

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


def _row_means(*tables: Array) -> Array:
    """Return the mean of each row of a table, or of the product of two, as a column."""
    terms = ",".join("nd" for _ in tables) + "->n"
    return np.einsum(terms, *tables)[:, None] / tables[0].shape[1]
