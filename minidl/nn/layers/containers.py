"""Containers: layers that combine other layers."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from minidl._core.checks import check_returned, check_type
from minidl._core.errors import InputError, NonFiniteError, ShapeError
from minidl._core.types import Array
from minidl.nn.layers.base import Layer, Shape

T = TypeVar("T")
LayerError = InputError | NonFiniteError


class Sequential(Layer):
    """Layers in a row, each of which receives the output of the previous one: ``y = layer_k(... layer_1(layer_0(x)))``.

    Parameters
    ----------
    *layers : Layer
        Named ``"0"``, ``"1"``, ... in the paths of `named_parameters`.

    Attributes
    ----------
    layers : tuple of Layer
        The layers in order; ``network.layers[0]`` is the first.

    Examples
    --------
    >>> from minidl.nn.layers import Dense, ReLU
    >>> network = Sequential(Dense(4, 3), ReLU(), Dense(3, 2))
    >>> list(network.named_parameters())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> network.output_shape((4,))
    (2,)
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        self.layers = tuple(_add_item(self, i, "layer", layer) for i, layer in enumerate(layers))

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

    def forward(self, x: Array, train: bool = False) -> Array:
        if train:
            # Only records that a forward took place: the layers keep their own values.
            self.keep()
        for i, layer in enumerate(self.layers):
            try:
                x = check_returned("forward", layer.forward(x, train), of=layer)
            except (InputError, NonFiniteError) as error:
                raise self._layer_error(error, i, np.shape(x)[1:]) from error
        return x

    def backward(self, dy: Array) -> Array:
        self.kept()
        for layer in reversed(self.layers):
            dy = check_returned("backward", layer.backward(dy), of=layer)
        return dy

    def backward_parameters(self, dy: Array) -> None:
        self.kept()
        for layer in reversed(self.layers[1:]):
            dy = check_returned("backward", layer.backward(dy), of=layer)
        # A loop over at most one layer: the network may be empty.
        for layer in self.layers[:1]:
            layer.backward_parameters(dy)

    def output_shape(self, input_shape: Shape) -> Shape:
        for i, layer in enumerate(self.layers):
            try:
                input_shape = layer.output_shape(input_shape)
            except InputError as error:
                raise self._layer_error(error, i, input_shape) from error
        return input_shape

    def output_shapes(self, input_shape: Shape, path: str = "") -> Iterator[tuple[str, Layer, Shape]]:
        for name, layer in self._layers.items():
            yield from layer.output_shapes(input_shape, f"{path}{name}.")
            input_shape = layer.output_shape(input_shape)

    def _layer_error(self, error: LayerError, i: int, input_shape: Shape) -> LayerError:
        """Return the error of layer i with its position, and with the layer that returned the wrong shape."""
        located = _located(f"layer {i}", error)
        # The error of a container already names its inner layers.
        if isinstance(error, ShapeError) and i > 0 and not self.layers[i]._layers:
            return ShapeError(f"{located}; layer {i - 1}, {self.layers[i - 1]!r:.80}, returns shape {input_shape}")
        return located

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


class _Branches(Layer):
    """Base of `Residual` and `Parallel`: layers that all receive the same x; dx is the sum of their dx."""

    @abstractmethod
    def _parts(self, dy: Array) -> list[Array]:
        """Return the gradient with respect to each layer's y."""

    def _places(self) -> list[tuple[str, Layer]]:
        """Return each layer with its name in error messages."""
        return list(self._layers.items())

    def _outputs(self, x: Array, train: bool) -> list[Array]:
        """Return each layer's y."""
        self.check_input(x)
        return [
            check_returned(f"{place}.forward", _at(place, layer.forward, x, train)) for place, layer in self._places()
        ]

    def _row_shapes(self, input_shape: Shape) -> list[Shape]:
        """Return the shape of one row of each layer's y."""
        return [_at(place, layer.output_shape, input_shape) for place, layer in self._places()]

    def _terms(self, dy: Array) -> list[Array]:
        """Return each layer's dx."""
        terms: list[Array] = []
        for (place, layer), part in zip(self._places(), self._parts(dy), strict=True):
            shape = terms[0].shape if terms else None
            terms.append(check_returned(f"{place}.backward", layer.backward(part), shape))
        return terms

    def backward(self, dy: Array) -> Array:
        first, *others = self._terms(dy)
        # Never return the first array itself: it may be a view of dy.
        return sum(others, first) if others else first.copy()

    def backward_parameters(self, dy: Array) -> None:
        for (_, layer), part in zip(self._places(), self._parts(dy), strict=True):
            layer.backward_parameters(part)

    def output_shapes(self, input_shape: Shape, path: str = "") -> Iterator[tuple[str, Layer, Shape]]:
        for name, layer in self._layers.items():
            yield from layer.output_shapes(input_shape, f"{path}{name}.")
        yield path, self, self.output_shape(input_shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._layers.values()))})"


