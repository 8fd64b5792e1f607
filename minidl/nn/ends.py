"""Checks at both ends of a network: are the inputs scaled, and does the last layer fit the loss?"""

from collections.abc import Iterator

import numpy as np

from minidl._core.types import Array
from minidl.nn.layers import Conv2D, Dense, Layer, Parallel, Residual, Sequential
from minidl.nn.losses import Loss

# A logit of -10 means a probability of 5e-5: a lower limit below it does no harm.
_FREE = 10.0


def limited_outputs(network: Layer, loss: Loss) -> str:
    """Return a warning if the last layer limits the outputs although `loss` expects logits; else ""."""
    for layer in _end(network, last=True):
        low, high = layer.output_range
        # An upper limit alone, as of LogSoftmax, does no harm: only differences between outputs count.
        if loss.takes_logits and low > -_FREE:
            limits = f"between {low:g} and {high:g}" if high < _FREE else f"at least {low:g}"
            advice = "; Model.predict_proba returns probabilities" if (low, high) == (0, 1) else ""
            end = f"the network ends with {layer!r:.80}, whose outputs are {limits}"
            return f"{end}, but {loss!r:.80} expects logits, which may be any numbers: remove this layer{advice}"
    return ""


def raw_pixels(network: Layer, x: Array) -> str:
    """Return a warning if a Dense or Conv2D receives `x` as raw pixels; else ""."""
    first = next((layer for layer in _end(network, last=False) if isinstance(layer, Dense | Conv2D)), None)
    # A few rows first: they usually show whether x holds pixels, and reading all rows takes longer.
    if first is None or x.dtype != np.uint8 or not (x[:10].max(initial=0) > 1 or x.max(initial=0) > 1):
        return ""
    return (
        f"x holds raw pixels (uint8, up to {x.max()}), but {first!r:.80} needs inputs near mean 0 and standard "
        "deviation 1. Standardize them: scale = Standardizer().fit(train.x), then train.map(scale); or divide them by "
        "255. If they are not pixels, pass x.astype(numpy.float32)"
    )


def _end(layer: Layer, *, last: bool) -> Iterator[Layer]:
    """Yield the layers at one end of a network: the first to receive x, or those that return the network's outputs.

    Layers that keep the values, such as Flatten, are skipped.
    """
    if isinstance(layer, Sequential):
        for inner in reversed(layer.layers) if last else layer.layers:
            if layers := list(_end(inner, last=last)):
                yield from layers
                break
    elif isinstance(layer, Parallel) or (isinstance(layer, Residual) and not last):
        for inner in layer._layers.values():
            yield from _end(inner, last=last)
    elif not layer.keeps_values:
        yield layer
