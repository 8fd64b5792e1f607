"""NaN and infinity in a run: find where they came from, and handle measurements that contain them."""

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


def located(error: NonFiniteError, model: Model, x: Array, where: str = "") -> NonFiniteError:
    """Return an error that also says where NaN or infinity came from, if that can be found."""
    place = first_place(model, x)
    return NonFiniteError(f"{where}{error}{f'; it first occurred in {place}' if place not in str(error) else ''}")


def measured(work: Work) -> dict[str, float]:
    """Return the measurements of an epoch; NaN or infinity raises, or without "raise" makes its whole set NaN."""
    row: dict[str, float] = {}
    for prefix, data, names in work.measured:
        try:
            values = work.model.evaluate(data)
            # The cost may overflow although its parts are finite.
            if work.nonfinite == "raise" and not math.isfinite(values["cost"]):
                raise NonFiniteError(f"the cost is {values['cost']}")
        except NonFiniteError as error:
            if work.nonfinite == "raise":
                raise located(error, work.model, data.x[:1]) from error
            values = dict.fromkeys(names, math.nan)
        row |= {prefix + name: value for name, value in values.items()}
    return row


def first_place(model: Model, x: Array) -> str:
    """Return where NaN or infinity is first found: x, a weight, or the output of a layer; "" if nowhere.

    The layers run as for prediction, so NaN from training alone (dropout, statistics of the batch) may not be found.
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
        # Any other error ends the search without a result.
        return str(error) if isinstance(error, NonFiniteError) else ""
    return ""


def _steps(layer: Layer, path: str) -> Iterator[tuple[str, Layer]]:
    """Yield (path, layer) for each layer that an input passes through, in order."""
    if isinstance(layer, Sequential):
        for i, inner in enumerate(layer.layers):
            yield from _steps(inner, f"{path}{i}.")
    else:
        yield path, layer