class Residual(_Branches):
    """A body and a shortcut around it, ``y = body(x) + shortcut(x)``.

    Gradient: ``dx`` is the sum of the dx of body and shortcut.

    Parameters
    ----------
    body : Layer
        Named ``"body"`` in the paths of `named_parameters`.
    shortcut : Layer or None
        Named ``"shortcut"``; with None the shortcut is x itself, for a body that keeps the shape.

    Attributes
    ----------
    body : Layer
        The body.
    shortcut : Layer or None
        The shortcut.

    Raises
    ------
    ShapeError
        From `forward` and `output_shape`, if the two shapes differ.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> from minidl.nn.layers import Dense, ReLU
    >>> block = Residual(Sequential(Dense(4, 8), ReLU(), Dense(8, 3)), shortcut=Dense(4, 3, bias=False))
    >>> list(block.named_parameters())
    ['body.0.weight', 'body.0.bias', 'body.2.weight', 'body.2.bias', 'shortcut.weight']
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None) -> None:
        super().__init__()
        self.body = self.add_layer("body", body)
        self.shortcut = None if shortcut is None else self.add_layer("shortcut", shortcut)

    def forward(self, x: Array, train: bool = False) -> Array:
        # Without a shortcut, the second term is x itself.
        y, bypass = [*self._outputs(x, train), x][:2]
        self._check_same(y.shape[1:], bypass.shape[1:])
        if train:
            self.keep(y_shape=y.shape)
        # Not in place: the body may keep its y, or return x itself.
        return y + bypass

    def _parts(self, dy: Array) -> list[Array]:
        self.kept(dy)
        return [dy] * len(self._layers)

    def _terms(self, dy: Array) -> list[Array]:
        return super()._terms(dy) + ([dy] if self.shortcut is None else [])

    def output_shape(self, input_shape: Shape) -> Shape:
        shape, bypass = [*self._row_shapes(input_shape), input_shape][:2]
        self._check_same(shape, bypass)
        return shape

    def _check_same(self, body: Shape, bypass: Shape) -> None:
        if body != bypass:
            got = f"{body} and {bypass}; pass a shortcut with output shape {body}, such as a Dense or a 1x1 convolution"
            raise ShapeError(f"{self!r:.80}: expected body and shortcut of the same shape, got {got}")


class Parallel(_Branches):
    """Branches side by side, ``y = [branch_0(x), branch_1(x), ...]``, concatenated along the last axis.

    Gradient: each branch gets its part of dy; ``dx`` is the sum of their dx.

    Parameters
    ----------
    *branches : Layer
        At least one; named ``"0"``, ``"1"``, ... in the paths of `named_parameters`.

    Attributes
    ----------
    branches : tuple of Layer
        The branches in order.

    Raises
    ------
    InputError
        From the constructor, if there is no branch.
    ShapeError
        From `forward` and `output_shape`, if the branches' shapes are empty, or differ before the last axis;
        from `backward`, if dy does not fit.

    References
    ----------
    Szegedy et al., "Going deeper with convolutions", CVPR 2015.

    Examples
    --------
    >>> from minidl.nn.layers import Dense, ReLU
    >>> Parallel(Dense(4, 3), ReLU()).output_shape((4,))
    (7,)
    """

    def __init__(self, *branches: Layer) -> None:
        super().__init__()
        if not branches:
            raise InputError("Parallel: expected at least one branch, got none")
        self.branches = tuple(_add_item(self, i, "branch", branch) for i, branch in enumerate(branches))

    def forward(self, x: Array, train: bool = False) -> Array:
        outputs = self._outputs(x, train)
        shape = x.shape[:1] + self._joined([y.shape[1:] for y in outputs])
        if train:
            self.keep(np.cumsum([y.shape[-1] for y in outputs[:-1]], dtype=int), y_shape=shape)
        return np.concatenate(outputs, axis=-1)

    def _places(self) -> list[tuple[str, Layer]]:
        return [(f"branch {i}", branch) for i, branch in enumerate(self.branches)]

    def _parts(self, dy: Array) -> list[Array]:
        (borders,) = self.kept(dy)
        return np.split(dy, borders, axis=-1)

    def output_shape(self, input_shape: Shape) -> Shape:
        return self._joined(self._row_shapes(input_shape))

    def _joined(self, shapes: list[Shape]) -> Shape:
        """Return the shape of concatenated rows of `shapes`, or raise an error if they do not fit together."""
        if not all(shapes) or len({shape[:-1] for shape in shapes}) > 1:
            got = ", ".join(map(str, shapes))
            raise ShapeError(f"{self!r:.80}: expected branches whose rows differ only in the last axis, got {got}")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


def _add_item(container: Layer, i: int, item: str, layer: Layer) -> Layer:
    """Register `layer` as item i of `container`; an error shows how to call the container."""
    name = type(container).__name__
    if isinstance(layer, list | tuple):
        got = f"a {type(layer).__name__}; write {name}({item}, {item}, ...)"
        raise InputError(f"{name}: expected {item} {i} to be a Layer, got {got}")
    check_type(name, f"{item} {i}", layer, Layer)
    return container.add_layer(str(i), layer)


def _at(place: str, call: Callable[..., T], *arguments: Any) -> T:
    """Return the result of ``call(*arguments)``; an error gets `place` in front."""
    try:
        return call(*arguments)
    except (InputError, NonFiniteError) as error:
        raise _located(place, error) from error


def _located(place: str, error: LayerError) -> LayerError:
    """Return `error` with its place in front; nested containers add up to a path."""
    kind = next(kind for kind in (ShapeError, InputError, NonFiniteError) if isinstance(error, kind))
    return kind(f"{place}: {error}")
