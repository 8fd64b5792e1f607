"""The two ends of a network: what does the first layer get, and does the loss take what the last layer gives?"""

from collections.abc import Iterator

import numpy as np

from minidl._core.types import Array
from minidl.nn.layers import Conv2D, Dense, Layer, Parallel, Residual, Sequential
from minidl.nn.losses import Loss

# A logit of -10 stands for a probability of 5e-5: a limit beyond it is none.
_FREE = 10.0


def limited_outputs(network: Layer, loss: Loss) -> str:
    """Return in words that the last layer limits the outputs, where `loss` takes any numbers; else ""."""
    for layer in _end(network, last=True):
        low, high = layer.output_range
        # An upper limit alone, as of a LogSoftmax, does no harm: only differences between outputs count.
        if loss.takes_logits and low > -_FREE:
            limits = f"between {low:g} and {high:g}" if high < _FREE else f"never below {low:g}"
            advice = "; Model.predict_proba returns probabilities" if (low, high) == (0, 1) else ""
            end = f"the network ends with {layer!r:.80}, whose outputs are {limits}"
            return f"{end}, but {loss!r:.80} takes logits, which may be any numbers: leave this layer out{advice}"
    return ""


def raw_pixels(network: Layer, x: Array) -> str:
    """Return in words that a Dense or a Conv2D gets the pixels `x` as they are; else ""."""
    first = next((layer for layer in _end(network, last=False) if isinstance(layer, Dense | Conv2D)), None)
    # The few rows first: pixels show in them, and all rows take a while.
    if first is None or x.dtype != np.uint8 or not (x[:10].max(initial=0) > 1 or x.max(initial=0) > 1):
        return ""
    return (
        f"x holds raw pixels (uint8, up to {x.max()}), and {first!r:.80} takes them as they are, far from mean 0 and "
        "spread 1. Standardize them: scale = Standardizer().fit(train.x), then train.map(scale); or divide them by "
        "255. If they are no pixels, pass x.astype(numpy.float32)"
    )


def _end(layer: Layer, *, last: bool) -> Iterator[Layer]:
    """Yield the layers at one end of a network: those that x meets first, or those whose outputs are the network's own.

    What keeps the values as they are is passed by.
    """
    if isinstance(layer, Sequential):
        for inner in reversed(layer.layers) if last else layer.layers:
            if found := list(_end(inner, last=last)):
                yield from found
                break
    elif isinstance(layer, Parallel) or (isinstance(layer, Residual) and not last):
        for inner in layer._layers.values():
            yield from _end(inner, last=last)
    elif not layer.keeps_values:
        yield layer
