"""Where NaN or infinity came from: the first place on the way of a batch through a model."""

from collections.abc import Generator
from typing import Any

import numpy as np

from minidl._core.checks import as_array, as_dtype, check_finite
from minidl._core.errors import MinidlError, NonFiniteError
from minidl._core.types import Array
from minidl.nn.layers import Layer, Sequential
from minidl.nn.model import Model


def check_weights(model: Model) -> None:
    """Refuse parameters and buffers with NaN or infinity, naming the first bad one and its entry."""
    for path, array in model.weights().items():
        check_finite(path, array)


def first_place(model: Model, x: Any) -> str:
    """Return where NaN or infinity is first met: x, a weight, or what a layer makes of x; "" if nowhere.

    The layers are run as for prediction, so what only a training forward does (dropout, statistics of the batch) may
    hide it.
    """
    try:
        x = as_array("x", x)
        check_finite("x", x)
        check_weights(model)
        with np.errstate(all="ignore"):
            for path, layer, y in _outputs(model.network, as_dtype("x", x, model.dtype), ""):
                check_finite(f"the output of layer {path.rstrip('.') or 'network'}, {layer!r:.80}", y)
    except MinidlError as error:
        # What else stops this search is no answer to it.
        return str(error) if isinstance(error, NonFiniteError) else ""
    return ""


def _outputs(layer: Layer, x: Array, path: str) -> Generator[tuple[str, Layer, Array], None, Array]:
    """Yield (path, layer, its output) along the way of x, and return the last output."""
    if isinstance(layer, Sequential):
        for i, inner in enumerate(layer.layers):
            x = yield from _outputs(inner, x, f"{path}{i}.")
        return x
    y = layer.forward(x)
    yield path, layer, y
    return y
