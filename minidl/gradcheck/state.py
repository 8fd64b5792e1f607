"""The state of a layer that a check must put back: parameters, buffers, and random generators."""

from typing import Any

import numpy as np

from minidl._core.types import Array
from minidl.nn.layers import Layer


class Snapshot:
    """A copy of what forward and backward could change in a layer, and the way back to it.

    Without `parameters`, only buffers and generators are put back: what a forward may change.
    """

    def __init__(self, layer: Layer, *, parameters: bool = True) -> None:
        arrays = _arrays(layer) if parameters else layer.named_buffers()
        self._arrays = [(array, array.copy()) for array in arrays.values()]
        self._generators = [(g, g.bit_generator.state) for g in _generators(layer)]

    def restore(self) -> None:
        """Put everything back, by copying into the same memory."""
        for array, saved in self._arrays:
            array[...] = saved
        for generator, state in self._generators:
            generator.bit_generator.state = state


def changed_arrays(layer: Layer, before: dict[str, Array]) -> list[str]:
    """Return the paths of parameters and buffers whose bits are not those of `before` (see `copies`)."""
    return [path for path, array in _arrays(layer).items() if array.tobytes() != before[path].tobytes()]


def copies(layer: Layer) -> dict[str, Array]:
    """Return copies of all parameters' values and all buffers, by path."""
    return {path: array.copy() for path, array in _arrays(layer).items()}


def _arrays(layer: Layer) -> dict[str, Array]:
    values = {path: parameter.value for path, parameter in layer.named_parameters().items()}
    return values | layer.named_buffers()


def _generators(layer: Layer) -> list[np.random.Generator]:
    found: list[np.random.Generator] = []
    for _, part in layer.walk():
        attributes: dict[str, Any] = vars(part)
        found += [value for value in attributes.values() if isinstance(value, np.random.Generator)]
    return found
