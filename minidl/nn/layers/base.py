"""Layer: the base class of all layers."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from minidl._core.checks import as_array, as_float_dtype, check_type
from minidl._core.errors import InputError, ShapeError
from minidl._core.nested import instances_in
from minidl._core.reprs import constructor_call
from minidl._core.texts import check_text
from minidl._core.types import Array
from minidl.nn.parameter import ForwardMemory, Parameter

Shape = tuple[int, ...]
HELD_BY_ALL = {"_parameters", "_buffers", "_layers", "_kept", "_y_shape"}
"""Attributes of every layer that hold its registered parts and kept values."""
L = TypeVar("L", bound="Layer")
T = TypeVar("T")


class Layer(ForwardMemory, ABC):
    """A differentiable function of a batch, with parameters: subclass it, and write `forward` and `backward`.

    A constructor registers the parts of the layer with `add_parameter`, `add_buffer` and `add_layer`; each returns the
    part, to store as an attribute. Use one instance in only one place of a network.

    Raises
    ------
    InputError
        When a subclass is defined, if its `forward`, `backward` or `output_shape` has other parameters than here.

    Examples
    --------
    >>> class Scale(Layer):
    ...     def __init__(self, features):
    ...         super().__init__()
    ...         self.gain = self.add_parameter("gain", np.ones(features))
    ...
    ...     def forward(self, x, train=False):
    ...         if train:
    ...             self.keep(x)
    ...         return x * self.gain.value
    ...
    ...     def backward(self, dy):
    ...         (x,) = self.kept()
    ...         self.gain.add_grad((dy * x).sum(axis=0))
    ...         return dy * self.gain.value
    >>> list(Scale(5).named_parameters())
    ['gain']
    """

    _written = "layer.forward(x), or layer.forward(x, train=True) before backward"
    _meaningless = ("trainable", "requires_grad", "training")
    _overridable = ("backward_parameters", "output_shape")

    batch_independent = True
    """Whether each row of y depends only on its own row of x. Set it to False if rows affect each other."""
    output_range: tuple[float, float] = (-math.inf, math.inf)
    """The lowest and the highest possible output. A loss that expects logits needs outputs without limits."""
    keeps_values = False
    """Whether, in prediction, the outputs equal the inputs, except for the shape."""
    saved_attributes: tuple[str, ...] = ()
    """Names of attributes to save in checkpoints, besides parameters and buffers: for example a seed or a Generator."""

    # Created on first use: a subclass that forgets to call super().__init__() still works.
    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        return {}

    @cached_property
    def _buffers(self) -> dict[str, Array]:
        return {}

    @cached_property
    def _layers(self) -> dict[str, "Layer"]:
        return {}

    @abstractmethod
    def forward(self, x: Array, train: bool = False) -> Array:
        """Return y of x's dtype, one row for each row of x; with `train`, `keep` what `backward` needs."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """Return dx for the last ``forward(x, train=True)``, and add to the gradient of each parameter.

        Parameters
        ----------
        dy : array, shape of y
            Gradient of the cost with respect to y; never modified.

        Returns
        -------
        array, shape of x
            Gradient of the cost with respect to x.

        Raises
        ------
        CallOrderError
            If `forward` was not called with ``train=True`` since the last backward.
        """

    def backward_parameters(self, dy: Array) -> None:
        """Add the parameter gradients as `backward` does, without returning dx: nothing needs the dx of a network.

        Override it if dx is expensive to compute. The model calls it on the network.
        """
        self.backward(dy)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one row of y for one row of x, without running data; by default the same."""
        return input_shape

    def output_shapes(self, input_shape: Shape, path: str = "") -> Iterator[tuple[str, "Layer", Shape]]:
        """Yield (path, layer, output shape) in the order of the forward pass; a container yields its layers."""
        yield path, self, self.output_shape(input_shape)

    def add_parameter(
        self, name: str, value: Any, *, penalized: bool = True, dtype: DTypeLike = np.float32
    ) -> Parameter:
        """Register and return a `Parameter` with a copy of `value`."""
        parameter = Parameter(value, name=f"{type(self).__name__}.{name}", penalized=penalized, dtype=dtype)
        return self._register(self._parameters, name, parameter)

    def add_buffer(self, name: str, value: Any, *, dtype: DTypeLike = np.float32) -> Array:
        """Register and return a copy of `value`: state that is saved but not trained; change it in place.

        With an integer `dtype` it is a counter, which `astype` does not convert.
        """
        buffer = np.array(as_array(name, value), dtype=as_float_dtype(dtype, or_integer=True))
        return self._register(self._buffers, name, buffer)

    def add_layer(self, name: str, layer: L) -> L:
        """Register and return `layer` as a part of this one."""
        check_type(type(self).__name__, name, layer, Layer)
        return self._register(self._layers, name, layer)

    def walk(self, path: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yield (path, layer) for this layer and all inner layers; a path is empty or ends with a dot."""
        yield path, self
        for name, layer in self._layers.items():
            yield from layer.walk(f"{path}{name}.")

    def named_parameters(self) -> dict[str, Parameter]:
        """Return every parameter by its path, such as ``"0.weight"``."""
        return {path + name: p for path, layer in self.walk() for name, p in layer._parameters.items()}

    def named_buffers(self) -> dict[str, Array]:
        """Return every buffer by its path, such as ``"1.running_mean"``."""
        return {path + name: b for path, layer in self.walk() for name, b in layer._buffers.items()}

    def freeze(self) -> None:
        """Exclude all parameters of this layer and its inner layers from training.

        Gradients are still computed, and training still updates buffers (running statistics).
        """
        for parameter in self.named_parameters().values():
            parameter.trainable = False

    def unfreeze(self) -> None:
        """Include all parameters in training again."""
        for parameter in self.named_parameters().values():
            parameter.trainable = True

    def astype(self, dtype: DTypeLike) -> Self:
        """Return a deep copy whose parameters and floating-point buffers have `dtype`."""
        return copy.deepcopy(self, self.cast_memo(dtype))

    def cast_memo(self, dtype: DTypeLike) -> dict[int, Any]:
        """Return the memo that makes `copy.deepcopy` replace floating-point arrays by arrays of `dtype`."""
        arrays = [array for p in self.named_parameters().values() for array in (p.value, p.grad)]
        arrays += [buffer for buffer in self.named_buffers().values() if buffer.dtype.kind == "f"]
        return {id(array): array.astype(as_float_dtype(dtype)) for array in arrays}

    def check_input(self, x: Array, sample_shape: Shape | None = None) -> None:
        """Raise an error if `x` is not a floating-point array, or its rows do not have `sample_shape`."""
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or not x.dtype.isnative:
            got, hint = type(x).__name__, ""
            if isinstance(x, np.ndarray):
                got, hint = f"dtype {x.dtype.str}", "; pass x.astype(numpy.float32)" if x.dtype.kind in "biuf" else ""
            raise InputError(f"{self!r}: expected x to be a floating-point array in native byte order, got {got}{hint}")
        if sample_shape is not None and x.shape[1:] != sample_shape:
            wanted = ", ".join(["n", *map(str, sample_shape)])
            transposed = x.ndim == 2 and x.shape[:1] == sample_shape
            hint = "; each row must be one sample: transpose x" if transposed else ""
            hint = "; put a Flatten layer before it" if len(sample_shape) == 1 and x.ndim > 2 else hint
            raise ShapeError(f"{self!r}: expected x of shape ({wanted}), got {x.shape}{hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self).get(name)
        if held is not None and held is not value and name not in HELD_BY_ALL:
            self._check_replaced(name, held, value)
        super().__setattr__(name, value)

    def _check_replaced(self, name: str, held: Any, value: Any) -> None:
        """Raise an error if `forward` would use an unregistered part after `value` replaces this attribute."""
        registries: tuple[dict[str, Any], ...] = self._parameters, self._buffers, self._layers
        registered = {id(item): path for registry in registries for path, item in registry.items()}
        kinds = Parameter, Layer, np.ndarray
        own = [item for _, item in instances_in(held, *kinds) if id(item) in registered]
        if not own:
            return
        # An attribute that selects one of the registered layers may change.
        others = [other for key, other in vars(self).items() if key != name and key not in HELD_BY_ALL]
        left = {id(item) for _, item in instances_in([value, *others], *kinds)}
        new = [part for _, part in instances_in(value, Parameter, Layer) if id(part) not in registered]
        if new or registered.get(id(held)) == name or any(id(item) not in left for item in own):
            way = "create a new layer with the new parts"
            if isinstance(held, Parameter | np.ndarray):
                way = f"change it in place: layer.{name}{'.value' * isinstance(held, Parameter)}[...] = ..."
            raise InputError(f"{self!r:.80}: {name} is registered, but its replacement is not; {way}")

    def _register(self, items: dict[str, Any], name: str, item: T) -> T:
        check_text(f"{type(self).__name__}: a name", name)
        if name in items or not name or "." in name or name.startswith("@"):
            raise InputError(f"{type(self).__name__}: expected an unused name without a dot or leading @, got {name!r}")
        items[name] = item
        return item

    __repr__ = constructor_call
