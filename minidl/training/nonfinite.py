"""NaN and infinity in a run: where they came from, and what becomes of measurements that have them."""

import math
from collections.abc import Iterator

import numpy as np

from minidl._core.checks import as_dtype, check_finite
from minidl._core.errors import MinidlError, NonFiniteError
from minidl._core.types import Array
from minidl.nn.layers import Layer, Sequential
from minidl.nn.model import Model
from minidl.training.work import Work


def check_weights(model: Model) -> None:
    """Refuse parameters and buffers with NaN or infinity, naming the first bad one and its entry."""
    for path, array in model.weights().items():
        check_finite(path, array)


def blamed(error: NonFiniteError, model: Model, x: Array, where: str = "") -> NonFiniteError:
    """Return an error that says also where NaN or infinity came from, if that can be found."""
    place = first_place(model, x)
    return NonFiniteError(f"{where}{error}{f'; first met in {place}' if place and place not in str(error) else ''}")


def measured(work: Work) -> dict[str, float]:
    """Return what an epoch measures; NaN or infinity is refused, or without "raise" all of that set is NaN."""
    row: dict[str, float] = {}
    for prefix, data, names in work.measured:
        try:
            values = work.model.evaluate(data)
            # It may overflow, though the numbers that it is made of are finite.
            if work.nonfinite == "raise" and not math.isfinite(values["cost"]):
                raise NonFiniteError(f"the cost is {values['cost']}")
        except NonFiniteError as error:
            if work.nonfinite == "raise":
                raise blamed(error, work.model, data.x[:1]) from error
            values = dict.fromkeys(names, math.nan)
        row |= {prefix + name: value for name, value in values.items()}
    return row


def first_place(model: Model, x: Array) -> str:
    """Return where NaN or infinity is first met: x, a weight, or what a layer makes of x; "" if nowhere.

    The layers are run as for prediction, so what only a training forward does (dropout, statistics of the batch) may
    hide it.
    """
    try:
        check_finite("x", x)
        check_weights(model)
        with np.errstate(all="ignore"):
            x = as_dtype("x", x, model.dtype)
            for path, layer in _steps(model.network, ""):
                x = layer.forward(x)
                check_finite(f"the output of layer {path.rstrip('.') or 'network'}, {layer!r:.80}", x)
    except MinidlError as error:
        # What else stops this search is no answer to it.
        return str(error) if isinstance(error, NonFiniteError) else ""
    return ""


def _steps(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    """Yield (path, layer) for each layer that an input goes through one after the other."""
    if isinstance(layer, Sequential):
        for i, inner in enumerate(layer.layers):
            yield from _steps(inner, f"{path}{i}.")
    else:
        yield path, layer
