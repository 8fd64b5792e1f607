"""Dense: every output depends on every input."""

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.checks import as_count
from minidl._core.types import Array, Seed
from minidl.nn.arithmetic import product
from minidl.nn.initializers import Initializer, Xavier, draw_weight
from minidl.nn.layers.base import Layer, Shape
from minidl.nn.parameter import Parameter, shape_error


class Dense(Layer):
    """Affine layer, ``y = x @ weight + bias``.

    Gradients: ``dx = dy @ weight.T``, ``dweight = x.T @ dy``, ``dbias = dy.sum(axis=0)``.

    Parameters
    ----------
    in_features, out_features : int
        ``x`` is (n, in_features), ``y`` is (n, out_features).
    bias : bool
        Whether to add a bias, shape (out_features,). It starts at 0 and is not penalized.
    weight_init : Initializer, default Xavier()
        Draws `weight`, shape (in_features, out_features).
    rng : int, Generator or None
        Random state for the weights.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight : Parameter
        Shape (in_features, out_features); its array is ``layer.weight.value``.
    bias : Parameter or None
        Shape (out_features,).

    Raises
    ------
    InputError
        From the constructor, if a number of features is not a positive integer.
    ShapeError
        From `forward` and `backward`, if x or dy does not fit.
    """

    weight: Parameter

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        weight_init: Initializer | None = None,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.in_features = as_count("in_features", in_features)
        self.out_features = as_count("out_features", out_features)
        weight = draw_weight("Dense", weight_init, Xavier(), (in_features, out_features), rng)
        # In column order, the products x @ weight and x.T @ dy read and write memory in sequence.
        self.weight = self.add_parameter("weight", np.asfortranarray(weight), dtype=dtype)
        self.bias = self.add_parameter("bias", np.zeros(out_features), penalized=False, dtype=dtype) if bias else None

    def forward(self, x: Array, train: bool = False) -> Array:
        self.check_input(x, (self.in_features,))
        y = product(x, self.weight.value)
        if train:
            self.keep(x, y_shape=y.shape)
        if self.bias is not None:
            y += self.bias.value
        return y

    def backward(self, dy: Array) -> Array:
        self.backward_parameters(dy)
        return np.matmul(dy, self.weight.value.T, dtype=dy.dtype)

    def backward_parameters(self, dy: Array) -> None:
        (x,) = self.kept(dy)
        self.weight.add_product(x.T, dy)
        if self.bias is not None:
            self.bias.add_grad(dy.sum(axis=0))

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape != (self.in_features,):
            raise shape_error(self, "rows", (self.in_features,), input_shape)
        return (self.out_features,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_features}, {self.out_features}{'' if self.bias else ', bias=False'})"
