"""The layer contract: what `Sequential`, `Model` and the trainer rely on."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minidl._core.errors import InputError
from minidl._core.types import Array
from minidl.gradcheck import check_layer
from minidl.nn.layers import Layer
from minidl.testing.contract import Contract, require, require_equal, sample

Make = Callable[[], Layer]
Shape = tuple[int, ...]


def check_layer_contract(make: Make, input_shape: Shape) -> None:
    """Check that the layers of `make` keep the contract of `Layer`.

    `check_layer` checks gradients, shapes, dtypes and the order of calls, on drawn batches. Three more rules:
    instances share nothing, deep copies are independent, and a repr is not empty.

    Parameters
    ----------
    make : callable
        Returns a new layer, the same each time: seed whatever it draws.
    input_shape : tuple of int
        The shape of one row of x.

    Raises
    ------
    ContractError
        At the first rule that is broken, naming the class and the rule.
    GradientCheckError
        If `check_layer` refuses the layer, with its report.

    Examples
    --------
    >>> from minidl import Dense
    >>> check_layer_contract(lambda: Dense(3, 2, rng=0), (3,))
    """
    LayerContract(make, tuple(input_shape)).check()


@dataclass
class LayerContract(Contract):
    _kind = Layer
    shape: Shape

    def gradients_are_right(self) -> None:
        for rows, dtype in ((3, np.float64), (least_rows(self.make, self.shape), np.float32)):
            check_layer(self.make(), sample((rows, *self.shape), rows, dtype), seed=rows).assert_ok()

    def instances_share_nothing(self) -> None:
        self._require_independent("another instance", lambda layer: self.make().astype(np.float64))

    def copies_are_independent(self) -> None:
        self._require_independent("a deep copy", copy.deepcopy)

    def representation_is_text(self) -> None:
        require(repr(self.make()), "expected repr to say something: errors name the layer by it")

    def _require_independent(self, what: str, other_of: Callable[[Layer], Layer]) -> None:
        x = sample((2, *self.shape), 0)
        fresh, layer = (self.make().astype(np.float64) for _ in range(2))
        other = other_of(layer)
        _train(layer, sample((3, *self.shape), 5))
        for array in (*(p.value for p in layer.named_parameters().values()), *layer.named_buffers().values()):
            array += 1
        require_equal(f"{what}, after the first one was trained and changed", _train(other, x), _train(fresh, x))


def least_rows(make: Make, shape: Shape) -> int:
    """Return 1, or 2 for a layer that mixes rows and refuses to train on one: one value has no variance."""
    layer = make()
    if all(part.batch_independent for _, part in layer.walk()):
        return 1
    try:
        layer.forward(sample((1, *shape), 0), train=True)
    except InputError:
        return 2
    return 1


def _train(layer: Layer, x: Array) -> dict[str, Array]:
    """Return copies of y, dx and the gradients of one forward and backward."""
    y = layer.forward(x, train=True).copy()
    dx = layer.backward(sample(y.shape, 1)).copy()
    return {"y": y, "dx": dx} | {f"{path}.grad": p.grad.copy() for path, p in layer.named_parameters().items()}
