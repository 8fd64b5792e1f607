"""Containers: layers made of layers."""

from minidl.checks import check_returned
from minidl.errors import ShapeError
from minidl.layers.base import Layer, Shape
from minidl.types import Array


class Sequential(Layer):
    """Layers in a row, each fed with the output of the one before: ``y = layer_k(... layer_1(layer_0(x)))``.

    Parameters
    ----------
    *layers : Layer
        Named ``"0"``, ``"1"``, ... in the paths of `named_parameters`.

    Examples
    --------
    >>> from minidl.layers import Dense, ReLU
    >>> network = Sequential(Dense(4, 3), ReLU(), Dense(3, 2))
    >>> list(network.named_parameters())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> network.output_shape((4,))
    (2,)
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.layers = tuple(self.add_layer(str(i), layer) for i, layer in enumerate(layers))

    def forward(self, x: Array, train: bool = False) -> Array:
        if train:
            self.keep()  # nothing, but that there was a forward: its layers keep the rest
        for i, layer in enumerate(self.layers):
            try:
                x = check_returned(f"{layer!r}.forward", layer.forward(x, train))
            except ShapeError as error:
                raise ShapeError(f"layer {i}: {error}") from error
        return x

    def backward(self, dy: Array) -> Array:
        self.kept()
        return self._backward(self.layers, dy)

    def backward_parameters(self, dy: Array) -> None:
        self.kept()
        dy = self._backward(self.layers[1:], dy)
        for layer in self.layers[:1]:  # none, in an empty network
            layer.backward_parameters(dy)

    @staticmethod
    def _backward(layers: tuple[Layer, ...], dy: Array) -> Array:
        for layer in reversed(layers):
            dy = check_returned(f"{layer!r}.backward", layer.backward(dy))
        return dy

    def output_shape(self, input_shape: Shape) -> Shape:
        for i, layer in enumerate(self.layers):
            try:
                input_shape = layer.output_shape(input_shape)
            except ShapeError as error:
                raise ShapeError(f"layer {i}: {error}") from error
        return input_shape

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"
